"""Progress of a partition: the one commit point, written after the usage rows that it covers.

All instants are microseconds UTC. None stands for "no event yet".
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from schemas.log import LogId

FIRST_CANDIDATE: Final = 1 << 31
"""Generations from this number on are candidates of a remeter; a run gives the numbers below."""

REMETER: Final = "remeter"
"""In the source of a candidate's progress: the remeter's name (`id`), and the places `first` to `last` of generations
that it stands for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where and in which state a replay starts, so that its verdicts and rows are those of an undisturbed run.

    Records from `warm_offset` on feed the dedupe index, the clock (`warm_clock` before it) and the watermark
    (`warm_max_timestamp` before it); rows are folded from `count_from` on: what comes before was decided by an
    index that was not whole yet, and lies in rows that nothing can change any more.
    """

    warm_offset: int
    warm_clock: int | None
    warm_max_timestamp: int | None
    count_from: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Cumulative counts of one generation of a partition: records, events and what became of them."""

    records: int = 0
    events: int = 0
    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    not_billable: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    quantity: int = 0
    """Sum of the accepted quantities over all categories: a checksum, not a usage."""

    @classmethod
    def total(cls, counts: Iterable["Counts"]) -> "Counts":
        """Return the sum of counts."""
        found = list(counts)
        numbers: dict[str, Any] = {name: sum(getattr(one, name) for one in found) for name in _NUMBERS}
        counters: dict[str, Any] = {name: sum((getattr(one, name) for one in found), Counter()) for name in _COUNTERS}
        return cls(**numbers, **counters)

    def since(self, before: "Counts") -> "Counts":
        """Return what was counted between an earlier progress row of the same generation and this one."""
        return Counts(**{found.name: getattr(self, found.name) - getattr(before, found.name) for found in fields(self)})

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON values, reasons in alphabetical order."""
        return {
            name: dict(sorted(value.items())) if name in _COUNTERS else value
            for name, value in ((found.name, getattr(self, found.name)) for found in fields(self))
        }

    def balances(self) -> bool:
        """Say whether events = accepted + duplicates + not billable + rejected."""
        rest = self.not_billable.total() + self.rejected.total()
        return self.events == self.accepted + self.duplicates + rest


_COUNTERS: Final = ("not_billable", "rejected")
_NUMBERS: Final = tuple(found.name for found in fields(Counts) if found.name not in _COUNTERS)


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition's progress row. Its version is `next_offset`; of those that count, the highest place is current.

    `source` is what identifies the log's content: for Kafka the topic id, for a file its size and hashes; and the
    place (`uri`) where it was read, for `tally explain`. `partitions` is how many the source listed.
    `log_end` is the log's end as seen at `log_end_seen_at`, the only reading of the wall clock that is kept.
    `finite`: the log ends at log_end and will not grow (a file).
    """

    log: LogId
    generation: int
    fingerprint: str
    start_offset: int
    next_offset: int
    mark: Mark
    clock: int | None = None
    max_timestamp: int | None = None
    watermark: int | None = None
    allowed_lateness: int = 0
    log_end: int | None = None
    log_end_seen_at: int | None = None
    finite: bool = False
    partitions: int = 1
    source: dict[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def candidate(self) -> bool:
        """Say whether this is a remeter's generation, which no run goes on with."""
        return self.generation >= FIRST_CANDIDATE

    @property
    def places(self) -> tuple[int, int]:
        """Return the first and the last place in the order of generations: its own number, or those it stands for."""
        if not self.candidate:
            return self.generation, self.generation
        stands_for = self.source[REMETER]
        return stands_for["first"], stands_for["last"]

    def follows(self, other: "Progress") -> bool:
        """Say whether this generation comes right after another one of the same log."""
        return self.log == other.log and self.places[0] == other.places[1] + 1

    @property
    def fully_read(self) -> bool:
        """Say whether everything that was in the log, when its end was last seen, has been metered."""
        return self.log_end is not None and self.next_offset >= self.log_end

    def at_end(self, log_end: int, seen_at: int) -> "Progress":
        """Return the same progress with a newer sight of the log's end."""
        return replace(self, log_end=log_end, log_end_seen_at=seen_at)
