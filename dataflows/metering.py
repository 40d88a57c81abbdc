"""The third step of the flow: the meters of one worker's logs, fed with event batches, flushed at every tick."""

from collections.abc import Iterable, Mapping

import numpy as np

from dataflows.meter import Meter
from dataflows.reading import Control, Opened, Tick
from dataflows.rejection_limit import NO_LIMITS, RejectionLimit, RejectionLimits
from dataflows.sources.base import LogEnd
from schemas.errors import SourceError, TallyError
from schemas.log import EventBatch, LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress
from schemas.usage import Flush


class Meters:
    """One meter a log that is being read.

    A plain step and not a keyed one: all batches of a log are read by one worker, in order, and are metered where they
    were read. So no batch is pickled or sent to another process, none piles up there, and the state needs no key.
    """

    def __init__(self, settings: MeterSettings, control: Control, limits: RejectionLimits = NO_LIMITS) -> None:
        """`limits` stop the run where too much of a log is rejected."""
        self._settings = settings
        self._control = control
        self._limit = RejectionLimit(limits)
        self._meters: dict[LogId, Meter] = {}
        self._told: dict[LogId, Progress] = {}

    @property
    def held(self) -> Mapping[LogId, Meter]:
        """Return the meters of the logs that are being read."""
        return self._meters

    def __call__(self, items: Iterable[Opened | EventBatch | Tick]) -> list[tuple[Flush, ...]]:
        """Meter the items; return, for every tick, what there is to write."""
        flushes: list[tuple[Flush, ...]] = []
        if self._control.failure is not None:
            return flushes
        try:
            for item in items:
                if isinstance(item, EventBatch):
                    self._add(item)
                elif isinstance(item, Opened):
                    log = item.progress.log
                    self._meters[log] = Meter(self._settings, item.progress, broker_clock=item.broker_clock)
                    self._told[log] = item.progress
                elif changed := self.flush(item):
                    flushes.append(changed)
        except TallyError as error:
            self._control.fail(error)
        return flushes

    def _add(self, batch: EventBatch) -> None:
        log = batch.records.log
        meter = self._meters[log]
        # A batch may begin in the replay and end behind it: what lies behind counts.
        replayed = int(np.searchsorted(batch.records.offsets[batch.record], meter.resumes_at)) if meter.replaying else 0
        try:
            self._limit.take(batch, meter.add(batch).verdict, replayed=replayed)
        except TallyError as error:
            error.at(log, meter.next_offset)
            raise

    def flush(self, tick: Tick) -> tuple[Flush, ...]:
        """Return the flush of every log of the tick about which there is something new to say."""
        changed: list[Flush] = []
        for log in tick.logs:
            if log not in self._meters:
                continue
            flush = self._meters[log].flush()
            if (end := tick.ends.get(log)) is not None:
                _check_end(flush.progress, end)
                flush = flush.at_end(*end)
            if len(flush.rows) or flush.dead_letters or flush.progress != self._told[log]:
                changed.append(flush)
                self._told[log] = flush.progress
            if flush.progress.finite and flush.progress.fully_read:
                del self._meters[log], self._told[log]
                self._limit.forget(log)
        return tuple(changed)


def _check_end(progress: Progress, end: LogEnd) -> None:
    """Refuse an input that ended before what was metered of it; a topic's end may be an older sight."""
    if progress.finite and end.offset < progress.next_offset:
        raise SourceError(
            f"{progress.log}: the input ended at byte {end.offset}, but was metered up to byte {progress.next_offset} "
            "before: it is not the same, or not whole. Give the whole input again. Nothing was written."
        ).at(progress.log, end.offset)
