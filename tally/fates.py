"""The meter on its way to one record of its log, watched: the verdict on each event there, and what it repeats."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from dataflows.meter import Meter, Verdicts
from schemas.formats.base import Decoded
from schemas.log import EventBatch
from schemas.metering import MeterSettings
from schemas.progress import Progress
from schemas.verdicts import (
    ACCEPTED,
    CONFLICTING_DUPLICATE,
    DUPLICATE,
    NOT_BILLABLE,
    OVERFLOW,
    REJECTED,
    reason_of,
)
from tally.positions import Position

_ADMITTED: Final = np.array([ACCEPTED, DUPLICATE, NOT_BILLABLE, CONFLICTING_DUPLICATE, OVERFLOW], np.uint8)
_INDEXED: Final = np.array([ACCEPTED, DUPLICATE, CONFLICTING_DUPLICATE, OVERFLOW], np.uint8)


@dataclass(frozen=True, slots=True)
class RowKey:
    """The usage row that an event was folded into; `window_start` in microseconds UTC."""

    org_id: int
    category: str
    project_id: int
    dimensions: str
    window_start: int
    topic: str
    partition: str
    generation: int
    segment: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one event.

    `verdict` is accepted, late, duplicate, not_billable:WHY or rejected:REASON. `clock` and `watermark` are the log's
    at the event (microseconds UTC; None before its first). `repeats` is the latest earlier event with its id, and
    `counted_at` the one that was counted, for a duplicate or a conflict. `stored` is what the store has of it: the
    row's totals, or the dead letter. `agrees` says whether that fits, None where the store keeps nothing of an event.
    """

    index: int
    verdict: str
    detail: str
    event: Decoded | None
    clock: int | None
    watermark: int | None
    repeats: Position | None = None
    counted_at: Position | None = None
    row: RowKey | None = None
    stored: dict[str, Any] | None = None
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where metering again begins, and from which offset on what is found there is exact; None: nowhere."""

    progress: Progress
    exact_from: int | None
    note: str = ""


@dataclass(slots=True)
class _Seen:
    """The latest occurrence of an id so far, and the latest that was counted, where that is known."""

    latest: Position | None = None
    counted: Position | None = None


@dataclass
class Walk:
    """The meter on its way to the record, and what it does not keep: earlier positions of the record's event ids."""

    settings: MeterSettings
    generation: Progress
    start: Start
    broker_clock: bool
    target: EventBatch
    fates: list[Fate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = Meter(self.settings, self.start.progress, broker_clock=self.broker_clock)
        self.largest = self.start.progress.mark.warm_max_timestamp
        ids = zip(self.target.id_high.tolist(), self.target.id_low.tolist(), strict=True)
        self.seen = {found: _Seen() for found in ids if found != (0, 0)}

    def add(self, events: EventBatch, offset: int) -> bool:
        """Meter a batch; return whether the record at `offset` was in it, or must have been."""
        verdicts = self.meter.add(events)
        self.meter.flush()  # what is closed need not be kept
        records = events.records
        at = int(np.searchsorted(records.offsets, offset))
        before = int(np.searchsorted(events.record, at))
        self._note_ids(events, verdicts, before)
        self._note_time(events, verdicts, 0, before)
        if at < len(records) and int(records.offsets[at]) == offset:
            for event in range(before, int(np.searchsorted(events.record, at, side="right"))):
                self.fates.append(self._fate(events, verdicts, event))
                self._note_time(events, verdicts, event, event + 1)
        return records.next_offset > offset

    def _note_ids(self, events: EventBatch, verdicts: Verdicts, until: int) -> None:
        for (high, low), seen in self.seen.items():
            same = (events.id_low[:until] == np.uint64(low)) & (events.id_high[:until] == np.uint64(high))
            for event in np.flatnonzero(same & np.isin(verdicts.verdict[:until], _INDEXED)).tolist():
                self._note(seen, events, verdicts, event)

    def _note(self, seen: _Seen, events: EventBatch, verdicts: Verdicts, event: int) -> None:
        offset = int(events.records.offsets[events.record[event]])
        seen.latest = Position(self.generation.log, offset, int(events.index[event]))
        known = self.start.exact_from is None or offset >= self.start.exact_from
        if int(verdicts.verdict[event]) == ACCEPTED:
            seen.counted = seen.latest if known else None

    def _note_time(self, events: EventBatch, verdicts: Verdicts, first: int, last: int) -> None:
        admitted = events.timestamp[first:last][np.isin(verdicts.verdict[first:last], _ADMITTED)]
        if len(admitted):
            self.largest = max(int(admitted.max()), self.largest if self.largest is not None else int(admitted[0]))

    def _fate(self, events: EventBatch, verdicts: Verdicts, event: int) -> Fate:
        code, segment = int(verdicts.verdict[event]), int(verdicts.segment[event])
        clock = int(verdicts.clock[event])
        known_clock = None if clock == np.iinfo(np.int64).min else clock
        watermark = None
        if known_clock is not None and self.largest is not None:
            watermark = min(known_clock, self.largest) - self.settings.allowed_lateness
        seen = self.seen.get((int(events.id_high[event]), int(events.id_low[event])))
        repeated = seen if seen and code in {DUPLICATE, CONFLICTING_DUPLICATE} else None
        fate = Fate(
            index=int(events.index[event]),
            verdict=_word(events, event, code, segment),
            detail=events.details.get(event, ""),
            event=None,
            clock=known_clock,
            watermark=watermark,
            repeats=repeated.latest if repeated else None,
            counted_at=repeated.counted if repeated else None,
            row=self._row(events, event, segment) if code == ACCEPTED else None,
        )
        if seen is not None and code in _INDEXED:
            self._note(seen, events, verdicts, event)
        return fate

    def _row(self, events: EventBatch, event: int, segment: int) -> RowKey:
        instant = int(events.timestamp[event])
        return RowKey(
            org_id=int(events.org[event]),
            category=self.settings.catalogue.names[int(events.category[event])],
            project_id=int(events.project[event]) if self.settings.group_by_project else 0,
            dimensions=events.dimension_values[int(events.dimensions[event])],
            window_start=instant - instant % self.settings.window,
            topic=self.generation.log.topic,
            partition=self.generation.log.partition,
            generation=self.generation.generation,
            segment=segment,
        )


def _word(events: EventBatch, event: int, code: int, segment: int) -> str:
    if code == ACCEPTED:
        return "late" if segment > 0 else "accepted"
    if code == DUPLICATE:
        return "duplicate"
    if code == NOT_BILLABLE:
        return f"not_billable:{events.subreasons[int(events.subreason[event])]}"
    assert code >= REJECTED, f"no such verdict: {code}"
    return f"rejected:{reason_of(code)}"
