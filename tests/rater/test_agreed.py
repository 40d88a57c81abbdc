"""What is agreed beyond prices, rated as a whole: charge's, plan's, then contract's adjustments, then what is left."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from rater.account import NEW, Account
from rater.book import PriceBook
from rater.contract import Contracts
from rater.interim import InvoiceThresholds, after_interim, interim
from rater.late import late_adjustment, posted_for
from rater.rate import rate
from rater.render import line_document, text
from rater.settling import after_terms
from rater.sheet import nets_of
from rater.terms import Terms, terms
from schemas.errors import SettingsError
from schemas.period import Period
from schemas.statements import CategoryUsage, OrgUsage, Statement, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts, failed, used
from tests.rater.sheets import told

PRICE = {"model": "per_unit", "unit_amount": 1}
ERRORS = {"category": "error", "price": PRICE}
SPANS = {"category": "span", "price": PRICE}
FEE = {"price": {"model": "flat", "amount": 50}}


def rated(
    prices: PriceBook, agreed: Contracts, usage: OrgUsage, period: Period = NOVEMBER, account: Account = NEW
) -> Statement:
    rating = rate(prices, agreed, usage, period, account)
    assert rating.failures == ()
    assert rating.statement is not None
    return rating.statement


def listed(**adjustment: Any) -> list[dict[str, Any]]:
    return [adjustment]


def versioned(charges: Mapping[str, Any], **version: Any) -> PriceBook:
    """A book whose plan's only version has these charges and what else is given."""
    return book(versions=[{"from": "2020-01-01", "charges": charges, **version}])


def test_the_charges_adjustments_run_first_then_the_plans_then_the_contracts() -> None:
    prices = versioned(
        {
            "errors": {**ERRORS, "adjustments": listed(kind="minimum", amount=40)},
            "spans": SPANS,
            "fee": FEE,
        },
        adjustments=listed(kind="discount_percent", percent=10),
    )
    agreed = contracts(
        contract(
            adjustments=listed(kind="maximum", amount=100),
            grants=[{"id": "gift", "from": "2026-01-01", "amount": 15}],
        )
    )
    made = rated(prices, agreed, used(error=30, span=60))
    # 30 + 10 + 60 + 50 = 150, less 10 % = 135, at most 100, of which 15 are paid.
    assert told(made) == [
        "charge 30",
        "true_up 10",
        "charge 60",
        "charge 50",
        "discount -15",
        "cap -35",
        "credit -15",
    ]
    assert made.total == 85
    assert sum(nets_of(made.lines).values()) == 85


def test_a_minimum_on_a_charge_is_owed_without_usage() -> None:
    prices = book({"errors": {**ERRORS, "adjustments": listed(kind="minimum", amount=100)}})
    assert told(rated(prices, contracts(), used())) == ["true_up 100"]


def test_listed_credits_run_where_they_are_listed() -> None:
    grants = [{"id": "gift", "from": "2026-01-01", "amount": 15}]
    order = [{"kind": "credits"}, {"kind": "discount_percent", "percent": 50}]
    made = rated(book({"errors": ERRORS}), contracts(contract(grants=grants, adjustments=order)), used(error=100))
    assert told(made) == ["charge 100", "credit -15", "discount -42.5"]


def test_a_year_of_rollovers_is_a_fold() -> None:
    grants = [{"id": "monthly", "from": "2026-01-01", "amount": 100, "every": "period", "rollover": {"cap": 150}}]
    agreed = contracts(contract(grants=grants))
    prices, account, owed = book({"errors": ERRORS}), NEW, []
    for month, quantity in enumerate([60, 30, 0, 400, 100], 1):
        period = Period.month(2026, month)
        made = rated(prices, agreed, used(error=quantity), period, account)
        found = terms(prices, agreed, 1, period)
        assert isinstance(found, Terms)
        account = after_terms(found, account, made)
        owed.append(made.total)
    # 40 go on, then 110, then 150 of 210; 250 pay for 400.
    assert owed == [0, 0, 0, 150, 0]
    assert account.used_before == {"errors": 590}


def test_interim_statements_and_the_closing_one_sum_to_the_period() -> None:
    prices = book({"errors": ERRORS, "fee": FEE})
    agreed, rule = contracts(), InvoiceThresholds.model_validate({"amounts": [200, 500]})
    account, posted = NEW, []
    for quantity in (150, 220, 450, 600):
        due = interim(rated(prices, agreed, used(error=quantity), account=account), rule, account)
        if due is not None:
            posted.append(due.total)
            account = after_interim(account, due)
    closing = rated(prices, agreed, used(error=640), account=account)
    assert posted == [220, 380]
    assert told(closing) == ["charge 640", "charge 50", "already_invoiced -600"]
    assert closing.total == 90


def test_late_usage_is_posted_as_the_difference_of_two_ratings() -> None:
    prices = book({"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.001"}}})
    sealed, known = rated(prices, contracts(), used(error=333)), rated(prices, contracts(), used(error=666))
    [line] = late_adjustment(known, posted_for(sealed))
    assert line.amount == Decimal("0.34")
    assert sealed.total + line.amount == known.total == Decimal("0.67")
    agreed = contracts(contract(adjustments=listed(kind="discount_percent", percent=100) + listed(kind="credits")))
    rating = rate(prices, agreed, used(error=1000), Period.month(2026, 12), corrections=[line])
    assert rating.statement is not None
    assert told(rating.statement) == ["charge 1", "adjustment 0.34", "discount -1"]


def windows(*quantities: int) -> CategoryUsage:
    parts = tuple(
        UsagePart(NOVEMBER.start.replace(minute=minute), quantity) for minute, quantity in enumerate(quantities)
    )
    return CategoryUsage(sum(quantities), parts[0].start, parts[-1].start, parts=parts)


def test_a_budget_decides_before_the_price_what_is_billed() -> None:
    prices = versioned({"errors": {**ERRORS, "included": 50}, "spans": SPANS}, budget={"amount": 25})
    usage = OrgUsage(1, {"error": windows(40, 20, 30), "span": windows(5, 5, 5)})
    made = rated(prices, contracts(), usage)
    # Minute 0: 40 reserved, 5 spans. Minute 1: 10 reserved and 10 errors, 5 spans. Minute 2: the 5 that are left.
    assert told(made) == ["charge 15", "charge 10"]
    assert [line.refused for line in made.lines] == [25, 5]
    assert made.total == 25


def test_true_forward_shows_what_is_left_for_a_later_true_up() -> None:
    prices = versioned({"errors": {**ERRORS, "included": 50}}, budget={"amount": 0, "past": "true_forward"})
    [line] = rated(prices, contracts(), OrgUsage(1, {"error": windows(40, 20)})).lines
    assert line.amount == 0
    assert line.explanation() == "10 past the budget, not billed now: for a later true-up; 50 included"


def test_a_reserved_pool_pays_first_and_the_budget_next() -> None:
    rule = {"amount": 5, "reserved": {"amount": 20, "charges": ["errors", "spans"]}}
    prices = versioned({"errors": ERRORS, "spans": SPANS}, budget=rule)
    usage = OrgUsage(1, {"error": windows(10, 10), "span": windows(4, 4)})
    made = rated(prices, contracts(), usage)
    assert told(made) == ["charge 20", "charge 5", "credit -20"]
    assert made.total == 5


def test_an_adjustment_that_names_a_charge_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="an adjustment names gone, which is no charge"):
        versioned({"errors": ERRORS}, adjustments=listed(kind="maximum", amount=1, charges=["gone"]))


def test_a_budget_that_cannot_hold_is_a_failure_and_never_a_silent_zero() -> None:
    tiers = [{"up_to": None, "unit_amount": 1}]
    prices = book({"errors": {"category": "error", "price": {"model": "volume", "tiers": tiers}}})
    for rule, reason in (
        ({"amount": 1, "by_charge": {"gone": 1}}, "adjustment_matches_nothing"),
        ({"amount": 1}, "budget_does_not_fit"),
    ):
        assert failed(rate(prices, contracts(contract(budget=rule)), used(error=1), NOVEMBER)) == [(reason, "")]


def test_a_budget_that_would_refuse_asks_for_the_windows() -> None:
    prices = versioned({"errors": ERRORS}, budget={"amount": 25})
    assert rated(prices, contracts(), used(error=25)).total == 25
    assert failed(rate(prices, contracts(), used(error=26), NOVEMBER)) == [("needs_parts", "")]


def test_an_adjustment_that_no_column_holds_is_a_failure() -> None:
    huge = 10**19
    adjustments = listed(kind="commitment", amount=1, overage_factor=100) + listed(kind="discount_percent", percent=100)
    rating = rate(book({"errors": ERRORS}), contracts(contract(adjustments=adjustments)), used(error=huge), NOVEMBER)
    assert failed(rating) == [("amount_too_large", ""), ("amount_too_large", "")]


def test_a_statement_explains_its_adjustments_to_a_pocket_calculator() -> None:
    """Each computes on the rounded lines above it, and says which charges bear it."""
    third = {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.333"}}
    prices = versioned(
        {"errors": third, "fee": FEE},
        adjustments=[
            {"kind": "minimum", "amount": 100},
            {"kind": "discount_percent", "percent": "7.3", "name": "Partner discount"},
        ],
    )
    rating = rate(prices, contracts(), used(error=27), NOVEMBER)
    shown = [" ".join(line.split()) for line in text(rating, complete_to=None).splitlines()]
    start = shown.index("Minimum true-up 41.01")
    assert shown[start : start + 7] == [
        "Minimum true-up 41.01",
        "minimum 100; already charged -58.99; together 41.01",
        "Partner discount -7.30",
        "7.3 % of 100 = -7.3",
        "of which errors -0.66, fee -3.65, minimum -2.99",
        "-----",
        "Total USD 92.70",
    ]
    assert rating.statement is not None
    document = line_document(rating.statement.lines[-1])
    assert document["kind"] == "discount"
    assert document["applies_to"] == ["errors", "fee"]
    assert document["spread"] == {"errors": "-0.66", "fee": "-3.65", "minimum": "-2.99"}


def test_tiers_over_a_year_are_a_fold_too() -> None:
    tiers = [{"up_to": 100, "unit_amount": 1}, {"up_to": None, "unit_amount": "0.5"}]
    graduated = {"model": "graduated", "tiers": tiers}
    prices = book({"errors": {"category": "error", "cumulative": True, "included": 20, "price": graduated}})
    agreed, account, owed = contracts(), NEW, []
    for month, quantity in enumerate([15, 50, 0, 85, 10], 1):
        period = Period.month(2026, month)
        made = rated(prices, agreed, used(error=quantity), period, account)
        found = terms(prices, agreed, 1, period)
        assert isinstance(found, Terms)
        account = after_terms(found, account, made)
        owed.append(made.total)
    # 20 are included in all; of the 140 that are left 100 cost 1 and 40 cost 0.50.
    assert owed == [0, 45, 0, 70, 5]
    assert account.used_before == {"errors": 160}
