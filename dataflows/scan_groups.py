"""Grouped attributes: their canonical JSON, written by the compiled scan where it can be copied from the event."""

from typing import Final

import numpy as np

from dataflows.compiled import compiled
from dataflows.hashing import hash_dimensions
from dataflows.scan_json import (
    CLOSE_OBJECT,
    COMMA,
    NINE,
    NO,
    QUOTE,
    ZERO,
    read_integer,
    skip_scalar,
    skip_space,
    skip_string,
)
from dataflows.scan_names import TextTable
from dataflows.scan_words import SLACK, Bytes, as_int, byte_at, set_word, word_at
from schemas.formats.canonical import canonical_json
from schemas.log import UInt64s

LONGEST: Final = 1024
"""A longer canonical JSON is left to the contract."""
MOST_VALUES: Final = 4096
"""With more distinct values than this, those of earlier batches are forgotten before the next."""

_GROUP: Final = 48
"""Bytes of a group: where its name is, the name's length, where `"name":` is, its length; and where the scan notes the
start and the end of its value in the event at hand."""


@compiled
def same_text(a: int, b: int, length: int) -> bool:
    """Say whether the bytes at two places are equal."""
    place = 0
    while place < length and byte_at(a + place) == byte_at(b + place):
        place += 1
    return place == length


@compiled
def copy_text(to: int, start: int, end: int) -> int:
    """Copy the bytes from `start` to `end`; return the place after them. Up to 7 bytes behind them are overwritten."""
    for place in range(0, end - start, 8):
        set_word(to + place, word_at(start + place))
    return to + end - start


@compiled
def after_copyable(at: int, end: int) -> int:
    """Return the place after a value that is written canonically already, or NO."""
    byte = byte_at(at)
    if byte == QUOTE:
        return skip_string(at + 1, end, False)
    if ZERO <= byte <= NINE:
        at, _ = read_integer(at)
        if at == NO:
            return NO
        byte = byte_at(at)
        return at if byte in (COMMA, CLOSE_OBJECT) or byte <= 0x20 else NO
    return skip_scalar(at, end) if byte in (0x74, 0x66) else NO


@compiled
def write_dimensions(at: int, end: int, groups: int) -> tuple[int, int]:
    """Write the canonical JSON of the grouped ones of the attributes at `at`, which were found well-formed.

    Returns its start and end; the same place twice where none of them is grouped, (NO, NO) where the contract has to
    write it. `groups` is the address of a `Groups`.
    """
    count = as_int(word_at(groups))
    for group in range(count):
        set_word(groups + 8 + _GROUP * group + 32, np.uint64(0))
    at = skip_space(at + 1)
    while byte_at(at) == QUOTE:
        name = at + 1
        at = skip_string(name, end, False)
        if at == NO:
            return NO, NO
        length = at - 1 - name
        value = skip_space(skip_space(at) + 1)
        found = NO
        for group in range(count):
            place = groups + 8 + _GROUP * group
            if as_int(word_at(place + 8)) == length and same_text(as_int(word_at(place)), name, length):
                found = place
        at = skip_scalar(value, end) if found == NO else after_copyable(value, end)
        if at == NO:
            return NO, NO
        if found != NO:
            set_word(found + 32, np.uint64(value))
            set_word(found + 40, np.uint64(at))
        at = skip_space(at)
        if byte_at(at) == COMMA:
            at = skip_space(at + 1)
    start = to = groups + 8 + _GROUP * count + 8
    for group in range(count):
        place = groups + 8 + _GROUP * group
        value, value_end = as_int(word_at(place + 32)), as_int(word_at(place + 40))
        if value == 0:
            continue
        size = as_int(word_at(place + 24)) + value_end - value
        if to - start + size > LONGEST:
            return NO, NO
        set_word(to, np.uint64(COMMA if to > start else 0x7B))
        prefix = as_int(word_at(place + 16))
        to = copy_text(to + 1, prefix, prefix + as_int(word_at(place + 24)))
        to = copy_text(to, value, value_end)
    if to == start:
        return start, start
    set_word(to, np.uint64(CLOSE_OBJECT))
    return start, to + 1


class Groups:
    """The names of the grouped attributes, sorted, as the scan reads them, and its scratch for one event."""

    def __init__(self, names: tuple[str, ...]) -> None:
        ordered = sorted(set(names))
        self._texts: list[Bytes] = []
        self._words: UInt64s = np.zeros(2 + _GROUP // 8 * len(ordered) + (LONGEST + 2 * SLACK) // 8, np.uint64)
        self._words[0] = len(ordered)
        for group, name in enumerate(ordered):
            prefix = f"{canonical_json(name)}:"
            at = 1 + _GROUP // 8 * group
            self._words[at : at + 4] = (*self._placed(name), *self._placed(prefix))

    def _placed(self, text: str) -> tuple[int, int]:
        # A name that UTF-8 cannot carry is in no event; nothing that is read can be equal to what stands for it.
        encoded = text.encode(errors="surrogatepass")
        self._texts.append(np.frombuffer(encoded + bytes(SLACK), np.uint8))
        return self._texts[-1].ctypes.data, len(encoded)

    @property
    def address(self) -> int:
        """Where the words are."""
        return self._words.ctypes.data


class Dimensions:
    """The values of grouped attributes that were met: each has a row, '' row 0. Bounded by `forget`."""

    def __init__(self, key: UInt64s) -> None:
        self._key = key
        self._start()

    def _start(self) -> None:
        self._rows = {"": 0}
        self.table = TextTable()
        self.hashes: UInt64s = np.zeros(64, np.uint64)
        self._values: tuple[str, ...] = ("",)

    @property
    def values(self) -> tuple[str, ...]:
        """The values, by row."""
        if len(self._values) != len(self._rows):
            self._values = tuple(self._rows)
        return self._values

    def row_of(self, value: str) -> int:
        """Return the row of a value, a new one where it was not met yet."""
        row = self._rows.get(value)
        if row is None:
            row = self._rows[value] = self.table.add(value.encode()) + 1
            if 2 * row + 2 > len(self.hashes):
                self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)))
            self.hashes[2 * row : 2 * row + 2] = hash_dimensions(self._key, value)
        return row

    def forget(self) -> None:
        """Forget all values where there are more than MOST_VALUES: to be called before a batch, never within one."""
        if len(self._rows) > MOST_VALUES:
            self._start()
