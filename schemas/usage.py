"""What the flow writes: usage rows, kept events, dead letters, progress; one Flush a partition and flush."""

from dataclasses import dataclass, replace

from schemas.log import Int32s, Int64s
from schemas.progress import Progress


@dataclass(frozen=True, slots=True)
class UsageRows:
    """Rows of usage_windows of one partition and generation, as columns of one length.

    A row is the total of its key so far, never an increment; `last_offset` is its version. Instants are
    microseconds UTC. `category` and `dimensions` are indexes into the two tuples of names.
    """

    org: Int64s
    category: Int32s
    project: Int64s
    dimensions: Int32s
    window_start: Int64s
    segment: Int64s
    quantity: Int64s
    events: Int64s
    max_quantity: Int64s
    first_offset: Int64s
    last_offset: Int64s
    first_timestamp: Int64s
    last_timestamp: Int64s
    category_names: tuple[str, ...]
    dimension_values: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.org)


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Accepted events of categories that keep theirs, one row each, as columns of one length.

    An event is named by its position (offset, index) in its partition and generation; the row is all there is to say
    of it, so that writing it again changes nothing. Instants are microseconds UTC. `category` is an index into
    `category_names`; `dimensions`, `values` (canonical JSON) and `amounts` (decimal text) are '' where there is none.
    """

    org: Int64s
    category: Int32s
    project: Int64s
    timestamp: Int64s
    offset: Int64s
    index: Int64s
    quantity: Int64s
    dimensions: tuple[str, ...]
    values: tuple[str, ...]
    amounts: tuple[str, ...]
    category_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.org)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected event, keyed by its position (offset, index) in its partition.

    `clock` is the meter's clock at the event (microseconds UTC, None before the first): the log's time, so that
    writing the letter again changes nothing. `raw` is cut at MAX_RAW_BYTES; `raw_size` is its whole length.
    """

    offset: int
    index: int
    reason: str
    detail: str
    clock: int | None
    raw: bytes
    raw_size: int


@dataclass(frozen=True, slots=True)
class Flush:
    """What one partition has to write: rows that changed, dead letters, and then the progress that covers them.

    `kept` are the accepted events of categories that keep theirs, None where there are none.
    """

    progress: Progress
    format: str
    rows: UsageRows
    dead_letters: tuple[DeadLetter, ...]
    kept: KeptRows | None = None

    def at_end(self, log_end: int, seen_at: int) -> "Flush":
        """Return the same flush with a newer sight of the log's end in its progress."""
        return replace(self, progress=self.progress.at_end(log_end, seen_at))
