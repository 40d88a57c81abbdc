"""A partition log's records, and the events in them, a batch at a time, as columns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
UInt64s = NDArray[np.uint64]


class KeptValues(NamedTuple):
    """What a category's `keep` asks for of an event: canonical JSON of a value ('' without it), and an amount.

    `amount` is a decimal in its one spelling (digits and at most one point), '' where the category declares none.
    """

    value: str = ""
    amount: str = ""


NO_VALUES: Final = KeptValues()


class LogId(NamedTuple):
    """A partition log: one partition of a topic, or one file of a folder."""

    topic: str
    partition: str

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition log, in offset order.

    Record i has the offset `offsets[i]` and the value `data[starts[i]:ends[i]]`. `timestamps` are the broker's,
    in microseconds UTC; None for files, which have none. `next_offset` is where to read on: at least the last
    offset + 1 (Kafka: control records take offsets too), or the byte after the last line (files).
    """

    log: LogId
    data: bytes
    starts: Int64s
    ends: Int64s
    offsets: Int64s
    timestamps: Int64s | None
    next_offset: int

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events of one RecordBatch, decoded: one row an event, in (offset, index) order.

    `record` is the row of the event's record in `records`, `index` its place within that record. `verdict` is
    ACCEPTED (a candidate: the meter decides on duplicates and time), NOT_BILLABLE, or a rejection's code
    (schemas.verdicts). The columns behind a rejection hold zeros. For the others:

    - `org`, `project`: ids; `category`: row of the catalogue; `quantity`: units of the category;
    - `timestamp`: microseconds UTC;
    - `id_high`, `id_low`: 128-bit keyed hash of (org_id, event_id); both 0 where the event has no id;
    - `payload`: 64-bit hash of what a duplicate must repeat (category, project, quantity, timestamp, dimensions, kept);
    - `dimensions`: row of `dimension_values` (canonical JSON of the grouped attributes; row 0 is '');
    - `subreason`: row of `subreasons`, why an event is not billable (0 elsewhere).

    `details` says, for a rejected event's row, what was wrong with it. `raw(i)` gives event i's own bytes. `kept` has,
    by row, what is kept of an event's attributes; events that are not in it have NO_VALUES.
    """

    records: RecordBatch
    record: Int32s
    index: Int32s
    verdict: NDArray[np.uint8]
    org: Int64s
    project: Int64s
    category: Int32s
    quantity: Int64s
    timestamp: Int64s
    id_high: UInt64s
    id_low: UInt64s
    payload: UInt64s
    dimensions: Int32s
    subreason: Int32s
    dimension_values: tuple[str, ...]
    subreasons: tuple[str, ...]
    raw: Callable[[int], bytes]
    details: dict[int, str] = field(default_factory=dict)
    kept: dict[int, KeptValues] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.verdict)
