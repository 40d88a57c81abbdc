"""The limit on rejections: a flood of malformed records stops the run instead of draining a topic into dead letters.

A producer with a bug, or a wrong `format`, rejects everything. The limit only stops: it is not part of what the meter
answers, and whatever lies before the last flush stays as it is. It is asked as each batch is metered, before anything
of it can be flushed. So a flood is stopped within one batch of the limit, and a run that is started again under
the same limit stops again before it has written more: a supervisor's restarts do not drain the topic bit by bit.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RejectionFlood
from schemas.log import EventBatch, LogId
from schemas.verdicts import REJECTED, reason_of

WHOLE: Final = 1_000_000
"""A ratio is written in parts of a million, so that no float is in it."""
STRETCH: Final = 10_000
"""Events over which a ratio is judged, at the least: a few bad ones at the start of a log are no flood."""


@dataclass(frozen=True, slots=True)
class RejectionLimits:
    """How much of a log may be rejected before the run stops; None: no limit.

    `in_row`: events one after the other. `ratio`: parts of a million in any stretch of STRETCH events or more.
    """

    in_row: int | None = None
    ratio: int | None = None


NO_LIMITS: Final = RejectionLimits()


@dataclass(slots=True)
class _Seen:
    """What is known of one log: the rejections up to now without another event between, and the present stretch.

    `reason` is the commonest of the latest rejections, `offset` the last one's.
    """

    row: int = 0
    events: int = 0
    rejected: int = 0
    reason: str = ""
    offset: int = 0


class RejectionLimit:
    """The limits asked of some logs, each by itself, batch by batch in log order."""

    def __init__(self, limits: RejectionLimits) -> None:
        self._limits = limits
        self._logs: dict[LogId, _Seen] = {}

    def take(self, batch: EventBatch, verdict: NDArray[np.uint8], *, replayed: int) -> None:
        """Take a batch's final verdicts. Raises RejectionFlood at the limit.

        `replayed`: so many of its first events were counted before. They stop nothing; but a row that began in them
        goes on after them.
        """
        if self._limits == NO_LIMITS or not len(verdict):
            return
        log = batch.records.log
        seen = self._logs.setdefault(log, _Seen())
        before, verdict_after = verdict[:replayed], verdict[replayed:]
        if len(before):
            _extend_row(seen, before, int(np.count_nonzero(before >= REJECTED)))
        rejected = int(np.count_nonzero(verdict_after >= REJECTED))
        longest = _extend_row(seen, verdict_after, rejected) if len(verdict_after) else 0
        if np.any(verdict >= REJECTED):
            _note_latest(seen, batch, verdict)
        if not len(verdict_after):
            return
        in_row, ratio = self._limits.in_row, self._limits.ratio
        if in_row is not None and longest >= in_row:
            raise _flood(log, seen, f"{longest:,} events in a row were rejected", f"max_rejected_in_row is {in_row:,}")
        seen.events += len(verdict_after)
        seen.rejected += rejected
        if seen.events < STRETCH:
            return
        if ratio is not None and seen.rejected * WHOLE > ratio * seen.events:
            found = f"{seen.rejected:,} of the last {seen.events:,} events were rejected"
            raise _flood(log, seen, found, f"max_rejected_ratio is {ratio * 100 // WHOLE}%")
        seen.events = seen.rejected = 0

    def forget(self, log: LogId) -> None:
        """Forget a log that was read to its end."""
        self._logs.pop(log, None)


def _extend_row(seen: _Seen, verdict: NDArray[np.uint8], rejected: int) -> int:
    """Carry the row of rejections over a batch; return the longest one that ends in it or goes on after it."""
    if not rejected:
        seen.row = 0
        return 0
    if rejected == len(verdict):
        seen.row += rejected
        return seen.row
    others = np.flatnonzero(verdict < REJECTED)
    first = seen.row + int(others[0])
    between = int(np.diff(others).max(initial=1)) - 1
    seen.row = len(verdict) - 1 - int(others[-1])
    return max(first, between, seen.row)


def _note_latest(seen: _Seen, batch: EventBatch, verdict: NDArray[np.uint8]) -> None:
    events = np.flatnonzero(verdict >= REJECTED)
    seen.reason = reason_of(int(np.bincount(verdict[events]).argmax()))
    seen.offset = int(batch.records.offsets[batch.record[events[-1]]])


def _flood(log: LogId, seen: _Seen, found: str, limit: str) -> RejectionFlood:
    setting = limit.partition(" ")[0]
    return RejectionFlood(
        f"{log}: {found} (most of the latest: {seen.reason}), up to offset {seen.offset}; {limit}. The run stopped "
        "before they went to the dead letters; what was written before is whole, and the next run goes on after it. "
        f"Look at one with `tally explain {log}/{seen.offset}`, mend the producer or the format setting; or, to count "
        f"the rest and keep these as dead letters, raise {setting} or turn it off"
    ).at(log, seen.offset)
