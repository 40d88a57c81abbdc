"""Rating from the store: how far usage is known, read before the usage; then each organisation's periods, rated."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rater.book import Contracts, PriceBook
from schemas.period import Period
from schemas.statements import OrgUsage, Rating
from sinks.store import Store
from tally.rated import Prices, rate_here
from tally.usage_reading import read_detailed_usage
from tally.work import by_window, work_of

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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
    """Yield each organisation's totals in the period, by ascending id; of only one where `org_id` says so."""
    yield from read_detailed_usage(store, period, {}, (), org_id)


def rate_period(
    store: Store, book: PriceBook, contracts: Contracts, month: Period, org_id: int | None = None
) -> Iterator[Rating]:
    """Rate every billing period that begins in a month, one after the other in this process."""
    prices = Prices(book, contracts)
    works = work_of(store, book, contracts, month, org_id)
    for rated in rate_here(works, prices, None, lambda work: by_window(store, work)):
        assert rated.rating is not None, "what is rated in this process comes whole"
        yield rated.rating
