"""The layouts of Arrow streams that were read before: where the columns of the next stream like them lie.

A producer's streams differ in their rows, and so in the numbers of a record batch's metadata (its length, its buffers'
places), and in little else. A layout keeps one stream's bytes up to its first record batch (the schema, and the
dictionary where there is one), and the batch's metadata with those numbers masked. A stream with the same bytes has the
same columns, at places that can be read off without understanding the rest: Arrow's own reader understood it once.

Only flat columns are known: integers, timestamps with a zone, strings, and a dictionary-encoded category. A stream that
is compressed, or has a further column, has no layout.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from dataflows.compiled import compiled
from dataflows.scan_words import Bytes, word_at
from schemas.formats import arrow_limits as fb
from schemas.formats.arrow import COLUMNS
from schemas.log import Int32s, Int64s

MOST: Final = 16
"""Layouts that are kept: a topic has few producers. The oldest makes room for a new one."""

# Columns: the native fields in their order, without the attributes.
EVENT_ID, ORG, PROJECT, CATEGORY, QUANTITY, TIMESTAMP, SOURCE = range(7)
FIELDS: Final = 7

# Words of a layout in the table. PREFIX, HEAD, MASK and DICTIONARY are addresses, the latter of the catalogue's rows of
# the dictionary. BODY_SIZE to BUFFERS are places in the head. TIMES and OVER turn a timestamp into microseconds.
# BUFFER + column is which buffer has its values, or where its texts start (the texts are in the next one), KIND +
# column the width of these in bytes, and SIGNED or TEXT.
(
    PREFIX,
    PREFIX_SIZE,
    HEAD,
    MASK,
    HEAD_SIZE,
    BODY_SIZE,
    ROWS,
    NODES,
    NODE_COUNT,
    BUFFERS,
    BUFFER_COUNT,
    TIMES,
    OVER,
    DICTIONARY,
    DICTIONARY_SIZE,
    ROW_BYTES,
) = range(16)
BUFFER: Final = 16
KIND: Final = BUFFER + FIELDS
WORDS: Final = KIND + FIELDS
SIGNED: Final = 16
TEXT: Final = 32
NO_COLUMN: Final = -1

_MICROS: Final = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}


class _Unknown(Exception):
    """A stream of which no layout is kept."""


class _Places(NamedTuple):
    """Where a record batch's head has its numbers, and how many nodes and buffers there are."""

    body_size: int
    rows: int
    nodes: int
    node_count: int
    buffers: int
    buffer_count: int

    def all(self) -> list[tuple[int, int]]:
        """Return place and length of every number."""
        return [
            (self.body_size, 8),
            (self.rows, 8),
            (self.nodes, 16 * self.node_count),
            (self.buffers, 16 * self.buffer_count),
        ]


class Layouts:
    """Up to MOST layouts; `table` has a row each (WORDS), of a PREFIX_SIZE of 0 where there is none yet."""

    def __init__(self) -> None:
        self.table: Int64s = np.zeros((MOST, WORDS), np.int64)
        self._held: dict[int, tuple[Bytes | Int32s, ...]] = {}
        self._next = 0

    def learn(self, value: bytes, batch: pa.RecordBatch, rows: Mapping[str, int]) -> None:
        """Keep the layout of a stream that has none yet. Arrow has read all of it, and `batch` is its first batch.

        `rows` are the catalogue's rows by name. Does nothing for a stream of which no layout is kept.
        """
        start = np.frombuffer(value, np.uint8).ctypes.data
        if layout_at(self.table, start, start + len(value)) >= 0:
            return
        try:
            words, dictionary = _columns(batch, rows)
            first = _first_batch(value)
            size = 8 + fb.uint32_at(value, first + 4)
            head = value[first : first + size]
            places, structure = _places(head)
            mask = _mask(head, places, structure)
            if (places.node_count, places.buffer_count) != (words[NODE_COUNT], words[BUFFER_COUNT]) or size % 8:
                return
        except (_Unknown, struct.error, IndexError):
            return
        prefix, kept = np.frombuffer(value[:first], np.uint8), np.frombuffer(head, np.uint8)
        words[PREFIX], words[PREFIX_SIZE] = prefix.ctypes.data, len(prefix)
        words[HEAD], words[MASK], words[HEAD_SIZE] = kept.ctypes.data, mask.ctypes.data, len(kept)
        words[DICTIONARY], words[DICTIONARY_SIZE] = dictionary.ctypes.data, len(dictionary)
        words[BODY_SIZE : BUFFER_COUNT + 1] = places
        self.table[self._next] = words
        self._held[self._next] = (prefix, kept, mask, dictionary)
        self._next = (self._next + 1) % MOST


def _columns(batch: pa.RecordBatch, rows: Mapping[str, int]) -> tuple[Int64s, Int32s]:
    """Return the words about the columns, and the catalogue's rows of the category's dictionary. Raises _Unknown."""
    words = np.zeros(WORDS, np.int64)
    words[BUFFER : BUFFER + FIELDS] = NO_COLUMN
    dictionary = np.zeros(0, np.int32)
    names = batch.schema.names
    if not set(COLUMNS[:SOURCE]) <= set(names) <= set(COLUMNS[: SOURCE + 1]) or len(set(names)) < len(names):
        raise _Unknown
    buffer = 1
    for name, array in zip(names, batch.columns, strict=True):
        column, kind = COLUMNS.index(name), array.type
        text = is_text(kind)
        if column == CATEGORY and pa.types.is_dictionary(kind) and is_text(kind.value_type):
            dictionary = np.array([rows.get(each, -1) for each in array.dictionary.to_pylist()], np.int32)
            words[ROW_BYTES] += array.dictionary.nbytes
            kind = kind.index_type
        elif column == TIMESTAMP and pa.types.is_timestamp(kind) and kind.tz is not None:
            words[TIMES], words[OVER] = _MICROS[kind.unit]
        elif not (text if column in {EVENT_ID, CATEGORY, SOURCE} else pa.types.is_integer(kind)):
            raise _Unknown
        words[BUFFER + column] = buffer
        words[ROW_BYTES] += fb.CELL
        if text:
            words[KIND + column] = TEXT + (8 if pa.types.is_large_string(kind) else 4)
        else:
            words[KIND + column] = kind.bit_width // 8 + (SIGNED if pa.types.is_signed_integer(kind) else 0)
        buffer += 3 if text else 2
    words[NODE_COUNT], words[BUFFER_COUNT] = len(names), buffer - 1
    return words, dictionary


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type's cells are texts with offsets."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first_batch(value: bytes) -> int:
    """Return where the first record batch's message starts; behind it are only others. Raises _Unknown."""
    at, first = 0, -1
    while (size := fb.uint32_at(value, at + 4)) and fb.uint32_at(value, at) == 0xFFFFFFFF:
        metadata = value[at + 8 : at + 8 + size]
        root = fb.uint32_at(metadata, 0)
        kind, body = fb.field_of(metadata, root, fb.HEADER_TYPE), fb.field_of(metadata, root, fb.BODY_LENGTH)
        is_rows = kind is not None and metadata[kind] == fb.RECORD_BATCH
        if first < 0 and is_rows:
            first = at
        elif first >= 0 and not is_rows:
            raise _Unknown
        at += 8 + size + (0 if body is None else fb.int64_at(metadata, body))
        if at % 8:
            raise _Unknown
    if first < 0:
        raise _Unknown
    return first


def _places(head: bytes) -> tuple[_Places, list[tuple[int, int]]]:
    """Return where a batch's head has its numbers, and place and length of all else that says what they are.

    Raises _Unknown where there is more than a length, nodes and buffers (compression, metadata of its own).
    """
    message = 8 + fb.uint32_at(head, 8)
    table, structure = _table(head, message, fb.BODY_LENGTH)
    batch = fb.target_of(head, table[fb.HEADER])
    inner, more = _table(head, batch, fb.BUFFERS)
    nodes, buffers = fb.target_of(head, inner[fb.NODES]), fb.target_of(head, inner[fb.BUFFERS])
    places = _Places(
        table[fb.BODY_LENGTH],
        inner[fb.LENGTH],
        nodes + 4,
        fb.uint32_at(head, nodes),
        buffers + 4,
        fb.uint32_at(head, buffers),
    )
    pointers = [table[fb.HEADER], inner[fb.NODES], inner[fb.BUFFERS], nodes, buffers]
    small = [(table[fb.VERSION], 2), (table[fb.HEADER_TYPE], 1)]
    return places, [(0, 12), *structure, *more, *small, *((place, 4) for place in pointers)]


def _table(head: bytes, table: int, last: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the places of a table's fields, 0 to `last`, and place and length of what says so.

    Raises _Unknown where one is missing, or there are others.
    """
    vtable = table - struct.unpack_from("<i", head, table)[0]
    (size,) = struct.unpack_from("<H", head, vtable)
    fields = [fb.field_of(head, table, slot) for slot in range((size - 4) // 2)]
    found = [field for field in fields[: last + 1] if field is not None]
    if vtable < 8 or len(found) != last + 1 or any(field is not None for field in fields[last + 1 :]):
        raise _Unknown
    return found, [(table, 4), (vtable, size)]


def _mask(head: bytes, places: _Places, structure: list[tuple[int, int]]) -> Bytes:
    """Return 255 for every byte of a head that must stay as it is, 0 for those of the numbers.

    Raises _Unknown where a number stands where the structure does: another number would be another structure.
    """
    mask = np.full(len(head), 255, np.uint8)
    for at, length in places.all():
        if not mask[at : at + length].all() or at + length > len(head):
            raise _Unknown
        mask[at : at + length] = 0
    if not all(mask[at : at + length].all() for at, length in structure):
        raise _Unknown
    return mask


@compiled
def is_head(known: Int64s, head: int) -> bool:
    """Say whether a batch's head at that place is the layout's but for its numbers."""
    for place in range(0, known[HEAD_SIZE], 8):
        if (word_at(head + place) ^ word_at(known[HEAD] + place)) & word_at(known[MASK] + place) != np.uint64(0):
            return False
    return True


@compiled
def has_layout(known: Int64s, start: int, end: int) -> bool:
    """Say whether a stream begins as the layout does, up to its first batch."""
    size = known[PREFIX_SIZE]
    if size == 0 or end - start < size + known[HEAD_SIZE] + 8:
        return False
    for place in range(0, size, 8):
        if word_at(known[PREFIX] + place) != word_at(start + place):
            return False
    return is_head(known, start + size)


@compiled
def layout_at(table: Int64s, start: int, end: int) -> int:
    """Return the number of the layout that a stream begins with, -1 for none."""
    for number in range(table.shape[0]):
        if has_layout(table[number], start, end):
            return number
    return -1
