"""The dedupe index: which event ids occurred within the horizon, when last, and with which payload.

One open-addressing table a partition: slots of six 32-bit words in one array, so that a probe touches one cache line.

    word 0..2   96 bits of the id's keyed hash       word 3..4   64-bit hash of the payload
    word 5      the bucket of the clock of the latest occurrence, + 1; 0 marks an empty slot

A slot's home is its hash scaled to the capacity, so homes rise with the hash, and probing never wraps (the table has a
tail instead). That makes forgetting simple: one pass from the left takes every entry out and puts those that are still
within the horizon back at or before their place, with no second table.

Guarantees: an id that occurred in bucket b is found up to bucket b + N, however full the table is. Memory is 24 bytes a
slot at a fill of 0.55 to 0.82 for large tables: 29 to 44 bytes an id, 63 at the moment of growth. Does not guarantee:
an answer for ids beyond the horizon (they may be forgotten at any time).
"""

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
MAX_FILL_PERCENT: Final = 82
KEEP_FILL_PERCENT: Final = 70
assert END_OF_TIME // MIN_BUCKET + 1 < 1 << 32, "a slot keeps its bucket in 32 bits"
LARGE: Final = 64 << 20
"""A table below this many bytes doubles; a larger one grows by 15 % so that growing stays within its bound an id."""

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
def sweep(table: Table, capacity: int, oldest: int) -> int:
    """Forget, in place, every entry whose bucket is before `oldest`; return how many are left."""
    live = 0
    for at in range(table.shape[0]):
        stamp = table[at, 5]
        if stamp == 0:
            continue
        table[at, 5] = 0
        if np.int64(stamp) - 1 < oldest:
            continue
        live += 1
        to = home_of(table[at, 0], capacity)
        while table[to, 5] != 0:
            to += 1
        for word in range(5):
            table[to, word] = table[at, word]
        table[to, 5] = stamp
    return live


@compiled
def refill(old: Table, new: Table, capacity: int) -> bool:
    """Put every entry of `old` into the empty table `new`; False where its tail was too short."""
    for at in range(old.shape[0]):
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
        self.table: Table = _empty(FIRST_CAPACITY)
        self.used = 0
        self.limit = self.capacity * MAX_FILL_PERCENT // 100

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes

    def make_room(self, bucket: int, forced: bool = False) -> None:
        """Forget what is beyond the horizon as of `bucket`; grow where that is not enough (or `forced`)."""
        self.used = sweep(self.table, self.capacity, bucket - self.horizon)
        if not forced and self.used <= self.capacity * KEEP_FILL_PERCENT // 100:
            return
        capacity = self.capacity
        while True:
            capacity = capacity * 2 if capacity * 2 * SLOT_BYTES <= LARGE else capacity * 115 // 100
            if (capacity + TAIL) * SLOT_BYTES > self.max_bytes:
                raise IndexFull(
                    f"dedupe index full: {self.used:,} ids are within the dedupe horizon and the table may not pass "
                    f"{self.max_bytes:,} bytes. Nothing is lost: the next run goes on from the last progress. "
                    "Raise dedupe_max_bytes, or spread the topic over more partitions, or shorten dedupe_horizon "
                    "(which starts a new generation)"
                )
            table = _empty(capacity)
            if refill(self.table, table, capacity):
                break
        self.table, self.capacity = table, capacity
        self.limit = capacity * MAX_FILL_PERCENT // 100


def _empty(capacity: int) -> Table:
    return np.zeros((capacity + TAIL, WORDS), dtype=np.uint32)
