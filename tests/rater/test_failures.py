"""Every way in which rating fails, by name; and that it never does so by a silent zero."""

from decimal import Decimal
from typing import Any, get_args

import pytest

from rater.rate import rate
from schemas.period import Period
from schemas.statements import FailureReason, OrgUsage
from tests.rater.books import NOVEMBER, book, contract, contracts, failed, rated, used

ERRORS = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}}
FEE = {"base": {"price": {"model": "flat", "amount": 5}}}


def version(since: str, until: str | None = None) -> dict[str, Any]:
    return {"from": since, **({"until": until} if until else {}), "charges": ERRORS}


# Each failure: the book, the contracts, usage, and (reason, category) with a part of the message.
CASES: dict[str, tuple[Any, Any, OrgUsage, FailureReason, str, str]] = {
    "no contract": (
        book(ERRORS),
        contracts(contract(2)),
        used(error=1),
        "no_contract",
        "",
        "no contract in contracts.yaml",
    ),
    "not begun": (
        book(ERRORS),
        contracts(contract(**{"from": "2026-12-01"})),
        used(error=1),
        "contract_not_in_force",
        "",
        "not in force at any time of 2026-11 (from 2026-12-01)",
    ),
    "ended": (
        book(ERRORS),
        contracts(contract(until="2026-11-01")),
        used(error=1),
        "contract_not_in_force",
        "",
        "until 2026-11-01",
    ),
    "a gap of its own is not filled by everyone's contract": (
        book(ERRORS),
        contracts(contract(), contract(1, id="own", until="2026-11-01")),
        used(error=1),
        "contract_not_in_force",
        "",
        "contract own",
    ),
    "two contracts at once": (
        book(ERRORS),
        contracts(contract(1), contract(1, id="other", **{"from": "2026-11-30"})),
        used(error=1),
        "contract_overlap",
        "",
        "more than one holds at the same time",
    ),
    "a gap between two contracts inside the period": (
        book(ERRORS),
        contracts(contract(1, until="2026-11-10"), contract(1, id="next", **{"from": "2026-11-12"})),
        used(error=1),
        "contract_changes_inside_period",
        "",
        "on 2026-11-10",
    ),
    "a contract begins inside the period": (
        book(ERRORS),
        contracts(contract(**{"from": "2026-11-02"})),
        used(error=1),
        "contract_changes_inside_period",
        "",
        "on 2026-11-02",
    ),
    "priced by another book": (
        book(ERRORS),
        contracts(contract(book="other")),
        used(error=1),
        "other_book",
        "",
        "by book other, this is book book",
    ),
    "no such plan": (
        book(ERRORS),
        contracts(contract(plan="gold")),
        used(error=1),
        "unknown_plan",
        "",
        "names plan gold",
    ),
    "another currency": (
        book(ERRORS),
        contracts(contract(currency="EUR")),
        used(error=1),
        "currency_mismatch",
        "",
        "in EUR, plan plan in USD",
    ),
    "an override of nothing": (
        book(ERRORS),
        contracts(contract(included={"error": 5})),
        used(error=1),
        "override_matches_nothing",
        "",
        "included of error, which is no counted charge",
    ),
    "an override of a fee": (
        book({**ERRORS, **FEE}),
        contracts(contract(included={"base": 5})),
        used(error=1),
        "override_matches_nothing",
        "",
        "base",
    ),
    "no price yet": (
        book(versions=[version("2027-01-01")]),
        contracts(),
        used(error=1),
        "price_not_in_force",
        "",
        "plan plan: not in force",
    ),
    "two prices at once": (
        book(versions=[version("2020-01-01"), version("2026-11-15")]),
        contracts(),
        used(error=1),
        "price_overlap",
        "",
        "from 2020-01-01, from 2026-11-15",
    ),
    "a gap between two prices inside the period": (
        book(versions=[version("2020-01-01", "2026-11-15"), version("2026-11-17")]),
        contracts(),
        used(error=1),
        "price_changes_inside_period",
        "",
        "no version holds from 2026-11-15 until 2026-11-17",
    ),
    "billed otherwise from a day inside the period on": (
        book(ERRORS),
        contracts(contract(1, until="2026-11-10"), contract(1, **{"from": "2026-11-10"}, billing={"anchor_day": 10})),
        used(error=1),
        "contract_changes_inside_period",
        "",
        "on 2026-11-10",
    ),
    "a month of a contract that is billed from the 15th": (
        book(ERRORS),
        contracts(contract(billing={"anchor_day": 15})),
        used(error=1),
        "not_a_billing_period",
        "",
        "2026-11 is no part of the billing period from 2026-10-15 to before 2026-11-15, UTC",
    ),
    "two overrides that are equally specific": (
        book(ERRORS),
        contracts(contract(overrides=[{"category": "error", "multiply": 2}, {"category": "error", "multiply": 3}])),
        used(error=1),
        "override_ambiguous",
        "",
        "two overrides of charge errors of plan plan are equally specific (category error; category error)",
    ),
    "an override that is no price": (
        book(ERRORS),
        contracts(contract(overrides=[{"change": {"unit_amount": "a lot"}}])),
        used(error=1),
        "override_does_not_fit",
        "",
        "overrides charge errors of plan: unit_amount: 'a lot' is not a plain decimal number",
    ),
    "an override of a charge that the plan has not": (
        book(ERRORS),
        contracts(contract(overrides=[{"charge": "spans", "multiply": 2}])),
        used(error=1),
        "override_matches_nothing",
        "",
        "overrides charge spans, which is no charge that this could change of plan plan",
    ),
    "no price of a category": (
        book(ERRORS),
        contracts(),
        used(span=7),
        "no_price",
        "span",
        "7 were used, but plan plan",
    ),
    "no price of a category that counted nothing": (
        book(ERRORS),
        contracts(),
        used(span=0),
        "no_price",
        "span",
        "0 were used",
    ),
    "a quantity that no column holds": (
        book(ERRORS),
        contracts(),
        used(error=10**20),
        "amount_too_large",
        "error",
        "charge errors",
    ),
    "a total that no column holds": (
        book(
            {name: {"category": name, "price": {"model": "per_unit", "unit_amount": 1}} for name in ("error", "span")}
        ),
        contracts(),
        used(error=10**20 - 1, span=1),
        "amount_too_large",
        "",
        "the total of 100,000,000,000,000,000,000",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failure_has_its_name_place_and_reason(name: str) -> None:
    prices, agreed, usage, reason, category, part = CASES[name]
    rating = rate(prices, agreed, usage, NOVEMBER)
    assert failed(rating) == [(reason, category)]
    assert part in str(rating.failures[0])
    assert f"organisation 1, period 2026-11{', category ' + category if category else ''}: " in str(rating.failures[0])
    assert not rating.complete


ELSEWHERE = {
    "needs_events",
    "needs_parts",
    "needs_groups",
    "needs_amount",
    "needs_account",
    "no_rule",
    "adjustment_matches_nothing",
    "budget_does_not_fit",
}
"""Reasons whose cases stand with what gives them."""


def test_every_reason_has_a_case() -> None:
    assert {case[3] for case in CASES.values()} | ELSEWHERE == set(get_args(FailureReason))


def test_what_can_be_priced_is_shown_beside_each_failure() -> None:
    rating = rate(
        book({**ERRORS, **FEE}, free=("session",)), contracts(), used(error=3, span=1, replay=2, session=9), NOVEMBER
    )
    assert failed(rating) == [("no_price", "replay"), ("no_price", "span")]
    assert rating.statement is not None
    assert rating.statement.total == 8
    assert not rating.complete


def test_a_fee_is_owed_without_any_usage_and_an_unused_charge_has_no_line() -> None:
    statement = rated(book({**FEE, **ERRORS}), used())
    assert [(line.charge, line.amount) for line in statement.lines] == [("base", Decimal(5))]
    assert statement.lines[0].categories == ""


def test_several_categories_are_summed_before_they_are_priced() -> None:
    charge = {"categories": ["default", "error"], "included": 10, "price": {"model": "per_unit", "unit_amount": 1}}
    [line] = rated(book({"errors": charge}), used(error=8, default=5)).lines
    assert (line.categories, line.quantity, line.amount) == ("default+error", Decimal(13), Decimal(3))


def test_a_contract_overrides_what_is_included() -> None:
    charge = {"category": "error", "included": 10, "price": {"model": "per_unit", "unit_amount": 1}}
    prices = book({"errors": charge})
    agreed = contracts(contract(), contract(2, included={"errors": 0}), contract(3, included={"errors": "12.5"}))
    totals = [rated(prices, used(org, error=13), agreed).total for org in (1, 2, 3)]
    assert totals == [3, 13, Decimal("0.5")]


def test_the_versions_in_force_are_picked_by_the_period() -> None:
    second = {
        "from": "2026-11-01",
        "charges": {"errors": {**ERRORS["errors"], "price": {"model": "per_unit", "unit_amount": 2}}},
    }
    prices = book(versions=[second, version("2020-01-01", "2026-11-01")])
    agreed = contracts(contract(1, id="old", until="2026-11-01"), contract(1, id="new", **{"from": "2026-11-01"}))
    found = [rated(prices, used(error=1), agreed, Period.parse(month)) for month in ("2026-10", "2026-11")]
    assert [(statement.contract, statement.total) for statement in found] == [("old", Decimal(1)), ("new", Decimal(2))]


def test_lines_are_rounded_as_the_plan_says_to_the_currency_s_minor_unit() -> None:
    charges = {"it": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.5"}}}
    totals = {
        mode: rated(
            book(charges, currency="JPY", rounding=mode), used(error=5), contracts(contract(currency="JPY"))
        ).total
        for mode in ("half_away", "half_even", "up", "down")
    }
    assert totals == {"half_away": 3, "half_even": 2, "up": 3, "down": 2}
