"""Where the clock entered each bucket: what a mark needs to name the place from which a replay must start."""

from typing import Final, NamedTuple

import numpy as np

from dataflows import meter_kernel as k
from schemas.log import Int64s
from schemas.metering import MeterSettings
from schemas.progress import Mark

ROOM: Final = 1024


class Turn(NamedTuple):
    """The first record in a bucket of the clock, with the clock and the largest timestamp as they stood before it.

    `first`: the clock stood in the bucket at the record's first admitted event already (a file's clock can enter a
    bucket between two events of one record).
    """

    bucket: int
    offset: int
    first: bool
    clock: int | None
    max_timestamp: int | None


class Turns:
    """The turns of the clock that a replay may still have to start from, oldest first.

    The compiled loop notes turns in `buffer`; `take` moves them here; `mark` forgets what no mark can need again.
    """

    def __init__(self, settings: MeterSettings) -> None:
        self._bucket_size = settings.bucket
        self._horizon = settings.horizon_buckets
        self._turns: list[Turn] = []
        self.buffer: Int64s = np.zeros((ROOM, k.TURN_SIZE), dtype=np.int64)

    def take(self, used: int) -> None:
        """Take over the first `used` turns of the buffer."""
        for bucket, offset, first, clock, largest in self.buffer[:used].tolist():
            self._turns.append(Turn(bucket, offset, bool(first), from_state(clock), from_state(largest)))

    def mark(self, oldest_open: int | None, next_offset: int, clock: int | None, max_timestamp: int | None) -> Mark:
        """Return the mark for a progress row at `next_offset`, in the state given.

        `oldest_open` is the least first_offset of the open rows. The replay starts at the first record whose bucket is
        within one horizon of the bucket there, so that every verdict from there on is reached with a whole index.
        """
        count_from = next_offset if oldest_open is None else oldest_open
        needed = self._bucket_at(count_from, next_offset, clock)
        if needed is not None:
            oldest = needed - self._horizon
            for number, turn in enumerate(self._turns):
                if turn.bucket >= oldest:
                    del self._turns[:number]
                    return Mark(turn.offset, turn.clock, turn.max_timestamp, count_from)
        # Nothing in the log so far is within the horizon of what comes next.
        return Mark(next_offset, clock, max_timestamp, count_from)

    def _bucket_at(self, offset: int, next_offset: int, clock: int | None) -> int | None:
        """Return the bucket at the first admitted event of the record at `offset`."""
        if offset >= next_offset:
            return None if clock is None else clock // self._bucket_size
        in_force: int | None = None
        for turn in self._turns:
            if turn.offset > offset or (turn.offset == offset and not turn.first):
                break
            in_force = turn.bucket
        return in_force


def from_state(instant: int) -> int | None:
    """Return None for the kernel's NONE."""
    return None if instant == k.NONE else instant
