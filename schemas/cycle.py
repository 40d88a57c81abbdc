"""The cycle of billing periods: weeks, months, quarters or years that tile time from an anchor, in a time zone."""

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from schemas.period import Period, day_of

Interval = Literal["week", "month", "quarter", "half_year", "year"]
Divisor = Literal["days", "fixed_30", "seconds", "none"]
"""What the part of a period is measured in: its own days, months of 30 days, seconds; `none`: there are no parts."""

MONTHS: Final[dict[Interval, int]] = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
"""The months of each interval that is made of months."""
WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Cycle:
    """Billing periods without gap or overlap, in both directions from the anchor.

    `phase` is where the grid lies: the month (year × 12 + month − 1, modulo the interval's months) that a period
    begins in, or the day (its ordinal modulo 7) that a week begins on. `day` is the day of the month (1 to 31): a
    shorter month has its last day instead, and the next one has `day` again, since a bound is always computed from
    the anchor and never from the bound before. Two cycles with the same bounds are equal.
    """

    interval: Interval
    phase: int
    day: int
    zone: str = "UTC"

    @classmethod
    def anchored(cls, anchor: dt.date, interval: Interval, zone: str = "UTC", day: int | None = None) -> "Cycle":
        """Return the cycle of which `anchor` is a bound; `day` where the day meant is past the end of its month."""
        if interval == "week":
            return cls(interval, anchor.toordinal() % WEEK, 0, zone)
        return cls(interval, (anchor.year * 12 + anchor.month - 1) % MONTHS[interval], day or anchor.day, zone)

    @classmethod
    def on_day(cls, anchor_day: int, interval: Interval, start: dt.date, zone: str = "UTC") -> "Cycle":
        """Return the cycle anchored on a day (1 to 31) of the month that `start` is in.

        Of a week it is the weekday, from 1 for Monday to 7 for Sunday.
        """
        if interval == "week":
            monday = dt.date(2024, 1, 1)
            return cls.anchored(monday + dt.timedelta(days=anchor_day - 1), interval, zone)
        return cls.anchored(start, interval, zone, anchor_day)

    def bound(self, index: int) -> dt.date:
        """Return the first day of period number `index`; numbers rise by 1 a period, wherever 0 is."""
        if self.interval == "week":
            return dt.date.fromordinal(self.phase + WEEK * index)
        year, month = divmod(self.phase + MONTHS[self.interval] * index, 12)
        return dt.date(year, month + 1, min(self.day, calendar.monthrange(year, month + 1)[1]))

    def index(self, day: dt.date) -> int:
        """Return the number of the period that a day is in."""
        if self.interval == "week":
            return (day.toordinal() - self.phase) // WEEK
        index = (day.year * 12 + day.month - 1 - self.phase) // MONTHS[self.interval]
        return index if self.bound(index) <= day else index - 1

    def whole(self, day: dt.date) -> tuple[dt.date, dt.date]:
        """Return the period that a day is in, as its first day and the day after its last."""
        return _whole(self, day)

    def day_of(self, instant: dt.datetime) -> dt.date:
        """Return the local day of an instant."""
        return day_of(instant, self.zone)

    def periods(self, since: dt.date, until: dt.date | None = None) -> Iterator[Period]:
        """Yield the periods from `since` until `until` (exclusive; without end where None), in order.

        Where `since` is no bound the first period is a stub, from `since` to the next bound; `until` cuts the last.
        """
        first = since
        while until is None or first < until:
            after = self.whole(first)[1]
            if until is not None and until < after:
                after = until
            yield Period.days(first, after, self.zone)
            first = after

    def beginning_in(self, month: Period, since: dt.date, until: dt.date | None = None) -> Iterator[Period]:
        """Yield those periods that begin in a month: the local one of the year and month of `month`.

        None begin in most months of a yearly cycle, several in a month where a stub comes before an anchored period.
        """
        start = max(month.start.date(), since)
        after = month.end.date()
        if start > since:  # the first bound that is not before the month
            first, end = self.whole(start)
            start = first if first == start else end
        if start < after:
            for period in self.periods(start, until):
                if self.day_of(period.start) >= after:
                    return
                yield period


# Organisations by the million share a few cycles and days.
@lru_cache(maxsize=1 << 14)
def _whole(cycle: Cycle, day: dt.date) -> tuple[dt.date, dt.date]:
    index = cycle.index(day)
    return cycle.bound(index), cycle.bound(index + 1)
