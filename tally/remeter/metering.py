"""A candidate's rows: a log is metered again from where the generations it replaces began, by the meter itself.

The rows are a pure function of the log and the settings, as every generation's are: killed and started again, it goes
on from its own progress and comes to the same rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from dataflows.meter import Meter
from dataflows.open_rows import OpenRows
from dataflows.resume import GAPS, kept_by
from dataflows.sources.base import ListedLog
from schemas.errors import SourceError
from schemas.log import EventBatch, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import REMETER, Counts, Mark, Progress
from schemas.usage import Flush
from sinks.remeters import write_candidate
from sinks.store import Store
from tally.remeter.ranges import Target, generation_of
from tally.rereading import LogAgain

Decode = Callable[[RecordBatch], EventBatch]

FLUSH_BYTES: Final = 64 << 20
"""Bytes of records after which what was metered of them is written."""
FLUSH_LOGS: Final = 200
"""Logs of which what was metered is written at once, where they are small."""


def begin(target: Target, listed: ListedLog, settings: MeterSettings, name: str, seen_at: int) -> tuple[Progress, str]:
    """Return the progress with which a candidate starts, as a run would start there, and what to know about it.

    Raises SourceError where the log no longer has the records.
    """
    first = target.start
    if listed.log_start > first:
        raise SourceError(
            f"{target.log}: the log starts at offset {listed.log_start} now, and what is replaced begins at {first}; "
            "its records are gone (retention). A later range can be metered again: choose --from-offset "
            f"{listed.log_start} or later"
        ).at(target.log, first)
    mark, note = Mark(first, None, None, first), ""
    before = target.before
    if before is not None:
        mark = Mark(first, before.clock, before.max_timestamp, first)
        if before.next_offset == first and before.mark.warm_offset >= listed.log_start:
            mark = replace(before.mark, count_from=first)
        elif before.next_offset == first:
            note = (
                f"{target.log}: the log starts at offset {listed.log_start} by now: a repeat of an event from before "
                f"offset {first} is not told as one"
            )
    last = target.replaced[-1]
    gaps = {GAPS: last.source[GAPS]} if GAPS in last.source else {}
    stands_for: dict[str, Any] = {"id": name, "first": target.places[0], "last": target.places[1]}
    progress = Progress(
        log=target.log,
        generation=generation_of(name),
        fingerprint=settings.fingerprint(),
        start_offset=first,
        next_offset=first,
        mark=mark,
        clock=None if before is None else before.clock,
        max_timestamp=None if before is None else before.max_timestamp,
        watermark=None if before is None else before.watermark,
        allowed_lateness=settings.allowed_lateness,
        log_end=last.log_end,
        log_end_seen_at=last.log_end_seen_at,
        finite=listed.finite,
        partitions=last.partitions,
        source={**listed.identity, **kept_by(settings), **gaps, REMETER: stands_for},
        counts=Counts(),
    )
    return (progress if listed.log_end is None else progress.at_end(listed.log_end, seen_at)), note


class Candidates:
    """Writes candidates, several logs at once where they are small. `wrote` is told after every write."""

    def __init__(self, store: Store, settings: MeterSettings, decode: Decode) -> None:
        self._store = store
        self._settings = settings
        self._decode = decode
        self._flushes: list[Flush] = []
        self._bytes = 0

    def announce(self, starts: Sequence[Progress]) -> None:
        """Write down the progress with which candidates start."""
        none = OpenRows(self._settings.catalogue.names).none()
        write_candidate(self._store, [Flush(start, self._settings.format, none, ()) for start in starts])

    def meter(
        self, progress: Progress, again: LogAgain, end: int, on_read: Callable[[int], None] = lambda _: None
    ) -> Progress:
        """Meter a log from its candidate's progress up to an offset; return the progress there.

        The last of it is written by `flush`. `on_read` is told of the offset reached. Raises SourceError where the log
        ends before, or what the meter raises.
        """
        meter = Meter(self._settings, progress, broker_clock=again.source.broker_clock)
        reached = progress.next_offset
        if reached < end:
            for batch in again.batches(progress.mark.warm_offset):
                wanted = up_to(batch, end)
                meter.add(self._decode(wanted))
                self._bytes += len(wanted.data)
                reached = meter.next_offset
                on_read(reached)
                if self._bytes >= FLUSH_BYTES:
                    self._take(meter, progress)
                    self.flush()
                if reached >= end:
                    break
        if reached < end:
            raise SourceError(
                f"{again.log}: the log ended at offset {reached}, and was metered up to offset {end} before: it is not "
                "whole any more"
            ).at(again.log, reached)
        done = self._take(meter, progress)
        if len(self._flushes) >= FLUSH_LOGS:
            self.flush()
        return done

    def _take(self, meter: Meter, start: Progress) -> Progress:
        flush = meter.flush()
        if start.log_end is not None and start.log_end_seen_at is not None:
            flush = flush.at_end(start.log_end, start.log_end_seen_at)
        self._flushes.append(flush)
        return flush.progress

    def flush(self) -> None:
        """Write what was metered: rows and letters, then progress."""
        if self._flushes:
            write_candidate(self._store, self._flushes)
        self._flushes, self._bytes = [], 0


def up_to(batch: RecordBatch, end: int) -> RecordBatch:
    """Return the records of a batch before an offset; reading goes on there at the latest."""
    if batch.next_offset <= end:
        return batch
    kept = int(batch.offsets.searchsorted(end))
    return replace(
        batch,
        starts=batch.starts[:kept],
        ends=batch.ends[:kept],
        offsets=batch.offsets[:kept],
        timestamps=None if batch.timestamps is None else batch.timestamps[:kept],
        next_offset=end,
    )
