"""Proration: shares of periods are exact, sum to the whole, and are rounded once, on the line."""

import datetime as dt
import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.proration import Part, Price, Stretch, divided, in_advance, in_arrears, share, shown, told
from schemas.cycle import Cycle, Divisor

CENT = Decimal("0.01")
NEVER = dt.date.min
DAY = dt.timedelta(days=1)

amounts = st.decimals(0, 10**6, places=6).map(abs)
intervals: Any = st.sampled_from(["week", "month", "quarter", "half_year", "year"])
divisors: Any = st.sampled_from(["days", "seconds"])
zones = st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"])
days = st.dates(dt.date(2000, 1, 1), dt.date(2090, 12, 31))


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def days_of(first: str, after: str) -> Stretch:
    return Stretch(day(first), day(after))


def cents(parts: list[Part]) -> list[Decimal]:
    return [part.rounded(CENT, "half_away") for part in parts]


@st.composite
def cycles(draw: st.DrawFn) -> Cycle:
    interval = draw(intervals)
    return Cycle.on_day(draw(st.integers(1, 7 if interval == "week" else 31)), interval, draw(days), draw(zones))


@given(cycles(), divisors, days, st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_splitting_a_stretch_anywhere_sums_to_the_whole(
    cycle: Cycle, divisor: Divisor, first: dt.date, lengths: list[int]
) -> None:
    edges = [first]
    for length in lengths:
        edges.append(edges[-1] + length * DAY)
    parts = [share(cycle, Stretch(*ends), divisor) for ends in itertools.pairwise(edges)]
    assert sum(parts) == share(cycle, Stretch(first, edges[-1]), divisor)


@given(cycles(), st.sampled_from(["days", "seconds", "fixed_30", "none"]), days)
def test_whole_periods_are_never_a_fraction(cycle: Cycle, divisor: Any, within: dt.date) -> None:
    index = cycle.index(within)
    for count in (1, 3):
        assert share(cycle, Stretch(cycle.bound(index), cycle.bound(index + count)), divisor) == count


@given(cycles(), amounts, days, st.integers(0, 400))
def test_splitting_a_fee_at_any_day_sums_to_the_fee(cycle: Cycle, amount: Decimal, within: dt.date, at: int) -> None:
    """However often the plan changes hands in a period, the exact parts are the whole; lines are rounded after."""
    first, after = cycle.whole(within)
    cut = first + min(at, (after - first).days) * DAY
    parts = [
        part
        for stretch in (Stretch(first, cut), Stretch(cut, after))
        for part in in_arrears(cycle, [Price(stretch, amount, first)], "days")
    ]
    assert sum(Fraction(part.numerator) / part.denominator for part in parts) == Fraction(amount)
    rounded = sum(cents(parts), Decimal(0))
    assert abs(Fraction(rounded) - Fraction(amount)) <= Fraction(1, 200) * len(parts)


@given(cycles(), amounts, amounts, days, st.integers(0, 400), divisors)
def test_in_advance_and_in_arrears_owe_the_same_before_rounding(
    cycle: Cycle, old: Decimal, new: Decimal, within: dt.date, at: int, divisor: Divisor
) -> None:
    whole = Stretch(*cycle.whole(within))
    cut = whole.first + min(at, whole.days) * DAY
    prices = [Price(Stretch(whole.first, cut), old, NEVER), Price(Stretch(cut, whole.after), new, NEVER)]
    held = [price for price in prices if price.stretch.days]
    passed = in_arrears(cycle, held, divisor)
    paid = in_advance(cycle, held, divisor, whole.after, whole)
    owed = [sum(Fraction(part.amount) * part.share for part in parts) for parts in (passed, paid)]
    assert owed[0] == owed[1]


@given(cycles(), amounts, days, st.integers(1, 400), divisors)
def test_a_change_to_the_same_price_makes_no_lines(
    cycle: Cycle, amount: Decimal, within: dt.date, at: int, divisor: Divisor
) -> None:
    whole = Stretch(*cycle.whole(within))
    cut = whole.first + min(at, whole.days - 1) * DAY
    cuts = [Price(Stretch(whole.first, cut), amount, NEVER), Price(Stretch(cut, whole.after), amount, NEVER)]
    [passed] = in_arrears(cycle, cuts, divisor)
    [paid] = in_advance(cycle, cuts, divisor, whole.after, whole)
    assert passed == paid == Part("fee", amount, Fraction(1), whole, "", NEVER)


# Amount, cycle's anchor and interval, days, divisor => cents. Each can be checked with a pocket calculator.
TABLE: list[tuple[str, str, Any, str, str, Any, str, str]] = [
    ("24.95", "2021-09-25", "month", "2021-09-17", "2021-09-25", "days", "6.44", "8 of 31 days"),
    ("24.95", "2021-10-17", "month", "2021-09-25", "2021-10-17", "days", "18.30", "22 of 30 days"),
    ("50", "2026-08-01", "month", "2026-08-10", "2026-09-01", "days", "35.48", "22 of 31 days"),
    ("910", "2022-04-15", "quarter", "2022-05-20", "2022-06-21", "days", "320.00", "32 of 91 days"),
    ("1", "2022-06-20", "week", "2022-06-22", "2022-06-27", "days", "0.71", "5 of 7 days"),
    ("100", "2026-07-01", "month", "2026-07-01", "2026-08-15", "fixed_30", "146.67", "1 period and 14 of 30 days"),
    ("100", "2026-07-01", "month", "2026-07-01", "2026-08-15", "days", "145.16", "1 period and 14 of 31 days"),
    ("100", "2026-11-02", "week", "2026-11-02", "2026-12-09", "days", "528.57", "5 periods and 2 of 7 days"),
    ("3650", "2026-01-01", "year", "2026-12-02", "2027-01-01", "days", "300.00", "30 of 365 days"),
    ("30", "2026-03-01", "month", "2026-03-01", "2026-03-31", "fixed_30", "30.00", "30 of 30 days"),
    ("7", "2026-11-02", "week", "2026-11-03", "2026-11-04", "fixed_30", "1.00", "1 of 7 days"),
    ("9", "2026-11-01", "month", "2026-11-29", "2026-12-01", "none", "9.00", ""),
    ("100", "2024-02-29", "month", "2024-02-29", "2024-03-15", "days", "51.72", "15 of 29 days"),
    ("100", "2026-10-01", "month", "2026-10-01", "2026-11-01", "days", "100.00", ""),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row[:4]))
def test_a_part_of_a_fee_is_what_a_pocket_calculator_says(row: tuple[str, str, Any, str, str, Any, str, str]) -> None:
    amount, anchor, interval, first, after, divisor, expected, words = row
    cycle = Cycle.anchored(day(anchor), interval)
    price = Price(days_of(first, after), Decimal(amount), day(first))
    parts = in_arrears(cycle, [price], divisor)
    assert cents(parts) == [Decimal(expected)]
    assert parts[0].told == words
    assert str(parts[0]) == (f"{amount} for {words}".replace("3650", "3,650") if words else amount)


def test_seconds_count_a_day_on_which_clocks_change_for_what_it_is() -> None:
    november = Cycle.anchored(day("2026-11-01"), "month", "America/New_York")
    first = days_of("2026-11-01", "2026-11-02")
    assert share(november, first, "seconds") == Fraction(25, 30 * 24 + 1)
    assert share(november, first, "days") == Fraction(1, 30)
    assert told(november, first, "seconds") == "90,000 of 2,595,600 seconds"
    march = Cycle.anchored(day("2026-03-01"), "month", "America/New_York")
    assert share(march, days_of("2026-03-08", "2026-03-09"), "seconds") == Fraction(23, 31 * 24 - 1)


# The change on a day of March (31 days; clocks apart), old and new price => lines: back for the old, due for the new.
CHANGES = [
    ("2024-03-15", "50", "100", ["50.00", "-27.42", "54.84"]),
    ("2024-03-15", "100", "30", ["100.00", "-54.84", "16.45"]),
    ("2024-03-15", "0", "25", ["0.00", "0.00", "13.71"]),
    ("2024-03-01", "50", "100", ["100.00"]),
    ("2024-03-31", "31", "62", ["31.00", "-1.00", "2.00"]),
]


@pytest.mark.parametrize("row", CHANGES, ids=lambda row: "-".join(row[:3]))
def test_a_change_in_a_period_paid_in_advance_gives_back_and_charges_each_rounded(
    row: tuple[str, str, str, list[str]],
) -> None:
    at, old, new, expected = row
    march = Cycle.anchored(day("2024-03-01"), "month")
    whole = days_of("2024-03-01", "2024-04-01")
    prices = [
        Price(Stretch(whole.first, day(at)), Decimal(old), whole.first),
        Price(Stretch(day(at), whole.after), Decimal(new), day(at)),
    ]
    parts = in_advance(march, [price for price in prices if price.stretch.days], "days", whole.after, whole)
    assert cents(parts) == [Decimal(amount) for amount in expected]
    assert [part.kind for part in parts] == ["fee", "refund", "fee"][: len(parts)]
    later = in_advance(march, prices, "days", whole.after, days_of("2024-04-01", "2024-05-01"))
    assert later == []


def test_a_fee_that_ends_is_given_back_and_one_that_begins_is_due_for_the_rest() -> None:
    november = Cycle.anchored(day("2026-11-01"), "month")
    whole = days_of("2026-11-01", "2026-12-01")
    halves = days_of("2026-11-01", "2026-11-16"), days_of("2026-11-16", "2026-12-01")
    ends = [Price(halves[0], Decimal(30), day("2026-11-01")), Price(halves[1], None, day("2026-11-16"))]
    begins = [ends[1]._replace(stretch=halves[0]), ends[0]._replace(stretch=halves[1])]
    assert cents(in_advance(november, ends, "days", whole.after, whole)) == [30, -15]
    assert cents(in_advance(november, begins, "days", whole.after, whole)) == [15]
    assert cents(in_arrears(november, ends, "days")) == [15]


def test_the_days_of_a_trial_owe_nothing_and_are_not_given_back() -> None:
    april = Cycle.anchored(day("2026-04-01"), "month")
    whole = days_of("2026-04-01", "2026-05-01")
    price = Price(whole, Decimal(50), whole.first)
    assert cents(in_arrears(april, [price._replace(free_until=day("2026-04-06"))], "days")) == [Decimal("41.67")]
    assert in_arrears(april, [price._replace(free_until=day("2026-05-01"))], "days") == []
    change = [
        Price(days_of("2026-04-01", "2026-04-03"), Decimal(50), whole.first, day("2026-04-06")),
        Price(days_of("2026-04-03", "2026-05-01"), Decimal(80), day("2026-04-03"), day("2026-04-06")),
    ]
    due = in_advance(april, change, "days", whole.after, whole)
    assert [(part.kind, part.stretch.first.day, part.share) for part in due] == [
        ("fee", 6, Fraction(25, 30)),
        ("refund", 6, Fraction(25, 30)),
        ("fee", 6, Fraction(25, 30)),
    ]
    without = [change[0], change[1]._replace(free_until=NEVER)]
    assert [part.share for part in in_advance(april, without, "days", whole.after, whole)] == [
        Fraction(25, 30),
        Fraction(25, 30),
        Fraction(28, 30),
    ]


@given(st.decimals(-(10**20), 10**20, places=18), st.integers(1, 10**9))
def test_a_quotient_is_rounded_once_from_its_exact_value(numerator: Decimal, denominator: int) -> None:
    exactly = Fraction(numerator) / denominator
    for step in (CENT, Decimal(1)):
        scaled = abs(exactly) / Fraction(step)
        count = (scaled + Fraction(1, 2)).__floor__()
        assert divided(numerator, denominator, step) == (count if exactly >= 0 else -count) * step
    assert abs(Fraction(shown(numerator, denominator)) - exactly) <= Fraction(1, 2 * 10**18)
