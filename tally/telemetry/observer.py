"""Learns what a flow does from calls that it makes anyway, once a tick: a meter's flush, a write, a wait.

Nothing of it is on the path of a batch, and where no setting asks for telemetry there is no observer at all.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from dataflows.meter import Meter
from dataflows.metering import Meters
from dataflows.plan import Plan
from dataflows.reading import Control, Tick
from dataflows.rejection_limit import RejectionLimits
from dataflows.sources.base import wall_clock
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Counts, Progress
from schemas.usage import Flush
from sinks.retry import Retrying
from tally.telemetry import logs
from tally.telemetry.names import Metric
from tally.telemetry.state import FlowState, LogState, Written, place_of

NANOSECONDS: Final = 1_000_000_000
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Insert:
    """One insert into the store: table, rows, start (wall clock) and length in nanoseconds."""

    table: str
    rows: int
    began: int
    took: int


@dataclass(slots=True)
class FlushTimes:
    """One flush from the meters to the store: start on the wall clock, lengths, in nanoseconds; and its inserts.

    `error` says why it did not reach the store.
    """

    began: int
    metered: int
    took: int = 0
    inserts: list[Insert] = field(default_factory=list)
    error: str = ""


class Sink(Protocol):
    """Takes what is measured."""

    def record(self, name: Metric, value: float, attributes: Mapping[str, str]) -> None:
        """Record a value of a histogram."""
        ...

    def flushed(self, times: FlushTimes, flushes: Sequence[Flush]) -> None:
        """Take a flush that was written, or could not be."""
        ...


class WatchedMeters(Meters):
    """Meters that tell an observer of every flush."""

    def __init__(
        self, settings: MeterSettings, control: Control, limits: RejectionLimits, observer: "Observer"
    ) -> None:
        super().__init__(settings, control, limits)
        self._observer = observer

    def flush(self, tick: Tick) -> tuple[Flush, ...]:
        """Return the flush of every log of the tick about which there is something new to say."""
        began = time.time_ns(), time.perf_counter_ns()
        changed = super().flush(tick)
        self._observer.metered(self.held, changed, FlushTimes(began[0], time.perf_counter_ns() - began[1]))
        return changed


class Observer:
    """Keeps the state of a flow. Its methods are called by the flow's thread; `look` by any.

    `clock` is monotonic seconds, `wall` microseconds UTC.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        self.sink = sink
        self.clock = clock
        self.wall = wall
        now = clock()
        self._lock = threading.Lock()
        self._state = FlowState(started_at=now, turned_at=now)
        self._planned: dict[LogId, Progress] = {}
        self._counted: dict[LogId, Counts] = {}
        self._flushes: deque[FlushTimes] = deque()
        self._current: FlushTimes | None = None

    def look(self) -> FlowState:
        """Return the state now, as a copy."""
        with self._lock:
            return self._state.copy()

    def begin(self, plan: Plan) -> None:
        """Take where every log of the run starts."""
        self._planned = {planned.progress.log: planned.progress for planned in plan.logs if not planned.finished}

    def metered(self, held: Mapping[LogId, Meter], changed: Sequence[Flush], times: FlushTimes) -> None:
        """Take the meters of a worker after a tick, and what there is to write."""
        now = self.clock()
        ends = {flush.progress.log: flush.progress for flush in changed}
        with self._lock:
            state = self._state
            state.turned_at = now
            # A log that was read to its end is gone from the meters.
            state.logs = {
                log: self._log(state.logs.get(log), log, meter, ends.get(log), now) for log, meter in held.items()
            }
            if not changed and not self._flushes:
                state.settled_at = now
        if changed:
            self._flushes.append(times)

    def _log(self, before: LogState | None, log: LogId, meter: Meter, flushed: Progress | None, now: float) -> LogState:
        state = before or LogState(self._planned.get(log, meter.progress), meter.next_offset - 1, moved_at=now)
        log_end, end_seen_at = state.log_end, state.end_seen_at
        if flushed is not None and flushed.log_end_seen_at is not None:
            log_end, end_seen_at = flushed.log_end, now
        still = meter.next_offset == state.position and log_end is not None and log_end > state.position
        return replace(
            state,
            position=meter.next_offset,
            log_end=log_end,
            end_seen_at=end_seen_at,
            moved_at=state.moved_at if still else now,
            open_rows=meter.open_rows,
            index_ids=meter.index_ids,
            index_bytes=meter.index_bytes,
        )

    def writing(self, write: Callable[[Sequence[Flush]], None]) -> Callable[[Sequence[Flush]], None]:
        """Return the store's write, watched."""

        def watched(flushes: Sequence[Flush]) -> None:
            self._current = times = self._flushes.popleft() if self._flushes else FlushTimes(time.time_ns(), 0)
            self._state.writing_since = self.clock()
            try:
                write(flushes)
            except BaseException as error:
                times.error = str(error)
                self._end(times, flushes)
                raise
            finally:
                self._state.writing_since = None

        return watched

    def inserted(self, table: str, rows: int, began: int, took: int) -> None:
        """Take an insert that the store has acknowledged: start on the wall clock and length, in nanoseconds."""
        self._state.away_since = None
        if self._current is not None:
            self._current.inserts.append(Insert(table, rows, began, took))
        if self.sink is not None:
            self.sink.record("tally.insert.duration", took / NANOSECONDS, {"table": table})

    def wrote(self, flushes: Sequence[Flush]) -> None:
        """Take what has reached the store."""
        now = self.clock()
        with self._lock:
            state = self._state
            state.turned_at = state.settled_at = now
            state.away_since = None
            for flush in flushes:
                self._count(state, flush)
        if self._current is not None:
            self._end(self._current, flushes)
        self._delays(flushes)
        if logs.LOGGER.isEnabledFor(logging.DEBUG):
            for flush in flushes:
                _tell(flush)

    def _count(self, state: FlowState, flush: Flush) -> None:
        progress = flush.progress
        log = progress.log
        before = self._counted.get(log) or self._planned.get(log, progress).counts
        state.written.setdefault(place_of(progress), Written()).add(before, progress.counts, len(flush.rows))
        if log in state.logs:
            state.logs[log] = replace(state.logs[log], written=progress)
        if progress.finite and progress.fully_read:
            self._counted.pop(log, None)
        else:
            self._counted[log] = progress.counts

    def _end(self, times: FlushTimes, flushes: Sequence[Flush]) -> None:
        self._current = None
        times.took = time.time_ns() - times.began
        if self.sink is None:
            return
        self.sink.flushed(times, flushes)
        if not times.error:
            self.sink.record("tally.flush.duration", times.took / NANOSECONDS, {})
            self.sink.record("tally.flush.rows", sum(len(flush.rows) for flush in flushes), {})

    def _delays(self, flushes: Sequence[Flush]) -> None:
        newest: dict[str, int] = {}
        for flush in flushes:
            if len(flush.rows):
                topic = flush.progress.log.topic
                newest[topic] = max(newest.get(topic, 0), int(flush.rows.last_timestamp.max()))
        if self.sink is not None:
            now = self.wall()
            for topic, instant in newest.items():
                # An event may be stamped a little ahead of this machine's clock.
                self.sink.record("tally.end_to_end.delay", max(0, now - instant) / MICROSECONDS, {"topic": topic})

    def then(self, wrote: Callable[[Sequence[Flush]], None]) -> Callable[[Sequence[Flush]], None]:
        """Return what takes a written flush and hands it on."""

        def both(flushes: Sequence[Flush]) -> None:
            self.wrote(flushes)
            wrote(flushes)

        return both

    def retrying(self, retrying: Retrying) -> Retrying:
        """Return the same way to wait for the store, watched."""

        def on_wait(message: str) -> None:
            self.waiting(message)
            retrying.on_wait(message)

        def should_stop() -> bool:
            self.beat()
            return retrying.should_stop()

        return replace(retrying, on_wait=on_wait, should_stop=should_stop)

    def waiting(self, message: str) -> None:
        """Take a wait for the store, which was found away."""
        with self._lock:
            self._state.waits += 1
            self._state.turned_at = self.clock()
            self._state.away_why = message
            if self._state.away_since is None:
                # From the start of the write: the first answer may have taken its time to fail.
                self._state.away_since = self._state.writing_since or self._state.turned_at

    def beat(self) -> None:
        """Note that the flow is at work, though no tick passes: it waits for the store."""
        self._state.turned_at = self.clock()


def _tell(flush: Flush) -> None:
    progress = flush.progress
    fields = {
        "topic": progress.log.topic,
        "partition": progress.log.partition,
        "offset": progress.next_offset,
        "generation": progress.generation,
        "rows": len(flush.rows),
        "dead_letters": len(flush.dead_letters),
        "log_end": progress.log_end,
    }
    logs.debug(f"{progress.log}: written up to offset {progress.next_offset}, {len(flush.rows)} rows", fields)
