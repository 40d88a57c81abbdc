"""Rating a period from the store: read how far usage is known, read the usage, rate each organisation, keep the result.

Everything streams: memory holds one organisation and one batch of statements, however many organisations there are.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from rater.book import Contracts, PriceBook
from rater.rate import rate
from rater.terms import organisations_with_contracts
from schemas.period import Period
from schemas.statements import CategoryUsage, OrgUsage, Rating
from sinks.store import Store

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_HASH: Final = 1 << 128

# One query gives the totals and names the rows that they are made of, so that both are of the same moment. The hash
# is of what makes a row the row that it is, its key and its version; the sum (modulo 2^128) has no order, so neither
# merges nor threads change it. Sums are Int128: Int64 would wrap without a word. The groups come in the table's own
# order, which lets the engine hand them over one by one instead of holding them all.
_TOTALS: Final = """
SELECT
    org_id,
    category,
    sum(toInt128(quantity)) AS total,
    toUnixTimestamp(min(window_start)) AS first_window,
    toUnixTimestamp(max(window_start)) AS last_window,
    count() AS read_rows,
    sum(reinterpretAsUInt128(sipHash128Reference(
        org_id, toString(category), toUnixTimestamp(window_start), project_id, dimensions,
        toString(topic), partition, generation, segment, last_offset))) AS read_hash
FROM usage_windows FINAL
WHERE window_start >= toDateTime({{start:UInt32}}, 'UTC') AND window_start < toDateTime({{end:UInt32}}, 'UTC'){where}
GROUP BY org_id, category
ORDER BY org_id, category
SETTINGS optimize_aggregation_in_order = 1
"""


@dataclass(frozen=True, slots=True)
class Known:
    """How far usage was known, read before the usage itself: what is read later is at least as complete.

    `progress` is next_offset by topic and partition. `complete_to` is None where it cannot be said.
    """

    progress: dict[str, dict[str, int]] = field(default_factory=dict)
    complete_to: dt.datetime | None = None

    @property
    def vector(self) -> str:
        """Return progress as JSON that is the same for the same progress."""
        return json.dumps(self.progress, sort_keys=True, separators=(",", ":"))

    def version(self, revision: int) -> int:
        """Return the version of what is rated from here: the price book's revision, then how much was read."""
        offsets = sum(offset for partitions in self.progress.values() for offset in partitions.values())
        assert offsets < 1 << 64, "offsets are bytes or messages: their sum has 64 bits"
        return (revision << 64) + offsets


def read_known(store: Store) -> Known:
    """Read progress and completeness. Call it before `read_usage`."""
    complete_to = store.complete_to()
    progress: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for log, found in store.progress().items():
        progress[log.topic][log.partition] = found.next_offset
    reached = None if complete_to is None else _EPOCH + dt.timedelta(microseconds=complete_to)
    return Known(dict(progress), reached)


def read_usage(store: Store, period: Period, org_id: int | None = None) -> Iterator[OrgUsage]:
    """Yield each organisation's usage in the period, by ascending id; only one organisation's where `org_id` says so.

    Windows belong to the period in which they start: their length divides every period's bounds.
    """
    parameters: dict[str, Any] = {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}
    where = ""
    if org_id is not None:
        where = " AND org_id = {org:UInt64}"
        parameters["org"] = org_id
    rows = store.stream(_TOTALS.format(where=where), parameters)
    for org, categories in groupby(rows, key=itemgetter(0)):
        usage: dict[str, CategoryUsage] = {}
        count = total = 0
        for _, category, quantity, first, last, read_rows, read_hash in categories:
            usage[category] = CategoryUsage(int(quantity), _window(first), _window(last))
            count += read_rows
            total = (total + read_hash) % _HASH
        yield OrgUsage(int(org), usage, snapshot_id(count, total))


def snapshot_id(rows: int, summed_hash: int) -> str:
    """Return the name of the usage rows that were read: how many, and the sum of their hashes."""
    return f"{rows}-{summed_hash:032x}"


def _window(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def rate_period(
    store: Store, book: PriceBook, contracts: Contracts, period: Period, org_id: int | None = None
) -> Iterator[Rating]:
    """Rate every organisation that has usage in the period or a contract of its own, by ascending id.

    A fee is owed without any usage, so both are asked. An organisation that is rated by everyone's contract ("*") is
    known by its usage alone: without any, nothing says that it exists.
    """
    own = [org for org in organisations_with_contracts(contracts, period) if org_id in (None, org)]
    for usage in _with_the_unused(read_usage(store, period, org_id), own):
        yield rate(book, contracts, usage, period)


def _with_the_unused(used: Iterable[OrgUsage], own: Iterable[int]) -> Iterator[OrgUsage]:
    """Merge two ascending streams: usage, and the organisations that are rated in any case."""
    waiting = iter(own)
    unused = next(waiting, None)
    for usage in used:
        while unused is not None and unused < usage.org_id:
            yield OrgUsage(unused, {}, snapshot_id(0, 0))
            unused = next(waiting, None)
        if unused == usage.org_id:
            unused = next(waiting, None)
        yield usage
    while unused is not None:
        yield OrgUsage(unused, {}, snapshot_id(0, 0))
        unused = next(waiting, None)
