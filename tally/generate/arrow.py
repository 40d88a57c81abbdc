"""Events as Arrow IPC streams, `per_record` of one partition in each: the native fields as columns."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from dataflows.compiled import compiled
from schemas.catalogue import Catalogue
from schemas.log import Int64s
from tally.generate import plan as p
from tally.generate.formats import ARROW_EDITS, ARROW_NO_STREAM, ARROW_UNKNOWN
from tally.generate.layout import unknown_name
from tally.generate.render import Bytes, put_hex

ID_BYTES: Final = 32
GARBAGE: Final = b"\xff\xff\xff\xff not Arrow after all"


@compiled
def put_ids(out: Bytes, events: Int64s) -> None:
    """Write the ids of events one after the other."""
    at = 0
    for row in range(events.shape[0]):
        at = put_hex(out, at, events[row, p.ID_HIGH])
        at = put_hex(out, at, events[row, p.ID_LOW])


class ArrowRecords:
    """Packs events into records, partition by partition; what does not fill one waits for the next chunk."""

    def __init__(self, catalogue: Catalogue, partitions: int, per_record: int) -> None:
        names = [*catalogue.names, unknown_name(catalogue.names).strip('"')]
        self._names = pa.array(names, type=pa.string())
        self._per_record = per_record
        self._waiting: list[list[Int64s]] = [[] for _ in range(partitions)]
        self.records = np.zeros(partitions, dtype=np.int64)

    def add(self, plan: Int64s) -> Iterator[tuple[int, bytes]]:
        """Take a chunk's events; give (partition, value) of each record that is full."""
        partitions = plan[:, p.PARTITION]
        order = np.argsort(partitions, kind="stable")
        bounds = np.searchsorted(partitions[order], np.arange(len(self._waiting) + 1))
        for partition, waiting in enumerate(self._waiting):
            events = plan[order[bounds[partition] : bounds[partition + 1]]]
            # A value that is no Arrow stream at all is a record of its own, between two others.
            start = 0
            for broken in np.flatnonzero(events[:, p.VARIANT] == ARROW_NO_STREAM).tolist():
                yield from self._fill(partition, events[start:broken])
                if waiting:
                    yield self._close(partition)
                self.records[partition] += 1
                yield partition, GARBAGE
                start = broken + 1
            yield from self._fill(partition, events[start:])

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """Give the records that are not full."""
        for partition, waiting in enumerate(self._waiting):
            if waiting:
                yield self._close(partition)

    def _fill(self, partition: int, events: Int64s) -> Iterator[tuple[int, bytes]]:
        waiting = self._waiting[partition]
        while len(events):
            room = self._per_record - sum(len(part) for part in waiting)
            waiting.append(events[:room])
            if len(events) < room:
                break
            yield self._close(partition)
            events = events[room:]

    def _close(self, partition: int) -> tuple[int, bytes]:
        events = np.concatenate(self._waiting[partition])
        self._waiting[partition].clear()
        self.records[partition] += 1
        return partition, self._encode(events)

    def _encode(self, events: Int64s) -> bytes:
        n = len(events)
        variant = events[:, p.VARIANT]
        events[variant == ARROW_UNKNOWN, p.CATEGORY] = len(self._names) - 1
        for number, (column, instead) in ARROW_EDITS.items():
            events[variant == number, column] = instead
        ids = np.empty(n * ID_BYTES, dtype=np.uint8)
        put_ids(ids, events)
        offsets = np.arange(0, (n + 1) * ID_BYTES, ID_BYTES, dtype=np.int32)
        batch = pa.RecordBatch.from_arrays(
            [
                pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(ids)),
                pa.array(events[:, p.ORG]),
                pa.array(events[:, p.PROJECT]),
                pa.DictionaryArray.from_arrays(pa.array(events[:, p.CATEGORY].astype(np.int32)), self._names),
                pa.array(events[:, p.QUANTITY]),
                pa.array(events[:, p.TIMESTAMP], type=pa.timestamp("us", tz="UTC")),
            ],
            names=["event_id", "org_id", "project_id", "category", "quantity", "timestamp"],
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        value: bytes = sink.getvalue().to_pybytes()
        return value
