"""The meter: one partition log's records in, usage rows and progress out. A pure function of the log's prefix.

    meter = Meter(settings, progress, broker_clock=True)  # where the partition stands, with its mark
    meter.add(batch)                                       # any number of times, in log order
    flush = meter.flush()                                  # what changed since, and the progress that covers it

No Bytewax, no Kafka, no ClickHouse, no clock on the wall. However the log is cut into batches, wherever a run stops
and resumes, and however many runs write at once, the rows that readers end up with are the same.
"""

from collections import Counter
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataflows import meter_kernel as k
from dataflows.dedupe import DedupeIndex
from dataflows.kept_events import KeptEvents
from dataflows.marks import Turns, from_state
from dataflows.open_rows import OpenRows
from schemas.log import EventBatch, Int64s
from schemas.metering import LATE_BUCKETS, MICROSECONDS, MeterSettings
from schemas.progress import Counts, Progress
from schemas.usage import DeadLetter, Flush
from schemas.verdicts import MAX_RAW_BYTES, REASONS, REJECTED, Reason, reason_of

_NO_TIMES: Final[Int64s] = np.zeros(0, dtype=np.int64)


class Verdicts(NamedTuple):
    """What became of a batch's events: final verdict codes, the clock at each, the segment of its row (-1: in none)."""

    verdict: NDArray[np.uint8]
    clock: Int64s
    segment: Int64s


def _to_state(instant: int | None) -> int:
    return k.NONE if instant is None else instant


class Meter:
    """The state of one partition: clock, watermark, dedupe index, open usage rows, counts.

    It starts at `progress.mark`: records from the mark to `progress.next_offset` are a silent replay that rebuilds
    the state; from there on verdicts are counted. Records must come whole and in offset order.
    """

    def __init__(self, settings: MeterSettings, progress: Progress, *, broker_clock: bool) -> None:
        self.settings = settings
        self.progress = progress
        mark = progress.mark
        self._replaying = True
        self._resume_at = progress.next_offset
        self._next_offset = mark.warm_offset
        self._rules = np.zeros(k.RULES_SIZE, dtype=np.int64)
        self._rules[k.GROUP_BY_PROJECT] = settings.group_by_project
        self._rules[k.WINDOW] = settings.window
        self._rules[k.LATENESS] = settings.allowed_lateness
        self._rules[k.BUCKET_SIZE] = settings.bucket
        self._rules[k.HORIZON] = settings.horizon_buckets
        self._rules[k.MAX_FUTURE] = settings.max_future
        self._rules[k.MAX_AGE] = settings.max_age
        self._rules[k.AS_OF] = _to_state(settings.as_of)
        self._rules[k.BROKER_CLOCK] = broker_clock
        self._state = np.zeros(k.STATE_SIZE, dtype=np.int64)
        self._state[k.CLOCK] = _to_state(mark.warm_clock)
        self._state[k.MAX_TIMESTAMP] = _to_state(mark.warm_max_timestamp)
        self._state[k.BUCKET] = k.NONE
        self._counts = np.zeros(k.COUNTS_SIZE, dtype=np.int64)
        self._reasons = np.zeros(len(REASONS), dtype=np.int64)
        self._subreasons: Counter[str] = Counter()
        self._counted = progress.counts
        self._index = DedupeIndex(settings.dedupe_max_bytes, settings.horizon_buckets)
        self._rows = OpenRows(settings.catalogue.names)
        self._turns = Turns(settings)
        self._dead_letters: list[DeadLetter] = []
        self._kept = KeptEvents(settings) if settings.catalogue.keeps() else None
        self._end_replay_at(self._next_offset)

    def add(self, batch: EventBatch) -> Verdicts:
        """Meter a batch; returns what became of each event (in a replay: provisional where it is not counted)."""
        records = batch.records
        if len(records) and int(records.offsets[0]) < self._next_offset:
            raise AssertionError(
                f"{records.log}: offset {records.offsets[0]} came after {self._next_offset}: records out of order"
            )
        verdicts = Verdicts(
            batch.verdict.copy(),
            np.full(len(batch), k.NONE, dtype=np.int64),
            np.full(len(batch), -1, dtype=np.int64),
        )
        event_ends = np.searchsorted(batch.record, np.arange(len(records)), side="right").astype(np.int64)
        first = 0
        if self._replaying:
            first = int(np.searchsorted(records.offsets, self._resume_at))
            self._meter(batch, verdicts, event_ends, 0, first)
            self._end_replay_at(int(records.offsets[first]) if first < len(records) else records.next_offset)
        if first < len(records):
            self._meter(batch, verdicts, event_ends, first, len(records))
            first_event = int(event_ends[first - 1]) if first else 0
            self._collect(batch, verdicts, first_event)
            if self._kept is not None:
                self._kept.collect(batch, verdicts.verdict, first_event)
        self._next_offset = max(self._next_offset, records.next_offset)
        return verdicts

    def flush(self) -> Flush:
        """Return the rows, kept events and dead letters since the last flush, and the progress that covers them."""
        letters, self._dead_letters = tuple(self._dead_letters), []
        if self._replaying:
            return Flush(self.progress, self.settings.format, self._rows.none(), letters)
        rows = self._rows.take_changed()
        self._drop_closed()
        self.progress = self._current_progress()
        kept = None if self._kept is None else self._kept.take()
        return Flush(self.progress, self.settings.format, rows, letters, kept)

    @property
    def replaying(self) -> bool:
        """Say whether the meter is still on its way from the mark to where the last run stopped."""
        return self._replaying

    @property
    def resumes_at(self) -> int:
        """Return the offset at which the last run stopped: what lies before it is replayed."""
        return self._resume_at

    @property
    def next_offset(self) -> int:
        """Return the offset up to which records were taken, in a replay too."""
        return self._next_offset

    @property
    def open_rows(self) -> int:
        """How many usage rows may still change."""
        return self._rows.used

    @property
    def index_bytes(self) -> int:
        """Memory of the dedupe index."""
        return self._index.nbytes

    @property
    def index_ids(self) -> int:
        """Ids in the dedupe index, those beyond the horizon that were not forgotten yet included."""
        return int(self._state[k.INDEX_USED])

    def _meter(self, batch: EventBatch, out: Verdicts, event_ends: Int64s, first: int, last: int) -> None:
        records, rows, index = batch.records, self._rows, self._index
        times = records.timestamps if records.timestamps is not None else _NO_TIMES
        dimension_rows = rows.rows_of_dimensions(batch.dimension_values)
        subreasons = np.zeros(max(1, len(batch.subreasons)), dtype=np.int64)
        record, event = first, int(event_ends[first - 1]) if first else 0
        while True:
            self._state[k.INDEX_USED], self._state[k.ROWS_USED] = index.used, rows.used
            why, record, event, turns_used = k.meter_events(
                self._rules,
                self._state,
                self._counts,
                self._reasons,
                subreasons,
                record,
                last,
                event,
                self.progress.mark.count_from if self._replaying else self._resume_at,
                not self._replaying,
                records.offsets,
                times,
                event_ends,
                out.verdict,
                batch.org,
                batch.project,
                batch.category,
                batch.quantity,
                batch.timestamp,
                batch.id_high,
                batch.id_low,
                batch.payload,
                batch.dimensions,
                dimension_rows,
                batch.subreason,
                index.table,
                index.capacity,
                index.limit,
                rows.slots,
                rows.keys,
                rows.values,
                self._turns.buffer,
                0,
                out.clock,
                out.segment,
            )
            index.used, rows.used = int(self._state[k.INDEX_USED]), int(self._state[k.ROWS_USED])
            self._turns.take(turns_used)
            if why == k.DONE:
                break
            if why in {k.INDEX_WANTS_ROOM, k.INDEX_WANTS_SLOT}:
                index.make_room(self._bucket_now(), forced=why == k.INDEX_WANTS_SLOT)
            elif why == k.ROWS_WANT_ROOM:
                rows.make_room()
        if not self._replaying:
            for name, n in zip(batch.subreasons, subreasons.tolist(), strict=False):
                if n:
                    self._subreasons[name] += n

    def _bucket_now(self) -> int:
        # A clock that is not known yet (NONE) has no ids in the index that could be forgotten.
        return int(self._state[k.BUCKET])

    def _end_replay_at(self, offset: int) -> None:
        if not self._replaying or offset < self._resume_at:
            return
        self._replaying = False
        self._drop_closed()
        self._rows.all_unchanged()

    def _drop_closed(self) -> None:
        watermark, clock = self._watermark(), from_state(int(self._state[k.CLOCK]))
        segment = 0 if clock is None else 1 + clock // self.settings.bucket // LATE_BUCKETS
        self._rows.drop_closed(k.NONE if watermark is None else watermark - self.settings.window, segment)

    def _watermark(self) -> int | None:
        clock, largest = int(self._state[k.CLOCK]), int(self._state[k.MAX_TIMESTAMP])
        if k.NONE in {clock, largest}:
            return None
        return min(clock, largest) - self.settings.allowed_lateness

    def _current_progress(self) -> Progress:
        clock, largest = from_state(int(self._state[k.CLOCK])), from_state(int(self._state[k.MAX_TIMESTAMP]))
        return replace(
            self.progress,
            next_offset=self._next_offset,
            mark=self._turns.mark(self._rows.oldest_offset(), self._next_offset, clock, largest),
            clock=clock,
            max_timestamp=largest,
            watermark=self._watermark(),
            allowed_lateness=self.settings.allowed_lateness,
            counts=self._current_counts(),
        )

    def _current_counts(self) -> Counts:
        before, now = self._counted, self._counts
        rejected: Counter[str] = Counter(
            {reason: int(n) for reason, n in zip(REASONS, self._reasons, strict=True) if n}
        )
        self._counted = Counts(
            records=before.records + int(now[k.RECORDS]),
            events=before.events + int(now[k.EVENTS]),
            accepted=before.accepted + int(now[k.ACCEPTED_EVENTS]),
            late=before.late + int(now[k.LATE_EVENTS]),
            duplicates=before.duplicates + int(now[k.DUPLICATES]),
            not_billable=before.not_billable + self._subreasons,
            rejected=before.rejected + rejected,
            quantity=before.quantity + int(now[k.QUANTITY_LOW]) + (int(now[k.QUANTITY_HIGH]) << 32),
        )
        self._counts[:] = 0
        self._reasons[:] = 0
        self._subreasons.clear()
        assert self._counted.balances(), f"{self.progress.log}: counts do not balance: {self._counted}"
        return self._counted

    def _collect(self, batch: EventBatch, verdicts: Verdicts, first_event: int) -> None:
        """Keep a dead letter for every event rejected from `first_event` on."""
        for event in np.flatnonzero(verdicts.verdict[first_event:] >= REJECTED) + first_event:
            raw = batch.raw(int(event))
            reason = reason_of(int(verdicts.verdict[event]))
            clock = from_state(int(verdicts.clock[event]))
            self._dead_letters.append(
                DeadLetter(
                    offset=int(batch.records.offsets[batch.record[event]]),
                    index=int(batch.index[event]),
                    reason=reason,
                    detail=batch.details.get(int(event)) or self._detail(reason),
                    clock=clock,
                    raw=raw[:MAX_RAW_BYTES],
                    raw_size=len(raw),
                )
            )

    def _detail(self, reason: Reason) -> str:
        settings = self.settings
        compared = "the clock" if settings.as_of is None or self._rules[k.BROKER_CLOCK] else "the as-of instant"
        horizon = settings.bucket * settings.horizon_buckets // MICROSECONDS
        details: dict[str, str] = {
            "from_the_future": f"timestamp is more than {settings.max_future // MICROSECONDS} s past {compared}",
            "too_old": f"timestamp is more than {settings.max_age // MICROSECONDS} s before {compared}",
            "conflicting_duplicate": f"its id occurred within the last {horizon} s with another payload",
            "overflow": "its usage row would pass 63 bits",
        }
        return details.get(reason, "")
