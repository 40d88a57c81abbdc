"""The compiled reading of Arrow streams whose layout is known (dataflows.arrow_layouts): no Python for a message.

`survey_streams` checks all that Arrow's own reader would (where buffers lie, that texts start in order and are valid),
and says of every other stream that it did not take it; `fill_streams` then writes the columns. What they take reads
exactly as the contract reads it; single rows with something odd in them are marked, and left to it.
"""

from typing import Final, NamedTuple

import numpy as np

from dataflows.arrow_layouts import (
    BODY_SIZE,
    BUFFER,
    BUFFER_COUNT,
    BUFFERS,
    CATEGORY,
    DICTIONARY,
    DICTIONARY_SIZE,
    EVENT_ID,
    FIELDS,
    HEAD_SIZE,
    KIND,
    NO_COLUMN,
    NODE_COUNT,
    NODES,
    ORG,
    OVER,
    PREFIX_SIZE,
    PROJECT,
    QUANTITY,
    ROW_BYTES,
    ROWS,
    SIGNED,
    TEXT,
    TIMES,
    TIMESTAMP,
    is_head,
    layout_at,
)
from dataflows.compiled import compiled
from dataflows.hashing import hash_id, hash_payload
from dataflows.scan import Columns
from dataflows.scan_events import MAX_ID_BYTES
from dataflows.scan_names import find_text
from dataflows.scan_words import HIGHS, Bytes, as_int, as_word, inlined, text_word, word_at
from schemas.formats.arrow_limits import MAX_ROWS, MAX_UNPACKED
from schemas.log import Int32s, Int64s, UInt64s
from schemas.verdicts import ACCEPTED, END_OF_TIME, MAX_QUANTITY, MIN_TIMESTAMP

ODD: Final = -1
"""In a row's place for its category: the contract judges it."""
SMALLEST_ROW: Final = 8
"""Bytes that a row takes at the least: its timestamp. (Nothing says that other columns are not in the same place.)"""
_END: Final = np.uint64(0xFFFFFFFF)
"""The last eight bytes of a stream, as a word."""


class Streams(NamedTuple):
    """What is known of some records: which layout each has, or -1, how many rows, how many of these are odd.

    Where it has a layout, `found` has its rows' categories, or ODD, from its row in `first` on.
    """

    layout: Int32s
    rows: Int64s
    odd: Int64s
    first: Int64s
    found: Int32s


@inlined
def number_at(base: int, kind: int, row: int) -> int:
    """Return a row's integer; one of 64 bits without a sign is negative where it is past 63 bits."""
    width = kind & 15
    word = word_at(base + row * width)
    if width == 8:
        return as_int(word)
    shift = 64 - 8 * width
    word <<= as_word(shift)
    return as_int(word) >> shift if kind & SIGNED else as_int(word >> as_word(shift))


@inlined
def place_at(base: int, width: int, row: int) -> int:
    """Return where a row's text starts in its buffer."""
    return as_int(word_at(base + 8 * row)) if width == 8 else as_int(word_at(base + 4 * row) & np.uint64(0xFFFFFFFF))


@inlined
def texts_at(width: int, places: int, row: int) -> tuple[int, int]:
    """Return where a row's text starts and ends in its buffer."""
    return place_at(places, width, row), place_at(places, width, row + 1)


@compiled
def batch_at(known: Int64s, head: int, end: int) -> int:
    """Return how many rows the batch at `head` has; 0 where it is none of the layout, or not whole."""
    body = head + known[HEAD_SIZE]
    if body + 8 > end or not is_head(known, head):
        return 0
    size, rows = as_int(word_at(head + known[BODY_SIZE])), as_int(word_at(head + known[ROWS]))
    if size < 0 or size % 8 != 0 or size > end - 8 - body or rows < 1 or rows > MAX_ROWS:
        return 0
    for node in range(known[NODE_COUNT]):
        at = head + known[NODES] + 16 * node
        if as_int(word_at(at)) != rows or word_at(at + 8) != np.uint64(0):  # no nulls
            return 0
    for buffer in range(known[BUFFER_COUNT]):
        at = head + known[BUFFERS] + 16 * buffer
        place, length = as_int(word_at(at)), as_int(word_at(at + 8))
        if place < 0 or place % 8 != 0 or place > size or length < 0 or length > size - place:
            return 0
    for column in range(FIELDS):
        if known[BUFFER + column] != NO_COLUMN:
            cells = rows + (1 if known[KIND + column] & TEXT else 0)
            at = head + known[BUFFERS] + 16 * known[BUFFER + column]
            if as_int(word_at(at + 8)) < cells * (known[KIND + column] & 15):
                return 0
    return rows


@inlined
def buffer_at(known: Int64s, head: int, buffer: int) -> int:
    """Return the address of a buffer of the batch at `head`."""
    body: int = head + known[HEAD_SIZE]
    return body + as_int(word_at(head + known[BUFFERS] + 16 * buffer))


@compiled
def is_ascii(start: int, end: int) -> bool:
    """Say whether no byte from start to end has its highest bit set."""
    found = np.uint64(0)
    at = start
    while end - at >= 8:
        found |= word_at(at)
        at += 8
    return bool((found | text_word(at, end)) & HIGHS == np.uint64(0))


@compiled
def are_texts(known: Int64s, head: int, column: int, rows: int) -> bool:
    """Say whether a column's texts lie in order within their buffer, and are ASCII."""
    buffer, width = known[BUFFER + column], known[KIND + column] & 15
    places, text = buffer_at(known, head, buffer), buffer_at(known, head, buffer + 1)
    size = as_int(word_at(head + known[BUFFERS] + 16 * (buffer + 1) + 8))
    first = last = place_at(places, width, 0)
    ordered = first >= 0 and size > 0
    for row in range(1, rows + 1):
        place = place_at(places, width, row)
        ordered &= place >= last
        last = place
    return ordered and last <= size and is_ascii(text + first, text + last)


@compiled
def survey_rows(known: Int64s, head: int, rows: int, names: int, found: Int32s, first: int) -> int:
    """Write the category of each row of a batch to `found`, from `first` on, ODD for a row that the contract judges.

    Returns how many are odd, -1 where the batch is not valid.
    """
    for column in range(FIELDS):
        if known[KIND + column] & TEXT and not are_texts(known, head, column, rows):
            return -1
    org, project = buffer_at(known, head, known[BUFFER + ORG]), buffer_at(known, head, known[BUFFER + PROJECT])
    quantity = buffer_at(known, head, known[BUFFER + QUANTITY])
    instant = buffer_at(known, head, known[BUFFER + TIMESTAMP])
    ids, categories = buffer_at(known, head, known[BUFFER + EVENT_ID]), buffer_at(known, head, known[BUFFER + CATEGORY])
    words = buffer_at(known, head, known[BUFFER + CATEGORY] + 1) if known[KIND + CATEGORY] & TEXT else 0
    earliest = MIN_TIMESTAMP * known[OVER] // known[TIMES]
    latest = END_OF_TIME * known[OVER] // known[TIMES]
    odd = 0
    for row in range(rows):
        if words:
            start, end = texts_at(known[KIND + CATEGORY] & 15, categories, row)
            category = find_text(names, words + start, words + end)
        else:
            index = number_at(categories, known[KIND + CATEGORY], row)
            if index < 0 or index >= known[DICTIONARY_SIZE]:
                return -1
            category = number_at(known[DICTIONARY], 4 + SIGNED, index)
        start, end = texts_at(known[KIND + EVENT_ID] & 15, ids, row)
        amount, moment = number_at(quantity, known[KIND + QUANTITY], row), as_int(word_at(instant + 8 * row))
        if (
            end - start < 1
            or end - start > MAX_ID_BYTES
            or number_at(org, known[KIND + ORG], row) < 0
            or number_at(project, known[KIND + PROJECT], row) < 0
            or amount < 0
            or amount > MAX_QUANTITY
            or moment < earliest
            or moment >= latest
        ):
            category = ODD
        odd += category < 0
        found[first + row] = category
    return odd


@compiled
def survey_streams(
    data: Bytes,
    starts: Int64s,
    ends: Int64s,
    records: Int64s,
    table: Int64s,
    names: int,
    streams: Streams,
) -> None:
    """Survey those records. `rows` and `odd` come in as zeros, `found` has room for a row every SMALLEST_ROW bytes."""
    base: int = data.ctypes.data
    total = 0
    for k in range(records.shape[0]):
        start, end = base + starts[records[k]], base + ends[records[k]]
        number = layout_at(table, start, end)
        streams.layout[k] = -1
        if number < 0:
            continue
        known = table[number]
        at = start + known[PREFIX_SIZE]
        rows, odd, stored = 0, 0, 0
        while word_at(at) != _END:
            here = batch_at(known, at, end)
            more = survey_rows(known, at, here, names, streams.found, total + rows) if here > 0 else -1
            if more < 0:
                break
            rows += here
            odd += more
            for buffer in range(known[BUFFER_COUNT]):
                stored += as_int(word_at(at + known[BUFFERS] + 16 * buffer + 8))
            at += known[HEAD_SIZE] + as_int(word_at(at + known[BODY_SIZE]))
        claimed = stored + known[PREFIX_SIZE] + rows * known[ROW_BYTES]
        if at + 8 == end and word_at(at) == _END and 0 < rows <= MAX_ROWS and claimed <= MAX_UNPACKED:
            streams.layout[k] = number
            streams.rows[k] = rows
            streams.odd[k] = odd
            streams.first[k] = total
            total += rows


@compiled
def fill_streams(
    data: Bytes,
    starts: Int64s,
    records: Int64s,
    table: Int64s,
    keys: UInt64s,
    streams: Streams,
    firsts: Int64s,
    out: Columns,
) -> None:
    """Write the rows of the records that were surveyed and have a layout, each from its row in `firsts` on.

    `start` and `end` are where a row's event id lies. What is written of an odd row means nothing.
    """
    base: int = data.ctypes.data
    key: int = keys.ctypes.data
    none = np.uint64(0)
    for k in range(records.shape[0]):
        if streams.layout[k] < 0:
            continue
        known = table[streams.layout[k]]
        taken = streams.first[k]
        head = base + starts[records[k]] + known[PREFIX_SIZE]
        row, last = firsts[k], firsts[k] + streams.rows[k]
        while row < last:
            orgs = buffer_at(known, head, known[BUFFER + ORG])
            projects = buffer_at(known, head, known[BUFFER + PROJECT])
            amounts = buffer_at(known, head, known[BUFFER + QUANTITY])
            instants = buffer_at(known, head, known[BUFFER + TIMESTAMP])
            ids = buffer_at(known, head, known[BUFFER + EVENT_ID])
            text = buffer_at(known, head, known[BUFFER + EVENT_ID] + 1)
            for i in range(as_int(word_at(head + known[ROWS]))):
                start, end = texts_at(known[KIND + EVENT_ID] & 15, ids, i)
                category = streams.found[taken]
                taken += 1
                org = number_at(orgs, known[KIND + ORG], i)
                project = number_at(projects, known[KIND + PROJECT], i)
                amount = number_at(amounts, known[KIND + QUANTITY], i)
                instant = as_int(word_at(instants + 8 * i)) * known[TIMES]
                if known[OVER] != 1:
                    instant //= known[OVER]
                out.record[row] = records[k]
                out.position[row] = row - firsts[k]
                out.verdict[row] = ACCEPTED
                out.org[row] = org
                out.project[row] = project
                out.category[row] = category
                out.quantity[row] = amount
                out.timestamp[row] = instant
                if category != ODD:
                    out.id_high[row], out.id_low[row] = hash_id(key, org, text + start, text + end)
                    out.payload[row] = hash_payload(key, category, project, amount, instant, none, none)
                out.dimensions[row] = 0
                out.subreason[row] = 0
                out.start[row] = text + start - base
                out.end[row] = text + end - base
                row += 1
            head += known[HEAD_SIZE] + as_int(word_at(head + known[BODY_SIZE]))
