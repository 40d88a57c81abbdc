"""Corrections of a sealed period: the rounded truth less what was posted, charge by charge."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rater.account import NEW, Account
from rater.late import late_adjustment, posted_for
from rater.settling import after
from rater.sheet import nets_of
from schemas.money import exact
from schemas.statements import Line, Statement
from tests.rater.sheets import NOVEMBER, adjusted, grant, month, sheet, statement, told


def _unit(quantity: int, price: str = "0.001") -> Statement:
    with exact():
        return statement(sheet({"errors": quantity * Decimal(price)}, period=month(10)))


def test_late_usage_posts_the_difference_of_rounded_truths() -> None:
    """333 × 0.001 posts 0.33; at 666 the truth is 0.67, and 0.34 is posted."""
    sealed = _unit(333)
    [line] = late_adjustment(_unit(666), posted_for(sealed))
    assert sealed.total == Decimal("0.33")
    assert line.amount == Decimal("0.34")
    assert line.kind == "adjustment"
    assert line.applies_to == ("errors",)
    assert line.name == "errors, 2026-10: late usage"
    assert line.part_of_period == (month(10).start, month(10).end)
    assert line.explanation() == "all usage of 2026-10 known now 0.67; posted before -0.33"


def test_nothing_late_posts_nothing() -> None:
    sealed = _unit(333)
    assert late_adjustment(_unit(333), posted_for(sealed)) == ()
    late = late_adjustment(_unit(666), posted_for(sealed))
    assert late_adjustment(_unit(666), posted_for(sealed, late)) == ()


amounts = st.dictionaries(st.sampled_from("abc"), st.decimals(0, 100, places=4).map(abs), max_size=3)
percent = st.none() | st.integers(1, 100)


@given(st.lists(amounts, min_size=1, max_size=5), percent, st.none() | st.integers(0, 100))
def test_what_is_posted_is_always_the_rounded_truth(
    known: list[dict[str, Decimal]], off: int | None, most: int | None
) -> None:
    """However the truth changes, up or down, with what was agreed for the period applied to each."""
    rules = [] if off is None else [{"kind": "discount_percent", "percent": off}]
    rules += [] if most is None else [{"kind": "minimum", "amount": most}, {"kind": "maximum", "amount": most}]
    truths = [statement(adjusted(sheet(found, period=month(10)), *rules)) for found in known]
    posted: list[Line] = []
    for truth in truths[1:]:
        posted += late_adjustment(truth, posted_for(truths[0], posted))
        total = sum((Fraction(line.amount) for line in posted), Fraction(truths[0].total))
        assert total == Fraction(truth.total)
        by_charge = {key: amount for key, amount in posted_for(truths[0], posted).items() if amount}
        assert by_charge == {key: amount for key, amount in nets_of(truth.lines).items() if amount}


def test_a_correction_is_paid_with_credit_and_not_discounted_again() -> None:
    [late] = late_adjustment(_unit(6660), posted_for(_unit(3330)))
    made = sheet({"errors": 10}, period=NOVEMBER)
    made.add(late)
    adjusted(
        made,
        {"kind": "discount_percent", "percent": 50},
        {"kind": "minimum", "amount": 6},
        {"kind": "maximum", "amount": 6},
    )
    assert told(made) == ["charge 10", "adjustment 3.33", "discount -5", "true_up 1"]
    paid = sheet({"errors": 10}, period=NOVEMBER, account=_credit("100"))
    paid.add(late)
    adjusted(paid, {"kind": "account_credit", "charges": ["errors"]})
    assert told(paid)[-1] == "credit -13.33"


def test_credit_pays_for_late_usage_once_and_where_it_is_posted() -> None:
    """October had credit left: its correction is posted in November, whole, and paid from it there."""
    grants = (grant("wallet", 100),)
    sealed = statement(adjusted(sheet({"errors": 30}, period=month(10), grants=grants), end=True))
    account = after(NEW, sealed, grants)
    known = statement(adjusted(sheet({"errors": 50}, period=month(10), grants=grants), end=True))
    [late] = late_adjustment(known, posted_for(sealed))
    made = sheet({"errors": 10}, account=account, grants=grants)
    made.add(late)
    adjusted(made, end=True)
    assert told(made) == ["charge 10", "adjustment 20", "credit -30"]
    assert [balance.left for balance in after(account, statement(made), grants).balances] == [40]
    assert late_adjustment(known, posted_for(sealed, made.lines)) == ()


def test_what_was_given_back_of_a_grant_is_not_corrected_beside_the_usage() -> None:
    """800 of 1,000 were used and 200 given back; 50 that come late are owed once."""
    dates = {"from": "2026-10-01", "until": "2026-11-01"}
    grants = (grant("advance", 1000, invoice_amount=1000, unused="refund", **dates),)
    sealed, known = (
        statement(adjusted(sheet({"errors": used}, period=month(10), grants=grants), end=True)) for used in (800, 850)
    )
    assert [line.amount for line in sealed.lines] == [800, 1000, -800, -200]
    assert [line.amount for line in late_adjustment(known, posted_for(sealed))] == [50]


def _credit(amount: str) -> Account:
    return Account(credit=Decimal(amount))
