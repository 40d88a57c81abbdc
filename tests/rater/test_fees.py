"""Fees: where they are due, and an oracle that goes through a contract's life day by day."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.terms import Terms, billing_periods, terms
from schemas.cycle import Cycle, Interval
from schemas.period import Period
from tests.rater.books import NOVEMBER, book, contract, contracts, rated, used
from tests.rater.months import FEE, NEW_YORK, fee, lines, months, version

DAY = dt.timedelta(days=1)
BEGIN = dt.date(2026, 1, 1)

INTERVALS: list[Interval] = ["week", "month", "quarter", "half_year", "year"]
NO_INTERVAL: list[Interval | None] = [None, *INTERVALS]

intervals = st.sampled_from(INTERVALS)
amounts = st.integers(0, 5000)


class Life(NamedTuple):
    """A contract from its first to its last day, and all that changes what its fee costs."""

    since: dt.date
    until: dt.date
    interval: Interval
    usage: Interval | None
    fee_interval: Interval | None
    anchor_day: int
    zone: str
    in_advance: bool
    trial: int
    prices: list[tuple[dt.date, int | None]]
    """Plan versions: from which day on which price; None: the plan then has no such fee."""
    factors: list[tuple[dt.date, dt.date, int]]
    """Overrides with dates that do not overlap: from, until, the price times so much."""
    amended: dt.date | None
    """A day on which the same contract is written down again."""


@st.composite
def lives(draw: st.DrawFn) -> Life:
    since = BEGIN + draw(st.integers(0, 400)) * DAY
    length = draw(st.integers(2, 500))
    days = st.integers(1, length - 1).map(lambda after: since + after * DAY)
    interval = draw(intervals)
    usage: Interval | None = "month" if interval != "week" and draw(st.booleans()) else None
    changes = draw(st.lists(days, max_size=3, unique=True).map(sorted))
    prices = [(day, draw(st.none() | amounts)) for day in (BEGIN, *changes)]
    edges = draw(st.lists(days, max_size=4, unique=True).map(sorted))
    factors = [(one, after, draw(st.integers(0, 3))) for one, after in list(pairwise(edges))[::2]]
    return Life(
        since,
        since + length * DAY,
        interval,
        usage,
        draw(st.sampled_from(NO_INTERVAL)),
        draw(st.integers(1, 7 if interval == "week" else 31)),
        draw(st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"])),
        draw(st.booleans()),
        draw(st.sampled_from([0, 0, 10, 45])),
        prices,
        factors,
        draw(st.none() | days),
    )


def oracle(life: Life) -> Fraction:
    """What the fee comes to over the whole contract, a day at a time."""
    if life.fee_interval == "week" != life.interval:
        cycle = Cycle.anchored(life.since, "week")
    elif life.interval == "week" and life.fee_interval not in (None, "week"):
        cycle = Cycle.on_day(1, life.fee_interval or "week", life.since)
    else:
        cycle = Cycle.on_day(life.anchor_day, life.fee_interval or life.interval, life.since)
    total, day = Fraction(0), life.since
    while day < life.until:
        price = next(amount for since, amount in reversed(life.prices) if since <= day)
        if price is not None and day >= life.since + life.trial * DAY:
            times = next((factor for one, after, factor in life.factors if one <= day < after), 1)
            first, after = cycle.whole(day)
            total += Fraction(price * times, (after - first).days)
        day += DAY
    return total


def owed(life: Life) -> Fraction:
    """What all statements of the contract say that its fee comes to, before rounding."""
    fee: dict[str, Any] = {"model": "flat", "in_advance": life.in_advance}
    if life.fee_interval is not None:
        fee["interval"] = life.fee_interval
    other = {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}
    versions = []
    for (since, amount), after in zip(life.prices, [*(day for day, _ in life.prices[1:]), None], strict=True):
        base = {} if amount is None else {"base": {"price": {**fee, "amount": amount}}}
        ends = {} if after is None else {"until": f"{after}"}
        versions.append({"from": f"{since}", **ends, "charges": {"other": other, **base}})
    overrides = [
        # An override of every price matches the other charge also where the plan has no fee.
        {"from": f"{one}", "until": f"{after}", "multiply": factor}
        for one, after, factor in life.factors
    ]
    billing = {"interval": life.interval, "anchor_day": life.anchor_day, "zone": life.zone}
    whole = contract(
        1,
        **{"from": f"{life.since}"},
        until=f"{life.until}",
        billing={**billing, **({"usage": life.usage} if life.usage else {})},
        overrides=overrides,
        **({"trial": {"days": life.trial}} if life.trial else {}),
    )
    written = [whole]
    if life.amended is not None:
        written = [{**whole, "until": f"{life.amended}"}, {**whole, "from": f"{life.amended}"}]
    agreed, prices = contracts(*written), book(versions=versions)
    total = Fraction(0)
    for number in range(48):
        for period in billing_periods(agreed, 1, Period.month(2025 + number // 12, number % 12 + 1)):
            found = terms(prices, agreed, 1, period)
            assert isinstance(found, Terms), found
            for part in found.fees.get("base", ()):
                total += Fraction(part.amount) * part.share
    return total


@given(lives())
def test_the_fees_of_all_statements_are_the_price_of_every_day(life: Life) -> None:
    assert owed(life) == oracle(life)


# ---- where fees are due ----

Y = {"from": "2026-04-15", "billing": {"interval": "year", "anchor_day": 15, "usage": "month"}}


def test_a_year_s_fee_is_due_at_its_end_and_months_of_usage_lie_in_it() -> None:
    agreed = contracts(contract(1, **Y))
    assert months(book(fee(365)), agreed, "2026-04", 14) == [[]] * 11 + [["365.00"]] + [[]] * 2
    assert str(billing_periods(agreed, 1, NOVEMBER)[0]) == "2026-11-15 to 2026-12-14"


def test_a_year_s_fee_in_advance_is_due_at_its_beginning_and_a_change_is_settled_where_it_happens() -> None:
    agreed = contracts(
        contract(1, **Y, until="2026-11-25"),
        contract(1, **{**Y, "from": "2026-11-25"}, overrides=[{"multiply": 2}]),
    )
    owed = months(book(fee(365, in_advance=True)), agreed, "2026-04", 13)
    assert owed[0] == ["365.00"]
    assert owed[7] == ["-141.00", "282.00"]  # 141 days are left from 25 November to 15 April
    assert owed[12] == ["730.00"]
    assert [statement for statement in owed if statement] == [owed[0], owed[7], owed[12]]


def test_a_year_s_fee_at_its_end_is_owed_at_the_price_of_each_day() -> None:
    agreed = contracts(
        contract(1, **Y, until="2026-11-25"),
        contract(1, **{**Y, "from": "2026-11-25"}, overrides=[{"multiply": 2}]),
    )
    owed = months(book(fee(365)), agreed, "2026-04", 12)
    assert owed == [[]] * 11 + [["224.00", "282.00"]]


def test_a_fee_has_an_interval_of_its_own() -> None:
    agreed = contracts(contract(1, **{"from": "2026-01-10"}, billing={"anchor_day": 10}))
    assert months(book(fee(90, interval="quarter")), agreed, "2026-01", 4) == [[], [], ["90.00"], []]
    assert months(book(fee(90, interval="quarter", in_advance=True)), agreed, "2026-01", 4) == [
        ["90.00"],
        [],
        [],
        ["90.00"],
    ]
    weekly = contracts(contract(1, **{"from": "2026-11-02"}, until="2026-12-09"))  # 5 weeks and 2 days
    found = months(book(fee(100, interval="week")), weekly, "2026-11", 2)
    assert sum(Decimal(amount) for statement in found for amount in statement) == Decimal("528.57")


def test_a_year_s_fee_of_a_contract_in_phases_is_owed_at_the_price_of_each() -> None:
    phases = [{"cycles": 6, "overrides": [{"multiply": "0.5"}]}]
    agreed = contracts(contract(1, **{"from": "2026-01-01"}, phases=phases))
    owed = months(book(fee(365, interval="year")), agreed, "2026-01", 12)
    assert owed == [[]] * 11 + [["90.50", "184.00"]]  # 181 and 184 days


def test_an_amendment_after_the_trial_that_says_nothing_of_it_makes_no_second_line() -> None:
    began = contract(1, **{"from": "2026-11-01"}, until="2026-11-20", trial={"days": 10})
    agreed = contracts(began, contract(1, **{"from": "2026-11-20"}))
    assert lines(book(fee(30)), agreed) == [["20.00"]]
    within = contracts({**began, "until": "2026-11-05"}, contract(1, **{"from": "2026-11-05"}))
    assert lines(book(fee(30)), within) == [["26.00"]]  # nothing for four days


def test_a_fee_that_has_ended_is_due_where_its_period_ends_or_is_given_back_where_it_does() -> None:
    yearly = contracts(contract(1, **{"from": "2026-01-01"}))
    other = {"other": {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}}

    def prices(**more: Any) -> Any:
        base = fee(365, interval="year", **more)["base"] | {"name": "Base fee"}
        first = version("2020-01-01", {"base": base, **other}, "2026-03-01")
        return book(versions=[first, version("2026-03-01", other)])

    assert months(prices(), yearly, "2026-01", 13) == [[]] * 11 + [["59.00"]] + [[]]
    assert months(prices(in_advance=True), yearly, "2026-01", 4) == [["365.00"], [], ["-306.00"], []]
    [line] = rated(prices(), used(), yearly, Period.month(2026, 12)).lines
    assert (line.charge, line.name, line.explanation()) == ("base", "Base fee", "fee 365, 59 of 365 days: 59")


def test_nobody_has_to_know_what_held_before_a_fee_of_the_month_ended() -> None:
    other = {"other": {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}}
    short = [version("2026-09-01", {**FEE, **other}, "2026-10-01"), version("2026-10-01", other)]
    assert months(book(versions=short), contracts(contract(1)), "2026-09", 3) == [["30.00"], [], []]


def test_a_one_time_fee_is_owed_once_in_full_where_the_contract_begins() -> None:
    prices = book({**FEE, "setup": {"price": {"model": "flat", "amount": 500, "one_time": True}}})
    agreed = contracts(
        contract(1, **{"from": "2026-11-20"}, until="2026-12-10", trial={"days": 60}),
        contract(1, **{"from": "2026-12-10"}),  # an amendment: it began before
    )
    assert months(prices, agreed, "2026-11", 3) == [["500.00"], ["21.29"], ["30.00"]]


@pytest.mark.parametrize(
    ("prorate", "owed"), [("days", "10.00"), ("fixed_30", "10.00"), ("seconds", "10.00"), ("none", "30.00")]
)
def test_a_begun_period_owes_its_part_or_all_of_it(prorate: str, owed: str) -> None:
    agreed = contracts(contract(1, **{"from": "2026-11-21"}))
    assert lines(book(fee(30, prorate=prorate)), agreed) == [[owed]]


@pytest.mark.parametrize(("prorate", "owed"), [("days", "0.97"), ("fixed_30", "1.00"), ("seconds", "0.97")])
def test_the_divisor_is_the_anchored_period_s_or_30(prorate: str, owed: str) -> None:
    agreed = contracts(contract(1, **{"from": "2026-12-31"}))
    assert lines(book(fee(30, prorate=prorate)), agreed, "2026-12") == [[owed]]


def test_seconds_count_a_long_day_for_what_it_is() -> None:
    agreed = contracts(contract(1, **{"from": "2026-11-01"}, until="2026-11-02", billing=NEW_YORK))
    assert lines(book(fee(721, prorate="seconds")), agreed) == [["25.00"]]  # 25 of the month's 721 hours
    assert lines(book(fee(721)), agreed) == [["24.03"]]  # a day of 30


def test_a_one_time_fee_that_says_when_it_is_owed_is_refused() -> None:
    with pytest.raises(Exception, match="never prorated and never in advance"):
        book(fee(1, one_time=True, in_advance=True))
