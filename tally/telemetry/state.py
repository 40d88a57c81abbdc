"""What is known of a running flow: plain data, changed once a tick by the flow's thread, read by others as a copy."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from schemas.log import LogId
from schemas.progress import Counts, Progress


class Place(NamedTuple):
    """What a number is said of: a partition of a topic, or (partition None) all files of a topic together.

    Partitions of a Kafka topic are few and stay; files come and go by the thousand, each a series for ever.
    """

    topic: str
    partition: str | None


def place_of(progress: Progress) -> Place:
    """Return the place under which a log's numbers are given out."""
    return Place(progress.log.topic, None if progress.finite else progress.log.partition)


@dataclass(frozen=True, slots=True)
class LogState:
    """One log that is being read. Offsets are the log's own; `_at` are monotonic seconds of this process.

    `written` is the last progress that reached the store. `position` is how far the meter has come, in a replay too.
    `moved_at`: when the position last changed, or nothing was left to read. `end_seen_at`: when the log's end was last
    seen anew (None where it never was: standard input).
    """

    written: Progress
    position: int
    log_end: int | None = None
    end_seen_at: float | None = None
    moved_at: float = 0.0
    open_rows: int = 0
    index_ids: int = 0
    index_bytes: int = 0

    @property
    def lag(self) -> int | None:
        """Return the offsets from what was written to the log's end; None where the end is not known."""
        return None if self.log_end is None else max(0, self.log_end - self.written.next_offset)


@dataclass(slots=True)
class Written:
    """What this process has written of a place since it began."""

    records: int = 0
    events: int = 0
    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    rows: int = 0
    not_billable: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, before: Counts, now: Counts, rows: int) -> None:
        """Add what was counted between two progress rows of a generation. Called for every log at every tick."""
        self.rows += rows
        if now.records == before.records:
            return
        self.records += now.records - before.records
        self.events += now.events - before.events
        self.accepted += now.accepted - before.accepted
        self.late += now.late - before.late
        self.duplicates += now.duplicates - before.duplicates
        if now.not_billable:
            self.not_billable += now.not_billable - before.not_billable
        if now.rejected:
            self.rejected += now.rejected - before.rejected

    def copy(self) -> Self:
        """Return a copy that stays as it is."""
        return replace(self, not_billable=self.not_billable.copy(), rejected=self.rejected.copy())


@dataclass(slots=True)
class FlowState:
    """A process's flow. Instants are monotonic seconds; None: not so now, or not yet.

    `turned_at`: the last tick, or wait for the store. `settled_at`: when everything metered up to a tick was last in
    the store. `writing_since`: a write is under way. `away_since`, `away_why`: the store was found away and has not
    answered since.
    """

    started_at: float
    turned_at: float
    settled_at: float | None = None
    writing_since: float | None = None
    away_since: float | None = None
    away_why: str = ""
    waits: int = 0
    logs: dict[LogId, LogState] = field(default_factory=dict)
    written: dict[Place, Written] = field(default_factory=dict)

    def copy(self) -> Self:
        """Return a copy that stays as it is."""
        return replace(
            self, logs=dict(self.logs), written={place: found.copy() for place, found in self.written.items()}
        )
