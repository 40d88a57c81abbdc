"""In which partition an event goes: always the same one for an (organisation, event id), so that a retry meets itself.

    partition = (murmur2(decimal digits of org_id) & 0x7fffffff + salt) mod partitions
    salt      = crc32(event_id as UTF-8) mod n for an organisation that is salted over n partitions, otherwise 0

Without salt that is where Java's clients put a record with the organisation's digits as its key, and librdkafka with
`partitioner=murmur2_random`. A salted organisation takes n partitions next to each other, exactly n.
"""

from collections.abc import Mapping
from typing import Final
from zlib import crc32

from schemas.errors import SettingsError

KEPT: Final = 100_000
"""Organisations whose partition is remembered."""
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash by which Kafka's clients place keys."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def key_of(org_id: int) -> bytes:
    """Return the key of a record of one organisation's events."""
    return b"%d" % org_id


def spread(key: bytes, partitions: int) -> int:
    """Return the partition of a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Placement:
    """The partitions of events, for a topic of a known number of them."""

    def __init__(self, partitions: int, salted: Mapping[int, int]) -> None:
        """Take the number of partitions, and over how many each very large organisation is spread.

        Raises SettingsError where an organisation is to be spread over more than there are.
        """
        for org_id, over in salted.items():
            if not 1 <= over <= partitions:
                raise SettingsError(
                    f"salted: organisation {org_id} over {over} partitions; the topic has {partitions}, choose 1 to "
                    f"{partitions}"
                )
        self.partitions = partitions
        self._salted = dict(salted)
        self._known: dict[int, int] = {}

    def __call__(self, org_id: int, event_id: str) -> int:
        """Return the event's partition."""
        base = self._known.get(org_id)
        if base is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            base = self._known[org_id] = spread(key_of(org_id), self.partitions)
        over = self._salted.get(org_id) if self._salted else None
        return base if over is None else (base + crc32(event_id.encode()) % over) % self.partitions
