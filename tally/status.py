"""How far every log is, from the store alone: the run itself need not be reachable, nor alive.

found = read_status(store, now)
found.problems(max_lag=100_000, max_age=60_000_000)    # [] where all is well
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.log import LogId
from schemas.progress import Counts, Progress
from sinks.store import Store

SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LogStatus:
    """One partition log: its progress, and the instant (microseconds) to which it is complete, None where not known.

    `finished`: nothing will come of it any more, so it holds nothing back.
    """

    progress: Progress
    complete_to: int | None
    finished: bool

    @property
    def lag(self) -> int | None:
        """Return how far the log's end is ahead: records of a topic, bytes of a file; None where it is not known."""
        end = self.progress.log_end
        return None if end is None else max(0, end - self.progress.next_offset)

    @property
    def flushed_at(self) -> int | None:
        """Return when the end was last seen, which every flush of a topic writes down; None for standard input."""
        return self.progress.log_end_seen_at

    def as_json(self, rate: int | None = None) -> dict[str, Any]:
        """Return the status as plain JSON values; instants are microseconds."""
        progress = self.progress
        return {
            "topic": progress.log.topic,
            "partition": progress.log.partition,
            "generation": progress.generation,
            "next_offset": progress.next_offset,
            "log_end": progress.log_end,
            "lag": self.lag,
            "watermark": progress.watermark,
            "complete_to": self.complete_to,
            "flushed_at": self.flushed_at,
            "finished": self.finished,
            **progress.counts.as_json(),
            **({} if rate is None else {"events_per_second": rate}),
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """What is not as it should be, and with which log; None: with a whole topic, or the store."""

    message: str
    log: LogId | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All logs as they were at `seen_at` (microseconds UTC, this machine's clock).

    `complete_to`: usage before it cannot change any more; None where that is not known. `missing`: how many partitions
    of a topic have no progress yet.
    """

    seen_at: int
    logs: Sequence[LogStatus]
    complete_to: int | None
    missing: Mapping[str, int]

    @property
    def unfinished(self) -> list[LogStatus]:
        """Return the logs that are not read to their end for good."""
        return [log for log in self.logs if not log.finished]

    @property
    def lag(self) -> int:
        """Return the known lags together: records and bytes alike."""
        return sum(log.lag or 0 for log in self.logs)

    @property
    def total(self) -> Counts:
        """Return the counts of all logs together."""
        return Counts.total(log.progress.counts for log in self.logs)

    def problems(self, *, max_lag: int | None = None, max_age: int | None = None) -> list[Problem]:
        """Return what is behind. What cannot be known counts as behind where a limit asks for it.

        `max_lag` in records or bytes a log, `max_age` in microseconds since its last flush. That usage is complete to
        some instant is always asked.
        """
        found = [] if self.logs else [Problem("nothing was read yet")]
        found += [
            Problem(f"{topic}: {count} of its partitions have no progress yet") for topic, count in self.missing.items()
        ]
        return found + [problem for log in self.unfinished for problem in self._behind(log, max_lag, max_age)]

    def _behind(self, log: LogStatus, max_lag: int | None, max_age: int | None) -> Iterator[Problem]:
        name = log.progress.log
        if log.complete_to is None:
            yield Problem(f"{name}: it is not known to which instant its usage is complete", name)
        if max_lag is not None and log.lag is None:
            yield Problem(f"{name}: its end is not known, and so neither its lag", name)
        elif max_lag is not None and log.lag is not None and log.lag > max_lag:
            yield Problem(f"{name}: {log.lag:,} behind the log's end, more than {max_lag:,}", name)
        if max_age is not None and log.flushed_at is None:
            yield Problem(f"{name}: it is not known when it was last flushed", name)
        elif max_age is not None and log.flushed_at is not None and (age := self.seen_at - log.flushed_at) > max_age:
            yield Problem(f"{name}: last flushed {age // SECOND:,} s ago", name)


def read_status(store: Store, now: int, topic: str | None = None) -> Status:
    """Read the status of every log, or of one topic's. Raises StoreUnavailable or StoreError."""
    # Progress first: what is written meanwhile can only make the answer more complete than the progress shown.
    progress = store.progress(topic)
    where = "" if topic is None else "WHERE topic = {topic:String} "
    rows = store.query(
        f"SELECT topic, partition, toUnixTimestamp64Micro(complete_to), finished FROM completeness {where}",
        None if topic is None else {"topic": topic},
    )
    known = {LogId(row[0], row[1]): (row[2], bool(row[3])) for row in rows}
    logs = [LogStatus(progress[log], *known.get(log, (None, False))) for log in sorted(progress)]
    missing: dict[str, int] = {}
    for name in sorted({log.topic for log in progress}):
        of_topic = [found for found in progress.values() if found.log.topic == name]
        absent = max(found.partitions for found in of_topic) - len(of_topic)
        if absent > 0:
            missing[name] = absent
    if topic is None:
        complete_to = store.complete_to()
    else:
        instants = [log.complete_to for log in logs if log.complete_to is not None]
        complete_to = min(instants) if instants and len(instants) == len(logs) and not missing else None
    return Status(now, logs, complete_to, missing)


def rates(before: Status, now: Status) -> dict[LogId, int]:
    """Return the events a second of each log between two looks; a log of a new generation counts from nothing."""
    elapsed = max(1, now.seen_at - before.seen_at)
    earlier = {log.progress.log: log.progress for log in before.logs}
    found: dict[LogId, int] = {}
    for log in now.logs:
        was = earlier.get(log.progress.log)
        events = log.progress.counts.events
        if was is not None and was.generation == log.progress.generation:
            events -= was.counts.events
        found[log.progress.log] = max(0, events) * SECOND // elapsed
    return found
