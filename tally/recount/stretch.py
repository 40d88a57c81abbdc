"""Which part of a log is recounted: its generation, and from where it must be read so that verdicts are exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataflows.resume import GAPS
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from schemas.progress import Progress
from tally.recount.metering import Before
from tally.rereading import LogAgain

FIRST_STEP: Final = 10_000
"""Offsets that the first look back for a warm-up goes; each further one goes twice as far."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records from `first` to `end` of a generation are recounted, and those from `read_from` on are read for it.

    Rows are counted from `count_from` on; `note` says what a person should know about the start.
    """

    generation: Progress
    first: int
    end: int
    read_from: int
    count_from: int
    before: Before
    note: str = ""

    @property
    def whole(self) -> bool:
        """Say whether this is all that the generation has metered, so that its counts can be compared."""
        return (self.first, self.end) == (self.generation.start_offset, self.generation.next_offset)


def stretch_of(
    generations: Sequence[Progress], first: int | None, end: int | None, again: LogAgain, settings: MeterSettings
) -> Stretch:
    """Return the stretch of a log, whose generations are given, the newest first.

    Without bounds it is all of the newest generation. Raises SettingsError for a range that no one generation metered.
    """
    newest = generations[0]
    generation = newest
    if first is not None:
        found = next((one for one in generations if one.start_offset <= first), None)
        if found is None:
            raise SettingsError(
                f"--from-offset {first}: metering of {newest.log} began at offset {generations[-1].start_offset}"
            )
        generation = found
    start = generation.start_offset if first is None else first
    stop = generation.next_offset if end is None else end
    if not start < stop <= generation.next_offset:
        raise SettingsError(
            f"{newest.log}: generation {generation.generation} metered offsets {generation.start_offset} to "
            f"{generation.next_offset}; offsets {start} to {stop} do not lie within it: choose --from-offset and "
            "--to-offset (exclusive) so that they do"
        )
    if start < again.listed.log_start:
        raise SettingsError(
            f"{newest.log}: the log starts at offset {again.listed.log_start} by now: recount from there"
        )
    return _start(generation, generations, start, stop, again, settings)


def _start(
    generation: Progress,
    generations: Sequence[Progress],
    start: int,
    stop: int,
    again: LogAgain,
    settings: MeterSettings,
) -> Stretch:
    begin, before = generation.start_offset, Before()
    read_from = begin
    over_gap = any(end == begin for _, end in generation.source.get(GAPS, ()))
    for one in generations:
        if not generation.follows(one):
            continue
        if one.next_offset == begin:
            # The dedupe index of a generation that follows another is warmed from the other's mark.
            read_from = one.mark.warm_offset
            before = Before(one.mark.warm_clock or 0, one.mark.warm_max_timestamp or 0)
        elif over_gap:
            before = Before(one.clock or 0, one.max_timestamp or 0)
    reachable = again.listed.log_start <= read_from
    if not again.source.broker_clock or settings.trust_producer_time:
        if not reachable:
            raise SettingsError(
                f"{generation.log}: the log is gone before offset {again.listed.log_start}, and the clock of this log "
                "cannot be known from a later start"
            )
        return Stretch(generation, start, stop, read_from, begin, before)
    warm = _warm_up(start, max(read_from, again.listed.log_start), again, settings)
    if warm <= read_from and reachable:
        return Stretch(generation, start, stop, read_from, begin, before)
    note = f"read from offset {warm} on, so that the dedupe index and the watermark are whole where it counts"
    return Stretch(generation, start, stop, warm, max(begin, warm), Before(whole=False), note)


def _warm_up(start: int, earliest: int, again: LogAgain, settings: MeterSettings) -> int:
    """Return an offset that lies a horizon, and the allowance for the future, before `start` by the log's clock.

    A look at one record each time: twice as far back as the last.
    """
    now = _clock_at(again, start)
    if now is None:
        return earliest
    margin = settings.bucket * (settings.horizon_buckets + 2) + settings.max_future + settings.allowed_lateness
    step = FIRST_STEP
    while start - step > earliest:
        found = _clock_at(again, start - step)
        if found is None or found <= now - margin:
            return start - step
        step *= 2
    return earliest


def _clock_at(again: LogAgain, offset: int) -> int | None:
    """Return the broker's timestamp of the first record from an offset on."""
    for batch in again.batches(offset):
        if len(batch) and batch.timestamps is not None:
            return int(batch.timestamps[0])
    return None
