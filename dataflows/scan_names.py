"""A table of texts that the compiled scanner finds a text in: a category's row by its name."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from dataflows.scan_words import SLACK, Bytes, as_int, as_word, byte_at, inlined, text_word, word_at, word_of
from schemas.log import UInt64s

_HEAD: Final = 16
"""Bytes before the first slot: by how much a hash is shifted to give a slot, and the last slot's number."""
_SLOT: Final = 40
"""Bytes of a slot: a text's first and last 8 bytes, its length, its place in memory, its row + 1 (0: an empty slot).
The first two tell texts of up to 16 bytes apart by themselves."""


@inlined
def slot_of(first: np.uint64, last: np.uint64, length: int, shift: np.uint64) -> int:
    """Return the slot at which the search for a text starts."""
    mixed = (first ^ (last >> np.uint64(7)) ^ as_word(length)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return as_int(mixed >> shift)


@inlined
def find_text(table: int, start: int, end: int) -> int:
    """Return the row of the text from `start` to `end` in the table at that address, or -1."""
    length = end - start
    first = text_word(start, end)
    last = word_at(end - 8) if length >= 8 else first
    last_slot = as_int(word_at(table + 8))
    slot = slot_of(first, last, length, word_at(table))
    while True:
        at = table + _HEAD + _SLOT * slot
        row = as_int(word_at(at + 32)) - 1
        if row < 0:
            return -1
        if word_at(at) == first and word_at(at + 8) == last and as_int(word_at(at + 16)) == length:
            text = as_int(word_at(at + 24))
            same = True
            for place in range(8, length - 8):
                if byte_at(text + place) != byte_at(start + place):
                    same = False
            if same:
                return row
        slot = (slot + 1) & last_slot


class TextTable:
    """Texts by hash, open addressing. A text's row is its place in the order in which they were added."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._texts: dict[bytes, Bytes] = {}
        self._words: UInt64s = np.zeros(0, np.uint64)
        self._room = 0
        for text in texts:
            self.add(text)
        if not self._texts:
            self._rebuild(4)

    @property
    def address(self) -> int:
        """Where the table is, until a text is added."""
        return self._words.ctypes.data

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: bytes) -> int:
        """Add a text that is not in the table yet; return its row."""
        assert text not in self._texts
        self._texts[text] = np.frombuffer(text + bytes(SLACK), np.uint8)
        if len(self._texts) > self._room:
            self._rebuild(max(4, (4 * len(self._texts)).bit_length()))
        else:
            self._enter(len(self._texts) - 1, text)
        return len(self._texts) - 1

    def _rebuild(self, bits: int) -> None:
        self._words = np.zeros((_HEAD + (_SLOT << bits)) // 8, np.uint64)
        self._words[0], self._words[1] = 64 - bits, (1 << bits) - 1
        self._room = (1 << bits) // 2
        for row, text in enumerate(self._texts):
            self._enter(row, text)

    def _enter(self, row: int, text: bytes) -> None:
        first, last = word_of(text), word_of(text[-8:])
        words, last_slot = self._words, int(self._words[1])
        slot = slot_of(first, last, len(text), words[0])
        while words[at := (_HEAD + _SLOT * slot) // 8 + 4]:
            slot = (slot + 1) & last_slot
        words[at - 4 : at + 1] = first, last, len(text), self._texts[text].ctypes.data, row + 1
