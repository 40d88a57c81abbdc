"""Invoice thresholds: usage is billed as it reaches an amount, once, and the closing statement bills the rest."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rater.account import NEW, Account
from rater.interim import InvoiceThresholds, after_interim, interim, with_invoiced
from schemas.money import exact
from schemas.statements import Statement
from tests.rater.sheets import adjusted, charged, sheet, statement, told

UNIT = Decimal("0.0002")


def thresholds(*amounts: int | Decimal, **fields: Any) -> InvoiceThresholds:
    return InvoiceThresholds.model_validate({"amounts": list(amounts), **fields})


def so_far(units: int, account: Account, *rules: dict[str, Any], fee: int = 31) -> Statement:
    """The statement of the usage so far, with the fee that a closing one bills."""
    made = sheet({}, account=account)
    with exact():
        made.add(charged("fee", Decimal(fee)))
        made.add(charged("usage", units * UNIT, used=units))
    return statement(adjusted(made, *rules, end=True))


def run(rule: InvoiceThresholds, units: Sequence[int], *rules: dict[str, Any]) -> tuple[list[Statement], Statement]:
    """The interim statements as usage comes in, and the closing one."""
    account, total, found = NEW, 0, []
    for more in units:
        total += more
        due = interim(so_far(total, account, *rules), rule, account)
        if due is not None:
            found.append(due)
            account = after_interim(account, due)
    return found, so_far(total, account, *rules)


def test_the_closing_statement_takes_off_what_was_invoiced() -> None:
    before, closing = run(thresholds(200), [1_000_000, 1_000_000])
    assert [one.total for one in before] == [200]
    assert told(closing) == ["charge 31", "charge 400", "already_invoiced -200"]
    assert closing.total == 231


def test_a_second_threshold_bills_all_usage_to_date_less_the_first() -> None:
    before, closing = run(thresholds(200, 500), [1_000_000] * 3)
    assert [one.total for one in before] == [200, 400]
    assert told(before[1]) == ["charge 600", "already_invoiced -200"]
    assert closing.total == 31


def test_reaching_is_enough_and_one_statement_bills_several_thresholds() -> None:
    assert [one.total for one in run(thresholds(100, 200), [999_999, 1])[0]] == [Decimal("200.00")]
    assert [one.total for one in run(thresholds(100, 200), [499_999])[0]] == [100]
    assert run(thresholds(100, 200), [499_949])[0] == []


def test_past_the_last_threshold_every_so_much_more() -> None:
    before, closing = run(thresholds(200, then_every=100), [1_000_000, 499_000, 1_000, 900_000])
    assert [one.total for one in before] == [200, 100, 180]
    assert closing.total == 31


def test_a_discount_on_usage_counts_and_what_is_agreed_for_the_period_waits() -> None:
    rules = [
        {"kind": "discount_percent", "percent": 50, "charges": ["usage"]},
        {"kind": "minimum", "amount": 1000},
    ]
    before, closing = run(thresholds(200), [1_000_000, 1_000_000], *rules)
    assert [told(one) for one in before] == [["charge 400", "discount -200"]]
    assert closing.total == 800
    assert told(closing) == ["charge 31", "charge 400", "discount -200", "true_up 769", "already_invoiced -200"]


def test_of_a_cap_on_all_only_what_falls_on_usage_counts() -> None:
    """Fee and usage may come to 200: of the cap, usage bears its share, and no interim statement bills more."""
    before, closing = run(thresholds(150), [2_000_000], {"kind": "maximum", "amount": 200})
    assert [told(one) for one in before] == [["charge 400", "cap -214.39"]]
    assert before[0].lines[1].explanation() == "of -231 falls on usage: -214.39"
    assert before[0].total + closing.total == 200


@pytest.mark.parametrize(
    "rules",
    [
        [{"kind": "already_invoiced"}],
        [{"kind": "already_invoiced"}, {"kind": "already_invoiced", "id": "again"}],
        [{"kind": "already_invoiced", "charges": ["fee"]}],
        [{"kind": "already_invoiced", "charges": ["usage"]}, {"kind": "already_invoiced", "id": "again"}],
        [{"kind": "already_invoiced", "until": "2026-11-01"}],
    ],
)
def test_all_of_it_comes_off_once_however_it_is_listed(rules: list[dict[str, Any]]) -> None:
    before, closing = run(thresholds(200), [1_000_000, 500_000], *rules)
    assert [one.total for one in before] == [200]
    assert told(closing) == ["charge 31", "charge 300", "already_invoiced -200"]


def test_the_closing_statement_names_what_it_takes_off() -> None:
    account = with_invoiced(
        with_invoiced(NEW, {"usage": Decimal(200)}, "the first"), {"usage": Decimal(50)}, "the second"
    )
    line = so_far(2_000_000, account).lines[-1]
    assert line.explanation() == "the first: -200; the second: -50"
    assert line.spread == {"usage": -250}
    part = so_far(2_000_000, account, {"kind": "already_invoiced", "charges": ["usage"]}).lines[-1]
    assert part.explanation() == line.explanation()


def test_a_correction_below_what_was_invoiced_is_owed_back() -> None:
    due = interim(so_far(1_000_000, NEW), thresholds(200), NEW)
    assert due is not None
    account = after_interim(NEW, due)
    assert so_far(500_000, account).total == 31 - 100


@given(
    st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True).map(sorted),
    st.none() | st.integers(1, 500),
    st.lists(st.integers(0, 3_000_000), max_size=8),
    st.none() | st.integers(0, 300),
    st.booleans(),
)
def test_interim_and_closing_statements_sum_to_the_rounded_truth(
    amounts: list[int], every: int | None, units: list[int], most: int | None, of_all: bool
) -> None:
    cap = {"kind": "maximum", "amount": most, **({} if of_all else {"charges": ["usage"]})}
    rules = [] if most is None else [cap]
    before, closing = run(thresholds(*amounts, then_every=every), units, *rules)
    truth = so_far(sum(units), NEW, *rules)
    assert sum((Fraction(one.total) for one in [*before, closing]), Fraction(0)) == Fraction(truth.total)
    assert all(one.total > 0 for one in before)
    if every is None:
        assert len(before) <= len(amounts)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amounts": []}, "at least 1 item"),
        ({"amounts": [200, 100]}, "must rise"),
        ({"amounts": [200, 200]}, "must rise"),
        ({"amounts": [0]}, "greater than 0"),
        ({"amounts": [1], "then_every": 0}, "greater than 0"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        InvoiceThresholds.model_validate(fields)
