"""The oracle's logs as bytes: decoded, metered and stored by the real parts, read again from a list."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataflows.decode import Decoder
from dataflows.meter import Meter
from dataflows.sources.base import ListedLog, LogEnd
from schemas.log import LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import Store
from tally.units import show_instant
from tests.oracle import Event, Record

LOG = LogId("events", "0")


def stated(records: Sequence[Record]) -> list[Record]:
    """Return the log as the native format can say it: every event has an id, is billable, and a record is not empty."""
    return [
        replace(record, events=tuple(_stated(event, record, index) for index, event in enumerate(record.events)))
        for record in records
        if record.events
    ]


def with_tail(records: Sequence[Record]) -> list[Record]:
    """Return the log with a few records hours later, so that the mark of its end has left most of it behind."""
    times = [1_763_800_000_000_000]
    times += [record.timestamp for record in records if record.timestamp is not None]
    times += [event.timestamp for record in records for event in record.events]
    offset = records[-1].offset + 1 if records else 0
    timed = not records or records[0].timestamp is not None
    tail = []
    for number in range(2):
        now = max(times) + (number + 1) * 3 * 3_600_000_000
        last = Event(1, f"tail {number}", timestamp=now, amount="0")
        tail.append(Record(offset + number, now if timed else None, (last,)))
    return [*records, *tail]


def _stated(event: Event, record: Record, index: int) -> Event:
    if event.rejected == "not_json" and len(record.events) > 1:
        return replace(event, rejected="not_an_object")
    alone = event.event_id or f"{record.offset}.{index}"
    return replace(event, event_id=alone, not_billable=None)


def value_of(record: Record) -> bytes:
    """Return a record's bytes: one event as an object, several as an array."""
    values = [_json(event) for event in record.events]
    return values[0] if len(values) == 1 else b"[" + b",".join(values) + b"]"


def _json(event: Event) -> bytes:
    if event.rejected in {"not_json", "not_an_object"}:
        return b"{" if event.rejected == "not_json" else b"5"
    whole: dict[str, Any] = {
        "event_id": event.event_id,
        "org_id": event.org,
        "project_id": event.project,
        "category": event.category,
        "quantity": -1 if event.rejected == "bad_quantity" else event.quantity,
        "timestamp": show_instant(event.timestamp or 1_763_800_000_000_000),
        "attributes": {
            **(json.loads(event.dimensions) if event.dimensions else {}),
            **({"user": json.loads(event.value)} if event.value else {}),
            "price": event.amount or "0",
        },
    }
    if event.rejected == "missing_field":
        del whole["org_id"]
    return json.dumps(whole).encode()


def batch_of(records: Sequence[Record], next_offset: int) -> RecordBatch:
    values = [value_of(record) for record in records]
    ends = np.cumsum([len(value) for value in values], dtype=np.int64)
    timed = bool(records) and records[0].timestamp is not None
    return RecordBatch(
        log=LOG,
        data=b"".join(values),
        starts=ends - np.array([len(value) for value in values], np.int64),
        ends=ends,
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp for record in records], np.int64) if timed else None,
        next_offset=next_offset,
    )


@dataclass(frozen=True)
class ListSource:
    """A Source over records in a list; `start` is what retention has left."""

    records: Sequence[Record]
    size: int = 3
    start: int = 0

    @property
    def broker_clock(self) -> bool:
        return bool(self.records) and self.records[0].timestamp is not None

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1 if self.records else self.start

    def list_logs(self) -> list[ListedLog]:
        return [ListedLog(LOG, self.start, self.end, False, 1)]

    def open(self, starts: Mapping[LogId, int]) -> "ListReader":
        return ListReader(self, starts[LOG])


@dataclass
class ListReader:
    source: ListSource
    at: int

    def poll(self) -> list[RecordBatch]:
        assert self.at >= self.source.start, "what retention deleted cannot be read"
        left = [record for record in self.source.records if record.offset >= self.at]
        taken = left[: self.source.size]
        self.at = left[len(taken)].offset if len(left) > len(taken) else self.source.end
        return [batch_of(taken, self.at)]

    def ends(self) -> Mapping[LogId, LogEnd]:
        return {LOG: LogEnd(self.source.end, 0)}

    @property
    def exhausted(self) -> bool:
        return self.at >= self.source.end

    def close(self) -> None:
        pass


def metered(store: Store, source: ListSource, settings: MeterSettings, progress: Progress, until: int) -> Progress:
    """Meter a log from its progress on up to an offset, with a flush after every batch, and return the progress."""
    decoder, meter = Decoder(settings), Meter(settings, progress, broker_clock=source.broker_clock)
    reader = source.open({LOG: progress.mark.warm_offset})
    flush = meter.flush()
    store.write([flush])
    while not reader.exhausted and reader.at < until:
        for batch in reader.poll():
            meter.add(decoder(batch))
        flush = meter.flush()
        store.write([flush])
    return flush.progress
