"""Grants: which hold in a period, how much they are worth, and in which order they pay."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rater.account import NEW, Account, Balance
from rater.adjustments import finish
from rater.burning import opening
from rater.custom_unit import CustomUnit
from rater.grants import Grant, Grants, prorated
from schemas.money import exact
from schemas.period import Period
from schemas.prices import Step
from tests.rater.sheets import NOVEMBER, adjusted, grant, sheet, told

ids = st.sampled_from(["a", "b", "c", "d", "e", "f"])
days = st.sampled_from(["2026-10-15", "2026-11-01", "2026-11-10", "2026-11-30"])


@st.composite
def grants(draw: st.DrawFn, id_: str) -> Grant:
    fields: dict[str, Any] = {
        "from": draw(days),
        "until": draw(st.none() | st.sampled_from(["2026-12-01", "2027-01-01", "2028-01-01"])),
        "priority": draw(st.integers(0, 2)),
        "source": draw(st.sampled_from(["paid", "promotional"])),
        "charges": draw(st.none() | st.lists(st.sampled_from(["x", "y"]), min_size=1, unique=True)),
    }
    if draw(st.booleans()):
        return grant(id_, units=draw(st.integers(1, 500)), rate=draw(st.decimals("0.001", 3, places=3)), **fields)
    return grant(id_, draw(st.decimals("0.001", 300, places=3)), **fields)


several = st.lists(ids, unique=True, max_size=6).flatmap(lambda found: st.tuples(*(grants(id_) for id_ in found)))
charges = st.fixed_dictionaries({"x": st.decimals(0, 400, places=3), "y": st.decimals(0, 400, places=3)}).map(
    lambda found: {key: abs(amount) for key, amount in found.items()}
)


@given(several, charges, st.randoms(use_true_random=False))
def test_burning_takes_no_more_than_there_is_and_does_not_depend_on_the_list(
    found: tuple[Grant, ...], owed: dict[str, Decimal], shuffle: random.Random
) -> None:
    made = sheet(owed, grants=found)
    before = {line.charge: line.amount for line in made.lines}
    finish(made)
    opened = {balance.id: balance.left for balance in opening(found, NEW, NOVEMBER)}
    burned = {line.charge: -line.amount for line in made.lines if line.kind == "credit"}
    assert all(Decimal("0.01") <= taken <= opened[id_] for id_, taken in burned.items())
    assert all(net.amount >= 0 for net in made.nets().values())
    left = {balance.id: balance.left for balance in made.balances or ()}
    with exact():
        assert left == {id_: worth - burned.get(id_, Decimal(0)) for id_, worth in opened.items()}
        assert made.total == sum(before.values(), Decimal(0)) - sum(burned.values(), Decimal(0))
    # Whoever is still owed has burned every grant that may pay for it, to less than a cent.
    for charge, net in made.nets().items():
        if net.amount:
            payers = [one for one in found if one.charges is None or charge in one.charges]
            assert all(left[f"{one.id}@{one.since}"] < Decimal("0.01") for one in payers)
    mixed = list(found)
    shuffle.shuffle(mixed)
    again = sheet(owed, grants=tuple(mixed))
    finish(again)
    assert again.lines == made.lines


@given(several)
def test_the_order_is_total_and_as_documented(found: tuple[Grant, ...]) -> None:
    far = dt.date(9999, 1, 1)

    def documented(one: Grant) -> tuple[int, dt.date, int, dt.date, str]:
        return (
            one.priority,
            one.until or far,
            ["promotional", "paid"].index(one.source),
            one.since,
            one.id,
        )

    order = [balance.grant for balance in opening(found, NEW, NOVEMBER)]
    assert order == [one.id for one in sorted(found, key=documented)]


@pytest.mark.parametrize(
    ("start", "unit", "decimals", "expected"),
    [
        ("2025-01-20", "days", 8, "38.70967742"),  # 12 of 31 days
        ("2025-01-20", "seconds", 8, "38.70967742"),
        ("2025-01-20", "days", 2, "38.71"),
        ("2025-01-01", "days", 0, "100"),
        ("2025-01-31", "days", 0, "3"),
    ],
)
def test_a_recurring_grant_of_a_part_of_a_period(start: str, unit: str, decimals: int, expected: str) -> None:
    one = grant("it", 100, every="period", prorated=unit, decimals=decimals, **{"from": start})
    [balance] = opening([one], NEW, Period.month(2025, 1))
    assert balance.left == Decimal(expected)
    assert balance.start == dt.date.fromisoformat(start)
    [whole] = opening([one], NEW, Period.month(2025, 2))
    assert whole.left == 100


def test_a_stub_period_has_its_share_of_a_prorated_grant() -> None:
    one = grant("it", 100, every="period", prorated="days", **{"from": "2025-01-20"})
    stub = Period.days(dt.date(2025, 1, 20), dt.date(2025, 2, 1))
    assert [balance.left for balance in opening([one], NEW, stub, part=(12, 31))] == [Decimal("38.70967742")]


def test_days_are_those_of_the_zone_and_seconds_those_that_pass() -> None:
    """In Berlin, March 2026 has 31 days and an hour less than 31 × 24."""
    march = Period.days(dt.date(2026, 3, 1), dt.date(2026, 4, 1), "Europe/Berlin")
    dates = {"from": "2026-03-29", "until": "2026-04-01"}
    for unit, covered, whole in (("days", 3, 31), ("seconds", 3 * 24 - 1, 31 * 24 - 1)):
        one = grant("it", 31, every="period", prorated=unit, decimals=14, **dates)
        [balance] = opening([one], NEW, march, zone="Europe/Berlin")
        assert balance.left == prorated(Decimal(31), covered, whole, 14)


def test_half_a_minute_of_a_month() -> None:
    assert prorated(Decimal(1), 30, 2_678_400, 8) == Decimal("0.0000112")


def test_a_grant_opens_whole_until_the_account_mentions_it() -> None:
    one = grant("it", 100)
    assert [balance.left for balance in opening([one], NEW, NOVEMBER)] == [100]
    spent = Account(balances=(Balance("it", one.since, Decimal(0)),))
    assert [balance.left for balance in opening([one], spent, NOVEMBER)] == [0]


def test_what_is_left_of_a_grant_that_has_ended_pays_nothing() -> None:
    one = grant("it", 100, until="2026-11-01")
    left = Account(balances=(Balance("it", one.since, Decimal(30), NOVEMBER.start),))
    assert opening([one], left, NOVEMBER) == ()
    assert [balance.left for balance in opening([one], left, Period.month(2026, 10))] == [30]


def test_a_grant_is_invoiced_in_the_period_in_which_it_starts_and_in_no_other() -> None:
    one = grant("it", 100, invoice_amount=80, **{"from": "2026-11-15"})
    bought = {}
    for number in (11, 12):
        made = adjusted(sheet({}, grants=(one,), period=Period.month(2026, number)), end=True)
        bought[number] = told(made)
    assert bought == {11: ["prepaid 80"], 12: []}


def test_a_prorated_grant_is_paid_for_in_proportion() -> None:
    one = grant("it", 300, invoice_amount=150, every="period", prorated="days", **{"from": "2026-11-21"})
    [line] = adjusted(sheet({}, grants=(one,)), end=True).lines
    assert line.amount == 50
    assert line.explanation() == "credit worth 100, of 300 for 150: 50"


def test_what_is_unused_is_given_back_at_what_was_paid_for_it() -> None:
    one = grant("it", 1000, invoice_amount=800, unused="refund", until="2026-12-01", **{"from": "2026-11-01"})
    made = adjusted(sheet({"usage": 400}, grants=(one,)), end=True)
    assert told(made) == ["charge 400", "prepaid 800", "credit -400", "refund -480"]
    goes_on = grant("it", 1000, invoice_amount=800, unused="refund", until="2026-12-02", **{"from": "2026-11-01"})
    assert "refund" not in {line.kind for line in adjusted(sheet({"usage": 400}, grants=(goes_on,)), end=True).lines}


def test_buying_credit_is_neither_discounted_nor_paid_with_credit() -> None:
    found = (grant("free", 500), grant("pack", 100, invoice_amount=80, **{"from": "2026-11-01"}))
    made = adjusted(
        sheet({"usage": 10}, grants=found),
        {"kind": "credits"},
        {"kind": "discount_percent", "percent": 50},
        {"kind": "minimum", "amount": 7},
        end=True,
    )
    assert told(made) == ["charge 10", "prepaid 80", "credit -10", "true_up 7"]


def test_listed_twice_a_grant_is_bought_and_burned_once() -> None:
    one = grant("pack", 100, invoice_amount=80, **{"from": "2026-11-01"})
    made = adjusted(
        sheet({"a": 70, "b": 70}, grants=(one,)),
        {"kind": "credits", "charges": ["b"]},
        {"kind": "credits"},
        end=True,
    )
    assert told(made)[2:] == ["prepaid 80", "credit -70", "credit -30"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "give amount"),
        ({"amount": 1, "units": 2, "rate": 1}, "one of the two"),
        ({"units": 2}, "units and rate belong together"),
        ({"amount": 0}, "a grant of nothing"),
        ({"amount": 0, "recharge": {"amount": 1}, "invoice_amount": 1}, "is not invoiced"),
        ({"amount": 1, "rate": 2}, "units and rate belong together"),
        ({"amount": 1, "cost_basis": 1}, "a price for each unit"),
        ({"units": 1, "rate": 1, "cost_basis": 1, "invoice_amount": 1}, "not both"),
        ({"amount": 1, "source": "promotional", "invoice_amount": 1}, "costs nothing"),
        ({"amount": 1, "unused": "refund"}, "say invoice_amount or cost_basis"),
        ({"amount": 1, "rollover": {}}, "say every: period"),
        ({"amount": 1, "prorated": "days"}, "given whole"),
        ({"amount": 1, "overdraft": {}, "until": "2027-01-01"}, "drop until"),
        ({"amount": 1, "overdraft": {}, "every": "period"}, "given once"),
        ({"amount": 1, "recharge": {"amount": 0}}, "greater than 0"),
        ({"amount": 1, "every": "period", "recharge": {"amount": 1}}, "given once"),
        ({"amount": 1, "invoice_amount": 1, "unused": "refund", "recharge": {"amount": 1}}, "neither"),
        ({"amount": 1.5}, "write a plain decimal number"),
        ({"amount": 1, "until": "2019-01-01"}, "is not after from"),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Grant.model_validate({"id": "it", "from": "2020-01-01", **fields})


def test_a_contracts_grants_have_an_id_each() -> None:
    grants: TypeAdapter[list[Grant]] = TypeAdapter(Grants)
    one = {"id": "gift", "from": "2026-01-01", "amount": 1}
    with pytest.raises(ValidationError, match="two grants are called gift"):
        grants.validate_python([one, one])
    with pytest.raises(ValidationError, match="reserved-pool is taken"):
        grants.validate_python([{**one, "id": "reserved-pool"}])


def test_a_wallet_may_start_empty_and_recharge_itself() -> None:
    made = adjusted(sheet({"usage": 45}, grants=(grant("wallet", 0, recharge={"amount": 20}),)), end=True)
    assert told(made) == ["charge 45", "prepaid 60", "credit -45"]


def test_custom_units_convert_by_their_rate() -> None:
    credit = CustomUnit.model_validate({"unit": "credit", "rate": "0.008"})
    assert credit.bought(Decimal(1)) == 125
    assert credit.worth(Decimal(125)) == 1
    thirds = CustomUnit.model_validate({"rate": 3})
    assert thirds.bought(Decimal(1), 4) == Decimal("0.3333")
    with exact():
        steps = CustomUnit.model_validate({"unit": "credit", "rate": "0.5"}).priced(
            (Step("", Decimal(300), Decimal(300), Decimal(1)),)
        )
    assert sum(step.amount for step in steps) == 150
    assert "; ".join(map(str, steps)) == "300 × 1 = 300 credit; 300 credit × 0.5 = 150"
