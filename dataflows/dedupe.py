"""The dedupe index: which event ids occurred within the horizon, when last, and with which payload.

One open-addressing table a partition: slots of six 32-bit words in one array, so that a probe touches one cache line.

    word 0..2   96 bits of the id's keyed hash       word 3..4   64-bit hash of the payload
    word 5      the bucket of the clock of the latest occurrence, + 1; 0 marks an empty slot

A slot's home is its hash scaled to the capacity, so homes rise with the hash, and probing never wraps (the table has a
tail instead). That makes forgetting simple: one pass from the left takes every entry out and puts those that are still
within the horizon back at or before their place, with no second table.

Growing happens in place: the kernel makes the table's memory longer, all entries are packed to its end, and from there
put into their new places from the left, none of which is past the entries that are still packed. So only memory that is
new is touched for the first time, which costs more than moving. Large tables lie on huge pages, without which a probe
mostly waits for its address. Where the memory cannot be made longer, entries move to another table, also from the left:
what was moved is given back on the way, so that the two together never take more than the new one.

Guarantees: an id that occurred in bucket b is found up to bucket b + N, however full the table is. Memory is 24 bytes a
slot at a fill of 0.41 to 0.8: 30 to 58 bytes an id, growth included. Does not guarantee: an answer for ids beyond the
horizon (they may be forgotten at any time).
"""

import contextlib
import mmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataflows.compiled import compiled
from schemas.errors import IndexFull
from schemas.metering import MIN_BUCKET
from schemas.verdicts import END_OF_TIME

Table = NDArray[np.uint32]

WORDS: Final = 6
SLOT_BYTES: Final = 4 * WORDS
TAIL: Final = 4096
FIRST_CAPACITY: Final = 4096
MAX_FILL_PERCENT: Final = 80
KEEP_FILL_PERCENT: Final = 62
"""A table that forgetting leaves fuller than this grows by half: else it would soon have to forget again."""
assert END_OF_TIME // MIN_BUCKET + 1 < 1 << 32, "a slot keeps its bucket in 32 bits"
LARGE: Final = 8 << 20
"""From this many bytes on a table is memory of its own from the kernel, on huge pages where there are any."""
HUGE_PAGE: Final = 2 << 20
MOVED_AT_ONCE: Final = 1 << 20
"""Slots that are moved between two returns of memory."""

NEW: Final = 0
SAME: Final = 1
DIFFERENT: Final = 2
NO_ROOM: Final = 3
FORGOTTEN: Final = 4
"""As NEW, but a slot of the same id from beyond the horizon was used again: the table is no fuller."""


@compiled
def home_of(word: np.uint32, capacity: int) -> int:
    """Return the slot at which the search for a hash starts."""
    home: int = (np.int64(word) * capacity) >> 32  # type: ignore[assignment]  # an int to the compiled code
    return home


@compiled
def occurs(table: Table, capacity: int, high: int, low: int, payload: int, bucket: int, horizon: int) -> int:
    """Note an occurrence of an id in `bucket` and say what it is against the latest one within the horizon.

    Returns NEW, SAME or DIFFERENT; NO_ROOM (and nothing noted) where the table has no free slot after the home.
    """
    word0 = np.uint32(np.uint64(high) >> np.uint64(32))
    word1 = np.uint32(np.uint64(high) & np.uint64(0xFFFFFFFF))
    word2 = np.uint32(np.uint64(low) & np.uint64(0xFFFFFFFF))
    word3 = np.uint32(np.uint64(payload) >> np.uint64(32))
    word4 = np.uint32(np.uint64(payload) & np.uint64(0xFFFFFFFF))
    at = home_of(word0, capacity)
    slots = table.shape[0]
    while at < slots:
        stamp = np.int64(table[at, 5])
        if stamp == 0:
            table[at, 0] = word0
            table[at, 1] = word1
            table[at, 2] = word2
            table[at, 3] = word3
            table[at, 4] = word4
            table[at, 5] = np.uint32(bucket + 1)
            return NEW
        if table[at, 0] == word0 and table[at, 1] == word1 and table[at, 2] == word2:
            same = table[at, 3] == word3 and table[at, 4] == word4
            table[at, 3] = word3
            table[at, 4] = word4
            table[at, 5] = np.uint32(bucket + 1)
            if stamp - 1 + horizon < bucket:
                return FORGOTTEN
            return SAME if same else DIFFERENT
        at += 1
    return NO_ROOM


@compiled
def sweep(table: Table, capacity: int, oldest: int) -> tuple[int, int]:
    """Forget, in place, every entry whose bucket is before `oldest`.

    Returns how many are left, and a bucket before which none of them is.
    """
    live = 0
    least: int = 1 << 32
    for at in range(table.shape[0]):
        stamp = table[at, 5]
        if stamp == 0:
            continue
        table[at, 5] = 0
        bucket: int = np.int64(stamp) - 1  # type: ignore[assignment]  # an int to the compiled code
        if bucket < oldest:
            continue
        live += 1
        least = min(least, bucket)
        to = home_of(table[at, 0], capacity)
        while table[to, 5] != 0:
            to += 1
        for word in range(5):
            table[to, word] = table[at, word]
        table[to, 5] = stamp
    return live, least


@compiled
def pack(table: Table, slots: int) -> int:
    """Move the entries in the first `slots` slots to the table's end, in their order; return where they begin there.

    The other slots are empty, before and after.
    """
    to: int = table.shape[0]
    for at in range(slots - 1, -1, -1):
        stamp = table[at, 5]
        if stamp != 0:
            to -= 1
            table[at, 5] = 0
            for word in range(5):
                table[to, word] = table[at, word]
            table[to, 5] = stamp
    return to


@compiled
def unpack(table: Table, first: int, capacity: int) -> bool:
    """Put the entries that were packed, from `first` on, into the places that a capacity gives them.

    False where one belongs behind the place that it is taken from. All are still in the table then, but not in order.
    """
    for at in range(first, table.shape[0]):
        to = home_of(table[at, 0], capacity)
        if to > at:
            return False
        stamp = table[at, 5]
        table[at, 5] = 0
        while table[to, 5] != 0:
            to += 1
        for word in range(5):
            table[to, word] = table[at, word]
        table[to, 5] = stamp
    return True


@compiled
def refill(old: Table, first: int, last: int, new: Table, capacity: int) -> bool:
    """Put the entries in slots [first, last) of `old` into the table `new`; False where its tail was too short."""
    for at in range(first, last):
        if old[at, 5] == 0:
            continue
        to = home_of(old[at, 0], capacity)
        while to < new.shape[0] and new[to, 5] != 0:
            to += 1
        if to == new.shape[0]:
            return False
        for word in range(6):
            new[to, word] = old[at, word]
    return True


class DedupeIndex:
    """The ids of one partition's horizon. `max_bytes` bounds the table; at the bound IndexFull says what to change."""

    def __init__(self, max_bytes: int, horizon: int) -> None:
        self.max_bytes = max_bytes
        self.horizon = horizon
        self.capacity = FIRST_CAPACITY
        self.table, self._memory = _empty(FIRST_CAPACITY)
        self.used = 0
        self.limit = self.capacity * MAX_FILL_PERCENT // 100
        self._none_before: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes

    def make_room(self, bucket: int, forced: bool = False) -> None:
        """Forget what is beyond the horizon as of `bucket`; grow where that is not enough (or `forced`).

        Raises IndexFull where the table may not grow and has no room; what is within the horizon is still in it then.
        """
        oldest = bucket - self.horizon
        if self._none_before is None or self._none_before < oldest:
            self.used, self._none_before = sweep(self.table, self.capacity, oldest)
        if not forced and self.used <= self.capacity * KEEP_FILL_PERCENT // 100:
            return
        most = self.max_bytes // SLOT_BYTES - TAIL
        capacity = self.capacity
        while True:
            capacity = min(capacity * 3 // 2, most)
            if capacity <= self.capacity:
                if not forced and self.used < self.limit * 97 // 100:
                    return  # at its bound, but with room for a while
                raise self._full()
            if self._grow_to(capacity) or self._move_to(capacity):
                return
            if capacity == most:
                raise self._full()

    def _grow_to(self, capacity: int) -> bool:
        """Grow to another capacity within the table's own memory; False where that cannot be, with all entries kept."""
        if self._memory is None:
            return False
        slots = self.table.shape[0]
        self.table = _NOWHERE  # memory that an array points into is not moved
        try:
            self._memory.resize(_rounded(capacity))
        except (OSError, SystemError, BufferError):  # no room, no kernel that can, or somebody looks at it
            self.table = _table_in(self._memory, slots)
            return False
        self.table = _table_in(self._memory, capacity + TAIL)
        if not unpack(self.table, pack(self.table, slots), capacity):
            return False
        self.capacity = capacity
        self.limit = capacity * MAX_FILL_PERCENT // 100
        return True

    def _move_to(self, capacity: int) -> bool:
        """Move to a table of another capacity; False, with nothing changed, where its tail is too short."""
        table, memory = _empty(capacity)
        slots = self.table.shape[0]
        if not refill(self.table, 0, min(slots, MOVED_AT_ONCE), table, capacity):
            return False
        for first in range(MOVED_AT_ONCE, slots, MOVED_AT_ONCE):
            self._give_back(first)
            moved = refill(self.table, first, min(slots, first + MOVED_AT_ONCE), table, capacity)
            assert moved, "entries keep their order, so only the last ones reach the tail, and it is as long as before"
        self.table, self._memory, self.capacity = table, memory, capacity
        self.limit = capacity * MAX_FILL_PERCENT // 100
        return True

    def _give_back(self, slots: int) -> None:
        """Give the memory of the first slots, which were moved, back to the kernel."""
        if self._memory is not None:
            self._memory.madvise(mmap.MADV_DONTNEED, 0, slots * SLOT_BYTES // mmap.PAGESIZE * mmap.PAGESIZE)

    def _full(self) -> IndexFull:
        return IndexFull(
            f"dedupe index full: {self.used:,} ids are within the dedupe horizon and the table may not pass "
            f"{self.max_bytes:,} bytes. Nothing is lost: the next run goes on from the last progress. "
            "Raise dedupe_max_bytes (it bounds one log's index), or spread the topic over more partitions, or shorten "
            "dedupe_horizon (which starts a new generation). Of a file, look for an event years ahead of the others: "
            "it holds the log's clock there, unless as_of says what the future is"
        )


_NOWHERE: Final[Table] = np.zeros((0, WORDS), dtype=np.uint32)


def _empty(capacity: int) -> tuple[Table, mmap.mmap | None]:
    """Return an empty table, and its memory where it has memory of its own."""
    slots = capacity + TAIL
    if slots * SLOT_BYTES < LARGE:
        return np.zeros((slots, WORDS), dtype=np.uint32), None
    memory = mmap.mmap(-1, _rounded(capacity), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return _table_in(memory, slots), memory


def _table_in(memory: mmap.mmap, slots: int) -> Table:
    return np.frombuffer(memory, dtype=np.uint32, count=slots * WORDS).reshape(slots, WORDS)


def _rounded(capacity: int) -> int:
    """Return the size of a table's memory: whole huge pages, so that it keeps them when it is moved."""
    return -(-(capacity + TAIL) * SLOT_BYTES // HUGE_PAGE) * HUGE_PAGE
