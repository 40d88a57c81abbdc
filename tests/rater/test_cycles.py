"""Billing periods: they tile time from the anchor in any zone, and never drift."""

import calendar
import datetime as dt
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cycle import MONTHS, Cycle, Interval
from schemas.period import Period, day_of, days_name, midnight

ZONES = sorted(available_timezones() - {"localtime"})
DAY = dt.timedelta(days=1)
NEW_CENTURY = dt.datetime(2000, 1, 3, tzinfo=dt.UTC)

zones = st.sampled_from(["UTC", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", *ZONES])
days = st.dates(dt.date(2000, 1, 1), dt.date(2098, 12, 31))
months = st.builds(Period.month, st.integers(2000, 2097), st.integers(1, 12))


@st.composite
def cycles(draw: st.DrawFn) -> Cycle:
    interval: Interval = draw(st.sampled_from(["week", "month", "quarter", "half_year", "year"]))
    anchor_day = draw(st.integers(1, 7 if interval == "week" else 31))
    return Cycle.on_day(anchor_day, interval, draw(days), draw(zones))


def anchored_bounds(cycle: Cycle, first: dt.date, count: int) -> list[dt.date]:
    """The first days of the periods after `first`, by going through the calendar a day at a time."""
    found: list[dt.date] = []
    day = first
    while len(found) < count:
        day += DAY
        last = calendar.monthrange(day.year, day.month)[1]
        if cycle.interval == "week":
            bound = day.toordinal() % 7 == cycle.phase
        else:
            begins = (day.year * 12 + day.month - 1) % MONTHS[cycle.interval] == cycle.phase
            bound = begins and day.day == min(cycle.day, last)
        if bound:
            found.append(day)
    return found


@given(cycles(), days)
def test_periods_tile_time_without_gap_or_overlap_from_the_anchor(cycle: Cycle, since: dt.date) -> None:
    found = list(islice(cycle.periods(since), 6))
    assert found[0].start == midnight(since, cycle.zone)
    for one, after in pairwise(found):
        assert one.end == after.start
    assert [cycle.day_of(period.start) for period in found[1:]] == anchored_bounds(cycle, since, 5)


@given(cycles(), days, st.integers(-50, 50))
def test_a_bound_is_computed_from_the_anchor_wherever_one_begins(cycle: Cycle, day: dt.date, steps: int) -> None:
    index = cycle.index(day) + steps
    bound = cycle.bound(index)
    assert cycle.index(bound) == index == cycle.index(bound - DAY) + 1
    assert cycle.whole(bound) == (bound, cycle.bound(index + 1))
    assert next(cycle.periods(bound)) == next(islice(cycle.periods(cycle.bound(index - 7)), 7, None))


@given(st.integers(29, 31), st.integers(2000, 2090))
def test_a_short_month_has_its_last_day_and_the_next_one_the_anchor_again(day: int, year: int) -> None:
    cycle = Cycle.on_day(day, "month", dt.date(year, 1, 15))
    found = [cycle.day_of(period.start) for period in islice(cycle.periods(dt.date(year, 1, day)), 24)]
    assert [(found.year, found.month) for found in found] == [(year + n // 12, n % 12 + 1) for n in range(24)]
    assert [d.day for d in found] == [min(day, calendar.monthrange(d.year, d.month)[1]) for d in found]


@given(cycles(), days, st.none() | st.integers(1, 1500), months)
def test_every_period_begins_in_exactly_one_month(
    cycle: Cycle, since: dt.date, length: int | None, month: Period
) -> None:
    until = None if length is None else since + dt.timedelta(days=length)
    start = month.start.date()
    following = Period.month((start + 31 * DAY).year, (start + 31 * DAY).month)
    found = [*cycle.beginning_in(month, since, until), *cycle.beginning_in(following, since, until)]
    expected = []
    for period in cycle.periods(since, until):
        if cycle.day_of(period.start) >= following.end.date():
            break
        if cycle.day_of(period.start) >= start:
            expected.append(period)
    assert found == expected


def test_until_cuts_the_last_period_and_a_start_off_the_anchor_makes_a_stub() -> None:
    cycle = Cycle.on_day(15, "month", dt.date(2026, 11, 5))
    found = [str(period) for period in cycle.periods(dt.date(2026, 11, 5), dt.date(2027, 1, 1))]
    assert found == ["2026-11-05 to 2026-11-14", "2026-11-15 to 2026-12-14", "2026-12-15 to 2026-12-31"]


@pytest.mark.parametrize(
    ("first", "after", "name"),
    [
        ("2026-11-01", "2026-12-01", "2026-11"),
        ("2026-12-01", "2027-01-01", "2026-12"),
        ("2026-10-01", "2027-01-01", "2026-Q4"),
        ("2026-01-01", "2026-04-01", "2026-Q1"),
        ("2026-02-01", "2026-05-01", "2026-02-01 to 2026-04-30"),
        ("2026-01-01", "2027-01-01", "2026"),
        ("2026-07-01", "2027-07-01", "2026-07-01 to 2027-06-30"),
        ("2026-11-15", "2026-12-15", "2026-11-15 to 2026-12-14"),
        ("2026-11-15", "2026-11-16", "2026-11-15"),
    ],
)
def test_a_period_is_named_as_people_name_it(first: str, after: str, name: str) -> None:
    assert days_name(dt.date.fromisoformat(first), dt.date.fromisoformat(after)) == name


def test_the_first_cycle_of_nothing_said_is_the_calendar_month() -> None:
    cycle = Cycle.on_day(1, "month", dt.date(2020, 5, 17))
    [november] = cycle.beginning_in(Period.month(2026, 11), dt.date(2020, 5, 17))
    assert november == Period.month(2026, 11) == Period.parse("2026-11")


# ---- local midnights ----


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("America/New_York", "2026-03-08", "2026-03-08T05:00Z"),  # clocks change at 02:00
        ("America/New_York", "2026-03-09", "2026-03-09T04:00Z"),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00Z"),
        ("America/New_York", "2026-11-02", "2026-11-02T05:00Z"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z"),  # from 00:00 to 01:00: the day begins at 01:00
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00Z"),  # from 00:00 back to 23:00 of the day before
        ("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00Z"),  # from 01:00 back to 00:00: the first of two midnights
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30Z"),  # a minute after midnight back to 23:01
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00Z"),  # from 00:00 to 01:00
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z"),  # half an hour
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z"),  # a day that was left out
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z"),
    ],
)
def test_a_day_begins_at_the_first_instant_of_its_date(zone: str, day: str, instant: str) -> None:
    begins = midnight(dt.date.fromisoformat(day), zone)
    assert begins == dt.datetime.fromisoformat(instant)
    before = (begins - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()
    assert before < dt.date.fromisoformat(day)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-11-02", 24)])
def test_a_day_on_which_clocks_change_has_another_length(day: str, hours: int) -> None:
    first = dt.date.fromisoformat(day)
    period = Period.days(first, first + DAY, "America/New_York")
    assert period.end - period.start == dt.timedelta(hours=hours)


@given(zones, st.integers(int(NEW_CENTURY.timestamp()), int(NEW_CENTURY.timestamp()) + 98 * 365 * 86_400))
def test_an_instant_is_in_one_day(zone: str, second: int) -> None:
    at = dt.datetime.fromtimestamp(second, dt.UTC)
    day = day_of(at, zone)
    assert midnight(day, zone) <= at < midnight(day + DAY, zone)


def test_a_clock_that_goes_back_over_midnight_makes_no_day_again() -> None:
    zone, minute = "America/St_Johns", dt.timedelta(minutes=1)
    begins = midnight(dt.date(2010, 11, 7), zone)
    assert (begins + minute).astimezone(ZoneInfo(zone)).date() == dt.date(2010, 11, 6)
    assert [day_of(begins + n * minute, zone).day for n in (-1, 0, 1, 90)] == [6, 7, 7, 7]


def test_every_local_midnight_falls_between_the_longest_windows() -> None:
    years = [
        dt.date(year, month, day) for year in (2000, 2011, 2026, 2037) for month in (1, 4, 7, 10) for day in (1, 30)
    ]
    off = [(zone, day) for zone in ZONES for day in years if midnight(day, zone).timestamp() % 900]
    assert off == []
