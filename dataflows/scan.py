"""The compiled scan of a batch: records' bytes in, columns of events out.

It takes the common, well-formed shapes (an object, an array of objects, a line an object) and says of every other
record that it did not; those are judged by the contract (schemas.formats), one by one. A record is taken whole or not
at all, and only where the contract would give the same fields.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataflows.compiled import compiled
from dataflows.hashing import hash_id, hash_payload
from dataflows.scan_events import scan_outcome, scan_tally
from dataflows.scan_groups import write_dimensions
from dataflows.scan_json import CLOSE_ARRAY, COMMA, NEWLINE, NO, OPEN_ARRAY, OPEN_OBJECT, is_space, skip_space
from dataflows.scan_names import find_text
from dataflows.scan_words import HIGHS, ONES, Bytes, byte_at, inlined, text_word, word_at, word_of
from schemas.log import Int32s, Int64s, UInt64s
from schemas.verdicts import ACCEPTED, NOT_BILLABLE

NOT_TAKEN: Final = 255
"""The verdict of the one row that stands for a record that the scan did not take."""

_FEEDS: Final = word_of(b"\n" * 8)
_RETURNS: Final = word_of(b"\r" * 8)

LAST_OUTCOME: Final = 6
"""The last outcome that the scan knows by number; the contract names the others."""

SMALLEST_EVENT: Final = 40
"""No event that the scan takes has fewer bytes: an object with a timestamp and one more field."""


class Columns(NamedTuple):
    """The columns of schemas.log.EventBatch, with room to spare, and where each event's bytes are in the data.

    `position` is what is called `index` there, which here is a tuple's method.
    """

    record: Int32s
    position: Int32s
    verdict: NDArray[np.uint8]
    org: Int64s
    project: Int64s
    category: Int32s
    quantity: Int64s
    timestamp: Int64s
    id_high: UInt64s
    id_low: UInt64s
    payload: UInt64s
    dimensions: Int32s
    subreason: Int32s
    start: Int64s
    end: Int64s


def new_columns(rows: int) -> Columns:
    """Return columns of that many rows, not filled."""
    dtypes = (
        np.int32,
        np.int32,
        np.uint8,
        np.int64,
        np.int64,
        np.int32,
        np.int64,
        np.int64,
        np.uint64,
        np.uint64,
        np.uint64,
        np.int32,
        np.int32,
        np.int64,
        np.int64,
    )
    return Columns._make(np.empty(rows, dtype) for dtype in dtypes)


@inlined
def line_ends(word: np.uint64) -> np.uint64:
    """Return 0 where no byte of a word is a line feed or a carriage return."""
    feed, carriage = word ^ _FEEDS, word ^ _RETURNS
    return (((feed - ONES) & ~feed) | ((carriage - ONES) & ~carriage)) & HIGHS


@compiled
def has_newline(start: int, end: int) -> bool:
    """Say whether there is a line's end between two places (a carriage return counts: what it does is left open)."""
    at = start
    while end - at >= 8:
        if line_ends(word_at(at)) != np.uint64(0):
            return True
        at += 8
    return bool(line_ends(text_word(at, end)) != np.uint64(0))


@compiled
def ends_line(start: int, end: int) -> bool:
    """Say whether the white space start to end ends a line."""
    at = start
    while at < end and byte_at(at) != NEWLINE:
        at += 1
    return at < end


@compiled
def scan_records(
    data: Bytes,
    starts: Int64s,
    ends: Int64s,
    first_record: int,
    last_record: int,
    shift: int,
    native: bool,
    groups: int,
    values: int,
    value_hashes: UInt64s,
    keys: UInt64s,
    names: int,
    plain: int,
    ids: int,
    out: Columns,
    kept_at: Int64s,
    row: int,
) -> int:
    """Scan records [first_record, last_record) into the rows from `row` on; return the row after the last.

    Record r is data[starts[r] - shift:ends[r] - shift], and SLACK bytes of `data` follow every record. `out` has room
    for a row a record and one for every SMALLEST_EVENT bytes. A record that is not taken leaves one NOT_TAKEN row.

    `names` is the table of the categories' names, `ids` the list of their numbers (scan_outcome). `groups` is the
    address of a Groups, 0 where nothing is grouped; `values` and `value_hashes` are the table and the hashes of the
    values that were met.

    A name found at `plain` or a later row is that of a category which keeps attributes, `plain` rows before. Of the
    k-th such event `subreason` is -k and `kept_at[k]` the place of its attributes in the data, -1 without any;
    `kept_at[0]` counts them.
    """
    base: int = data.ctypes.data - shift
    key: int = keys.ctypes.data
    none = np.uint64(0)
    for record in range(first_record, last_record):
        first_row = row
        end = base + ends[record]
        at = base + starts[record]
        while at < end and is_space(byte_at(at)):  # not past a blank record: many may follow
            at += 1
        in_array = byte_at(at) == OPEN_ARRAY
        if in_array:
            at = skip_space(at + 1)
        taken = False
        while at < end and byte_at(at) == OPEN_OBJECT:
            start = at
            if native:
                at, org, project, category, quantity, instant, id_start, id_end, attributes = scan_tally(
                    at + 1, end, names
                )
                if at == NO or at > end:
                    break
                grouped = 0
                if attributes and groups:
                    text, text_end = write_dimensions(attributes, end, groups)
                    if text_end > text:
                        grouped = find_text(values, text, text_end) + 1
                        if grouped == 0:
                            break
                    elif text == NO:
                        break
                out.verdict[row] = ACCEPTED
                out.subreason[row] = 0
                if category >= plain:
                    category -= plain
                    kept_at[0] += 1
                    kept_at[kept_at[0]] = attributes - base if attributes else -1
                    out.subreason[row] = -kept_at[0]
                out.id_high[row], out.id_low[row] = hash_id(key, org, id_start, id_end)
            else:
                at, org, project, category, quantity, instant, outcome = scan_outcome(at + 1, end, ids)
                if at == NO or at > end or outcome > LAST_OUTCOME:
                    break
                out.verdict[row] = NOT_BILLABLE if outcome else ACCEPTED
                out.subreason[row] = outcome
                grouped = 0
                out.id_high[row] = none
                out.id_low[row] = none
            out.record[row] = record
            out.position[row] = row - first_row
            out.org[row] = org
            out.project[row] = project
            out.category[row] = category
            out.quantity[row] = quantity
            out.timestamp[row] = instant
            out.payload[row] = hash_payload(
                key,
                category,
                project,
                quantity,
                instant,
                value_hashes[2 * grouped],
                value_hashes[2 * grouped + 1],
            )
            out.dimensions[row] = grouped
            out.start[row] = start - base
            out.end[row] = at - base
            row += 1
            event_end = at
            at = skip_space(at)
            if in_array:
                byte = byte_at(at)
                if byte == COMMA:
                    at = skip_space(at + 1)
                    continue
                taken = byte == CLOSE_ARRAY and at < end and skip_space(at + 1) >= end
                break
            if at >= end:
                taken = row - first_row == 1 or not has_newline(start, event_end)
                if row - first_row == 1:
                    out.start[row - 1] = starts[record]
                    out.end[row - 1] = ends[record]
                break
            if has_newline(start, event_end) or not ends_line(event_end, at):
                break
        if not taken:
            row = first_row
            out.record[row] = record
            out.position[row] = 0
            out.verdict[row] = NOT_TAKEN
            row += 1
    return row


@compiled
def spread(columns: Columns, counts: Int64s, wider: Columns) -> None:
    """Copy rows into wider columns. A row that stands for counts[row] events gets a row each, not taken as yet."""
    to = 0
    for row in range(counts.shape[0]):
        if columns.verdict[row] != NOT_TAKEN:
            wider.record[to] = columns.record[row]
            wider.position[to] = columns.position[row]
            wider.verdict[to] = columns.verdict[row]
            wider.org[to] = columns.org[row]
            wider.project[to] = columns.project[row]
            wider.category[to] = columns.category[row]
            wider.quantity[to] = columns.quantity[row]
            wider.timestamp[to] = columns.timestamp[row]
            wider.id_high[to] = columns.id_high[row]
            wider.id_low[to] = columns.id_low[row]
            wider.payload[to] = columns.payload[row]
            wider.dimensions[to] = columns.dimensions[row]
            wider.subreason[to] = columns.subreason[row]
            wider.start[to] = columns.start[row]
            wider.end[to] = columns.end[row]
            to += 1
            continue
        for index in range(counts[row]):
            wider.record[to] = columns.record[row]
            wider.position[to] = index
            wider.verdict[to] = NOT_TAKEN
            to += 1
