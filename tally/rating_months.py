"""Which billing periods a rater that stays rates now, by a clock that is a value: those that have begun and may change.

A period is rated from its beginning on, at every pass until usage is complete past its end: that rating is the one to
bill by, however late it comes. For SETTLING after its end it is looked at again every AGAIN, for what arrives late or
is replayed. Those that are older are left as they are: `tally rate --period` rates them where somebody wants it.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from rater.book import Contracts
from schemas.cycle import MONTHS
from schemas.period import Period
from tally.work import periods_of

SETTLING: Final = dt.timedelta(days=35)
"""After its end a period is rated for so long."""
LONGEST: Final = dt.timedelta(days=400)
"""Usage that is not complete for longer is nobody's who waits for a bill: a topic that should be retired."""
AGAIN: Final = dt.timedelta(hours=2)
"""Between two looks at a period that is complete."""
ABROAD: Final = dt.timedelta(hours=14)
"""How far local time is ahead of UTC at most: a month begins somewhere so long before it does in UTC."""


class DuePeriods:
    """Remembers which periods were rated once they were complete. Start it anew, and every period is due again."""

    def __init__(self) -> None:
        self.months: list[str] = []
        """The months of which any period is rated at all, at the time of the last pass."""
        self._now = self._complete_to = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._forgot_at: dt.datetime | None = None
        self._settled: set[tuple[dt.datetime, dt.datetime]] = set()
        self._contracts: Contracts | None = None
        self._periods: dict[Period, tuple[Period, ...]] = {}

    def begin(self, now: dt.datetime, contracts: Contracts, complete_to: dt.datetime | None = None) -> Iterator[Period]:
        """Yield the months that a pass at `now` goes through, in order: an account goes from month to month.

        `complete_to` is how far usage is complete now; where that is not known, as far as now.
        Whether a month has anything due is asked as it comes: rating the one before it may have said `forget`.
        """
        self._now = now
        self._complete_to = now if complete_to is None else max(min(now, complete_to), now - LONGEST)
        if contracts is not self._contracts:
            self._contracts, self._periods = contracts, {}
            self.forget()
        if self._forgot_at is None or now - self._forgot_at >= AGAIN:
            self.forget()
        months = [month for month in self._months() if any(map(self._open, self._of(month)))]
        self.months = [month.name for month in months]
        for month in months:
            if any(map(self.wanted, self._of(month))):
                yield month

    def wanted(self, period: Period) -> bool:
        """Say whether a billing period is due in this pass."""
        return self._open(period) and (period.start, period.end) not in self._settled

    def rated(self, month: Period, complete_to: dt.datetime | None) -> None:
        """Take that a month was rated to its end, from usage that was complete to that instant."""
        if complete_to is not None:
            due = [period for period in self._of(month) if self.wanted(period)]
            self._settled |= {(period.start, period.end) for period in due if period.end <= complete_to}

    def forget(self) -> None:
        """Let everything be due again: prices have changed, or what a period takes over from the one before it."""
        self._settled.clear()
        self._forgot_at = self._now

    def _open(self, period: Period) -> bool:
        return period.start <= self._now and (self._now < period.end + SETTLING or self._complete_to < period.end)

    def _months(self) -> Iterator[Period]:
        """Yield the months in which a period may begin that is open: back by the longest that anybody has."""
        assert self._contracts is not None, "a pass has begun"
        agreed = (signed for candidates in self._contracts.by_org.values() for signed in candidates)
        longest = max((MONTHS.get(signed.cycle.interval, 1) for signed in agreed), default=1)
        # A month longer than needed, for periods that end in the middle of one and days that end abroad.
        first = _number(min(self._now - SETTLING, self._complete_to)) - longest - 1
        for number in range(first, _number(self._now + ABROAD) + 1):
            year, month = divmod(number, 12)
            if 2000 <= year <= 2099:
                yield Period.month(year, month + 1)

    def _of(self, month: Period) -> tuple[Period, ...]:
        if month not in self._periods:
            assert self._contracts is not None, "a pass has begun"
            self._periods[month] = tuple(periods_of(self._contracts, month))
        return self._periods[month]


def _number(instant: dt.datetime) -> int:
    utc = instant.astimezone(dt.UTC)
    return utc.year * 12 + utc.month - 1
