"""What every source offers: a list of partition logs, and a reader over some of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from schemas.log import LogId, RecordBatch


def wall_clock() -> int:
    """Return the time now, in microseconds UTC: it dates sights of a log's end, and nothing that is counted."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class ListedLog:
    """A partition log as the source lists it, before anything of it is read.

    `log_start` and `log_end` are offsets: the first record that can be read, and one past the last (None where the
    end cannot be known, as with standard input). `finite`: it will not grow. `partitions`: how many logs the topic
    has. `identity` is what tells the log's content from another's under the same name: `uri` (where it was read),
    and for Kafka `topic_id`, for a file `size`, `head` and `tail` hashes.
    """

    log: LogId
    log_start: int
    log_end: int | None
    finite: bool
    partitions: int
    identity: dict[str, Any] = field(default_factory=dict)


class LogEnd(NamedTuple):
    """A sight of a log's end: the offset one past its last record, and when that was seen (microseconds UTC)."""

    offset: int
    seen_at: int


class Reader(Protocol):
    """Reads some logs, each from a given offset, in offset order within a log."""

    def poll(self) -> list[RecordBatch]:
        """Return the batches at hand, at most about `batch_bytes` altogether; [] when there is nothing now.

        Waits for at most a few tens of milliseconds. Raises SourceError where a log cannot be read on.
        """
        ...

    def ends(self) -> Mapping[LogId, LogEnd]:
        """Return the newest sight of each log's end that is at hand (a log of unknown end is missing)."""
        ...

    @property
    def exhausted(self) -> bool:
        """Say whether nothing will come any more: every log is finite and read to its end, or its stop was reached."""
        ...

    def close(self) -> None:
        """Release files and connections; may be called twice."""
        ...


class Source(Protocol):
    """The logs of one topic: a Kafka topic, a folder, a file, standard input."""

    @property
    def broker_clock(self) -> bool:
        """Say whether records carry a broker's timestamps (Kafka); a file's clock is its events'."""
        ...

    def list_logs(self) -> Sequence[ListedLog]:
        """Return every partition log, in an order that all workers agree on.

        Raises SourceError (no such topic, broker out of reach, unreadable folder, producer timestamps not trusted).
        """
        ...

    def open(self, starts: Mapping[LogId, int]) -> Reader:
        """Open the named logs for reading, each from its offset on."""
        ...
