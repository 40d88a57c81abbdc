"""Periods of a length: examples tell how many days a period has, and contracts when it begins."""

import datetime as dt
from fractions import Fraction
from typing import Any, Final

from schemas.cycle import Cycle, Interval
from schemas.period import Period
from tests.examples.case import PERIOD, NotUnderstood, Words, count

INTERVALS: Final[tuple[Interval, ...]] = ("month", "week", "quarter", "year", "half_year")
YEARS: Final = (2026, 2024)
"""A plain year and a leap year: every length that a period can have is in one of them."""
DAY: Final = dt.timedelta(days=1)

DIVISORS: Final[dict[str | None, str | None]] = {
    **dict.fromkeys((None, "actual days", "actual", "days"), None),
    **dict.fromkeys(("30-day month", "30 days", "fixed 30"), "fixed_30"),
    **dict.fromkeys(("seconds", "second"), "seconds"),
}


def divisor(words: Words) -> str | None:
    """Return how a price book says what parts of a period are parts of; None: its own days."""
    told = words.take("divisor")
    if not isinstance(told, str | None) or told not in DIVISORS:
        raise NotUnderstood(f"divisor {told!r}")
    return DIVISORS[told]


def cycle_period(interval: Interval, first: dt.date) -> Period:
    """Return the period of an interval that begins on a day."""
    return Period.days(*Cycle.anchored(first, interval).whole(first))


def billing(interval: str, period: Period) -> dict[str, Any]:
    """Return what a contract says to have a billing period."""
    return {"billing": {"interval": interval, "anchor": f"{period.start.date()}"}}


def interval_of(period: Period) -> Interval:
    """Return the interval that a period is of."""
    days = (period.end - period.start).days
    if days == 7:
        return "week"
    return "month" if days <= 31 else "quarter" if days <= 92 else "half_year" if days <= 184 else "year"


def of_days(interval: Interval | None, days: int | None) -> Period:
    """Return a billing period of so many days, of an interval where one is named."""
    for kind in INTERVALS if interval is None else (interval,):
        if kind == "week":
            candidates = [Period.days(dt.date(2026, 6, 1), dt.date(2026, 6, 8))]
        else:
            step = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}[kind]
            candidates = [_months(year, month, step) for year in YEARS for month in range(6, 13)]
            candidates += [_months(year, month, step) for year in YEARS for month in range(1, 6)]
        for period in candidates:
            if days is None or (period.end - period.start).days == days:
                return period
    raise NotUnderstood(f"a {interval or 'period'} of {days} days")


def stretched(interval: Interval | None, whole: int, days: int) -> tuple[int, int]:
    """Return days of a period; those of one that exists, in the same proportion, where none is so long."""
    if whole <= 0 or not 0 <= days <= whole:
        raise NotUnderstood(f"{days} days of {whole}")
    try:
        of_days(interval, whole)
    except NotUnderstood:
        if interval is not None:
            raise
        return days_of(Fraction(days, whole))
    return whole, days


def month_of(at: dt.datetime | None) -> Period:
    """Return the month of an instant."""
    if at is not None and not 2000 <= at.year <= 2099:
        raise NotUnderstood(f"{at.date()}, which is out of the years 2000 to 2099")
    return PERIOD if at is None else Period.month(at.year, at.month)


def _months(year: int, month: int, how_many: int) -> Period:
    after = month + how_many - 1
    return Period.days(dt.date(year, month, 1), dt.date(year + after // 12, after % 12 + 1, 1))


def days_of(fraction: Fraction) -> tuple[int, int]:
    """Return the days of a period, and how many of them are a fraction of it."""
    for days in (30, 28, 31, 29, 91, 90, 92, 89, 365, 366, 7, 181, 182, 183, 184):
        if (days * fraction).denominator == 1:
            return days, int(days * fraction)
    raise NotUnderstood(f"a fraction of {fraction} of a period, which ends within a day")


def stub(days: Any, whole: Any) -> tuple[Period, dict[str, Any]]:
    """Return the last so many days of a period of so many, and the contract that begins with them."""
    if not 0 < count(days) <= count(whole):
        raise NotUnderstood(f"{days} days of {whole}")
    all_of_it, some = stretched(None, count(whole), count(days))
    period = of_days(None, all_of_it)
    first = period.end.date() - some * DAY
    return Period.days(first, period.end.date()), {"from": f"{first}", **billing(interval_of(period), period)}
