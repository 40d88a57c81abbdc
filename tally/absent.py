"""What the store still says of organisations that nobody is billed for any more, and that no rating comes to.

An organisation on everyone's contract is known by its usage alone. Where all of it was taken back, by metering a range
of a log again, no rating visits it: what failed of it, and what it was billed, would stay as they were for ever.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple, Protocol, TypeVar

from rater.billing import billing_periods
from rater.book import Contracts, PriceBook
from rater.memory import remembers
from rater.terms import Terms, terms
from schemas.period import Period
from schemas.statements import OrgUsage
from sinks.store import Store
from tally.accounts import to_json
from tally.interims import read_interims
from tally.rating_failures import Unrated, stream_failures
from tally.work import Openings

_USED: Final = """
SELECT DISTINCT org_id FROM active_windows
WHERE org_id IN {orgs:Array(UInt64)}
    AND window_start >= toDateTime({start:UInt32}, 'UTC') AND window_start < toDateTime({end:UInt32}, 'UTC')
"""

# Only of before a range was metered again.
_BEFORE: Final = """
FROM (SELECT * FROM statements FINAL)
WHERE notEmpty(`lines.line_no`) AND rated_at <= (
        SELECT fromUnixTimestamp64Micro(toInt64(max(decided_at)), 'UTC') FROM remeter_decisions
        WHERE decision IN ('active', 'undone')
    )
"""
_PERIODS: Final = f"""
SELECT DISTINCT period_start, period_end {_BEFORE}
    AND period_start >= toDateTime({{start:UInt32}}, 'UTC') AND period_start < toDateTime({{end:UInt32}}, 'UTC')
ORDER BY ALL
"""
# And only where the usage that was taken back is there, hidden: usage may be missing because it was old and deleted, or
# was never what somebody was billed for, which says nothing of what was billed.
_BILLED: Final = f"""
SELECT org_id, contract, toString(currency), period_start, period_end, version {_BEFORE}
    AND period_start = toDateTime({{start:UInt32}}, 'UTC') AND period_end = toDateTime({{end:UInt32}}, 'UTC')
    AND org_id IN (
        SELECT org_id FROM usage_windows
        WHERE window_start >= toDateTime({{start:UInt32}}, 'UTC') AND window_start < toDateTime({{end:UInt32}}, 'UTC')
            AND (topic, partition, generation) GLOBAL IN (SELECT topic, partition, generation FROM hidden_generations)
    )
"""
_ASKED: Final = 2_000
"""Organisations that are asked for at a time."""
_DAY: Final = dt.timedelta(days=1)

Wanted = Callable[[Period], bool]
"""Says of a billing period whether it is rated now."""


class Billed(NamedTuple):
    """A statement with lines."""

    org_id: int
    contract: str
    currency: str
    start: dt.datetime
    end: dt.datetime
    version: int


class _Left(Protocol):
    @property
    def org_id(self) -> int: ...
    @property
    def start(self) -> dt.datetime: ...
    @property
    def end(self) -> dt.datetime: ...


T = TypeVar("T", bound=_Left)


def failures_left(store: Store, contracts: Contracts, month: Period, wanted: Wanted) -> Iterator[Unrated]:
    """Yield what failed and would not be rated any more, of wanted periods that begin in a month or a day around it."""
    start, end = month.start - _DAY, month.end + _DAY
    found = stream_failures(store, start, end)
    failed = (one for one in found if start <= one.start < end and wanted(Period(one.start, one.end, "")))
    yield from _absent(store, contracts, month, failed)


def statements_left(store: Store, contracts: Contracts, month: Period, wanted: Wanted) -> Iterator[Billed]:
    """Yield statements of the same periods that nobody would make any more since usage was metered again."""
    near = {"start": int((month.start - _DAY).timestamp()), "end": int((month.end + _DAY).timestamp())}
    for start, end in store.query(_PERIODS, near):
        if not wanted(Period(start, end, "")):
            continue
        bounds = {"start": int(start.timestamp()), "end": int(end.timestamp())}
        yield from _absent(store, contracts, month, [Billed(*row) for row in store.query(_BILLED, bounds)])


def accounts_left(
    store: Store, book: PriceBook, contracts: Contracts, billed: Sequence[Billed]
) -> Iterator[tuple[Billed, str]]:
    """Yield what such periods leave to the next, as JSON, where it is remembered: what periods without usage leave.

    `billed` are of one period.
    """
    period = Period(billed[0].start, billed[0].end, "")
    openings: Openings | None = None
    for one in billed:
        found = terms(book, contracts, one.org_id, period)
        if not isinstance(found, Terms) or not remembers(found) or found.contract.id != one.contract:
            continue
        openings = openings or Openings(store, book, contracts, period, None, billed=False)
        work = openings.work(OrgUsage(one.org_id, {}), {}, ())
        if work.failure is None:
            yield one, to_json(openings.chain.through(found, one.org_id, period, work.account))


def _absent(store: Store, contracts: Contracts, month: Period, ones: Iterable[T]) -> Iterator[T]:
    """Yield those in whose time nothing is used, nothing was billed before, and no contract of their own holds."""
    for (first, after), found in groupby(sorted(ones, key=_bounds), key=_bounds):
        same = list(found)
        for place in range(0, len(same), _ASKED):
            some = same[place : place + _ASKED]
            orgs = [one.org_id for one in some]
            bounds = {"start": int(first.timestamp()), "end": int(after.timestamp()), "orgs": orgs}
            there = {org for (org,) in store.query(_USED, bounds)} | set(read_interims(store, first, after, orgs))
            yield from (one for one in some if one.org_id not in there and not _agreed(contracts, one, month))


def _bounds(one: _Left) -> tuple[dt.datetime, dt.datetime]:
    return one.start, one.end


def _agreed(contracts: Contracts, one: _Left, month: Period) -> bool:
    """Say whether a period is rated in any case, by a contract of the organisation's own."""
    if one.org_id not in contracts.by_org:
        return False
    near = [Period.month(day.year, day.month) for day in (month.start - _DAY, month.start, month.end)]
    periods = (period for each in near for period in billing_periods(contracts, one.org_id, each))
    return any((period.start, period.end) == (one.start, one.end) for period in periods)
