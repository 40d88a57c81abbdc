"""What is to be rated twice: each organisation's usage of a billing period, read once, with the work of both sides.

    before, after ──► billing periods of either ──► one reading with what both need to be told ──► pairs of work

Guarantees: both sides of a pair are made of the same usage, whatever is written meanwhile; each is the work that its
own book and contracts would have alone. Not guaranteed: that a side is given no more detail than it asks for.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rater.needs import joined
from schemas.period import Period
from schemas.statements import OrgUsage
from sinks.store import Store
from tally.rated import Prices
from tally.work import Members, Openings, Reading, Work, by_window, periods_of, read_used, with_the_unused


class Pair(NamedTuple):
    """One organisation's billing period, before and after; None where a side has no such period for it."""

    org_id: int
    period: Period
    before: Work | None
    after: Work | None

    @property
    def usage(self) -> OrgUsage:
        """Return the usage that both sides are made of."""
        work = self.before or self.after
        assert work is not None, "one side at least has such a period"
        return work.usage

    def of(self, usage: OrgUsage) -> "Pair":
        """Return the pair with other usage."""
        before = None if self.before is None else self.before._replace(usage=usage)
        return Pair(self.org_id, self.period, before, None if self.after is None else self.after._replace(usage=usage))

    def by_window(self, store: Store, window: dt.timedelta) -> "Pair":
        """Return the pair with its usage by window, read again, for prices that totals do not settle."""
        work = self.before or self.after
        assert work is not None, "one side at least has such a period"
        return self.of(by_window(store, work, window).usage)


def pairs_of(
    store: Store, before: Prices, after: Prices, month: Period, org_id: int | None, window: dt.timedelta
) -> Iterator[Pair]:
    """Yield what is to be rated in a month by either, by period and ascending organisation.

    Periods open with what was kept before; what was billed of them already is not looked at.
    """
    sides = [(prices, periods_of(prices.contracts, month, org_id)) for prices in (before, after)]
    for period in sorted({period for _, periods in sides for period in periods}):
        old, new = (
            None if period not in periods else _Side.of(store, prices, period, periods[period], org_id, window)
            for prices, periods in sides
        )
        yield from _pairs_in(store, period, old, new, org_id, window)


@dataclass(frozen=True, slots=True)
class _Side:
    """One side's view of a billing period."""

    reading: Reading
    openings: Openings

    @classmethod
    def of(
        cls,
        store: Store,
        prices: Prices,
        period: Period,
        members: Members,
        org_id: int | None,
        window: dt.timedelta,
    ) -> "_Side":
        book, contracts = prices.book, prices.contracts
        reading = Reading(store, book, contracts, period, members, window)
        return cls(reading, Openings(store, book, contracts, period, org_id, billed=False))

    def has(self, usage: OrgUsage) -> bool:
        """Say whether the side has a statement of it: without usage only of those with a contract of their own."""
        return usage.org_id in self.reading.members.own or (bool(usage.categories) and self.reading.bills(usage.org_id))


def _pairs_in(
    store: Store, period: Period, old: _Side | None, new: _Side | None, org_id: int | None, window: dt.timedelta
) -> Iterator[Pair]:
    sides = [side for side in (old, new) if side is not None]
    needs = joined(side.reading.asked for side in sides)
    cuts: Sequence[dt.datetime] = sorted({cut for side in sides for cut in side.reading.cuts})
    members = [side.reading.members for side in sides]
    own = sorted(set[int]().union(*(each.own for each in members)))

    def work(side: _Side | None, usage: OrgUsage) -> Work | None:
        return side.openings.work(usage, needs, cuts) if side is not None and side.has(usage) else None

    used = read_used(store, period, members, needs, cuts, org_id, window)
    for usage in with_the_unused(used, own):
        pair = Pair(usage.org_id, period, work(old, usage), work(new, usage))
        if pair.before is not None or pair.after is not None:
            yield pair
