"""Events to bytes, compiled: a format's pieces as arrays, walked once an event."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataflows.compiled import compiled
from schemas.log import Int64s
from schemas.verdicts import code_of
from tally.generate import plan as p
from tally.generate.layout import VALUES, Layout
from tally.generate.spec import Packing

Bytes = NDArray[np.uint8]

OPEN, CLOSE = 7, 8
NUMBER, WORD, HEX, MILLISECONDS, MICROSECONDS, NUMERAL = (
    VALUES["number"],
    VALUES["word"],
    VALUES["hex"],
    VALUES["milliseconds"],
    VALUES["microseconds"],
    VALUES["numeral"],
)

# Columns of the pieces and of the variants.
TEXT_START, NAME_END, TEXT_END, VALUE, COLUMN, FIRST_WORD, DEFAULT = range(7)
WHOLE, CUT, ALONE, EDITED, EDIT, EDITED_TOO, EDIT_TOO = range(7)

LEFT_OUT: Final = -1
"""In place of an edit's word: the field is not written."""

NUMBER_BYTES: Final = 20
DAYS_TO_0000_03_01: Final = 719_468


@dataclass(frozen=True, slots=True)
class Program:
    """A layout as arrays. `codes`: the verdict on each variant. `longest`: no event is longer, in bytes."""

    pieces: Int64s
    variants: Int64s
    codes: Int64s
    blob: Bytes
    words: Int64s
    longest: int


def program_of(layout: Layout) -> Program:
    """Compile a layout into arrays."""
    blob, words = bytearray(), list[tuple[int, int]]()

    def put(text: str) -> tuple[int, int]:
        start = len(blob)
        blob.extend(text.encode())
        return start, len(blob)

    def word(text: str) -> int:
        words.append(put(text))
        return len(words) - 1

    pieces, longest, place = list[tuple[int, ...]](), 0, dict[str, int]()
    for number, piece in enumerate(layout.pieces):
        first_word = [word(text) for text in piece.words][:1] or [0]
        value = {"open": OPEN, "close": CLOSE}.get(piece.value) or VALUES[piece.value]  # type: ignore[index]
        start, end = put(piece.text)
        name_end = start + piece.text.find(":") + 1
        pieces.append((start, name_end, end, value, piece.column, first_word[0], piece.default))
        longest += len(piece.text) + 1 + max([len(text) for text in piece.words] + [34, NUMBER_BYTES])
        place[piece.text.partition(":")[0].strip('"')] = number
    variants = []
    for variant in layout.variants:
        whole = word(variant.whole) if variant.whole else -1
        edits = [(place[name], LEFT_OUT if text is None else word(text)) for name, text in variant.edits]
        assert len(edits) <= 2
        edits += [(-1, LEFT_OUT)] * (2 - len(edits))
        variants.append((whole, variant.cut, variant.alone, *edits[0], *edits[1]))
    most = max(end - start for start, end in words) if words else 0
    return Program(
        pieces=np.array(pieces, dtype=np.int64).reshape(len(pieces), 7),
        variants=np.array(variants, dtype=np.int64),
        codes=np.array([code_of(variant.reason) for variant in layout.variants], dtype=np.int64),
        blob=np.frombuffer(bytes(blob), dtype=np.uint8).copy(),
        words=np.array(words, dtype=np.int64).reshape(-1, 2),
        longest=longest + 2 * most + 4,
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around and between the events of a record of several, and what ends every record."""

    before: Bytes
    between: Bytes
    after: Bytes
    end: Bytes


def envelope_of(packing: Packing, end: bytes) -> Envelope:
    """Return the envelope of records of several events. `end` follows every record: a newline in a file."""
    before, between, after = (b"[", b",", b"]") if packing == "array" else (b"", b"\n", b"")
    return Envelope(_bytes(before), _bytes(between), _bytes(after), _bytes(end))


def _bytes(text: bytes) -> Bytes:
    return np.frombuffer(text, dtype=np.uint8).copy()


@compiled
def put_blob(out: Bytes, at: int, blob: Bytes, start: int, end: int) -> int:
    """Copy blob[start:end] to out[at:]; return the place after it."""
    for place in range(start, end):
        out[at] = blob[place]
        at += 1
    return at


@compiled
def put_number(out: Bytes, at: int, number: int) -> int:
    """Write a number of 0 or more in decimal."""
    digits, rest = 1, number // 10
    while rest > 0:
        digits += 1
        rest //= 10
    end = at + digits
    place = end
    while place > at:
        place -= 1
        out[place] = 48 + number % 10
        number //= 10
    return end


@compiled
def put_padded(out: Bytes, at: int, number: int, digits: int) -> int:
    """Write a number with leading zeros."""
    for place in range(at + digits - 1, at - 1, -1):
        out[place] = 48 + number % 10
        number //= 10
    return at + digits


@compiled
def put_hex(out: Bytes, at: int, number: int) -> int:
    """Write 64 bits as 16 lower-case hex digits."""
    for shift in range(60, -4, -4):
        digit = (number >> shift) & 15
        out[at] = 48 + digit if digit < 10 else 87 + digit
        at += 1
    return at


@compiled
def put_timestamp(out: Bytes, at: int, instant: int, fraction_digits: int) -> int:
    """Write microseconds since 1970 as a quoted RFC 3339 instant in UTC with 3 or 6 digits of fraction."""
    day = instant // 86_400_000_000
    within = instant - day * 86_400_000_000
    # Years begin in March here, so that the leap day is the last one.
    shifted = day + DAYS_TO_0000_03_01
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    seconds = within // 1_000_000
    out[at] = 34
    at = put_padded(out, at + 1, year, 4)
    out[at] = 45
    at = put_padded(out, at + 1, month, 2)
    out[at] = 45
    at = put_padded(out, at + 1, of_year - (153 * shifted_month + 2) // 5 + 1, 2)
    out[at] = 84
    at = put_padded(out, at + 1, seconds // 3600, 2)
    out[at] = 58
    at = put_padded(out, at + 1, seconds // 60 % 60, 2)
    out[at] = 58
    at = put_padded(out, at + 1, seconds % 60, 2)
    out[at] = 46
    fraction = within % 1_000_000
    at = put_padded(out, at + 1, fraction // 1000 if fraction_digits == 3 else fraction, fraction_digits)
    out[at] = 90
    out[at + 1] = 34
    return at + 2


@compiled
def put_event(out: Bytes, at: int, event: Int64s, pieces: Int64s, variants: Int64s, blob: Bytes, words: Int64s) -> int:
    """Write one event (a row of the plan) at out[at:]; return the place after it."""
    variant = event[p.VARIANT]
    edited = edited_too = -1
    if variant >= 0:
        whole = variants[variant, WHOLE]
        if whole >= 0:
            return put_blob(out, at, blob, words[whole, 0], words[whole, 1])
        edited, edited_too = variants[variant, EDITED], variants[variant, EDITED_TOO]
    begin = at
    comma = False
    for number in range(pieces.shape[0]):
        value = pieces[number, VALUE]
        if value >= OPEN:
            if value == OPEN and comma:
                out[at] = 44
                at += 1
            at = put_blob(out, at, blob, pieces[number, TEXT_START], pieces[number, TEXT_END])
            comma = value == CLOSE
            continue
        edit = LEFT_OUT
        touched = number == edited or number == edited_too  # noqa: PLR1714
        if touched:
            edit = variants[variant, EDIT] if number == edited else variants[variant, EDIT_TOO]
            if edit == LEFT_OUT:
                continue
        found = event[pieces[number, COLUMN]]
        if not touched and variant < 0 and event[p.TERSE] != 0 and found == pieces[number, DEFAULT]:
            continue
        if comma:
            out[at] = 44
            at += 1
        comma = True
        if touched:
            at = put_blob(out, at, blob, pieces[number, TEXT_START], pieces[number, NAME_END])
            at = put_blob(out, at, blob, words[edit, 0], words[edit, 1])
            continue
        at = put_blob(out, at, blob, pieces[number, TEXT_START], pieces[number, TEXT_END])
        if value == NUMBER:
            at = put_number(out, at, found)
        elif value == NUMERAL:
            out[at] = 34
            at = put_number(out, at + 1, found)
            out[at] = 34
            at += 1
        elif value == WORD:
            word = pieces[number, FIRST_WORD] + found
            at = put_blob(out, at, blob, words[word, 0], words[word, 1])
        elif value == HEX:
            out[at] = 34
            at = put_hex(out, at + 1, event[p.ID_HIGH])
            at = put_hex(out, at, event[p.ID_LOW])
            out[at] = 34
            at += 1
        elif value == MILLISECONDS:
            at = put_timestamp(out, at, found, 3)
        elif value == MICROSECONDS:
            at = put_timestamp(out, at, found, 6)
    if variant >= 0 and variants[variant, CUT] != 0:
        # An object without its end is never JSON, wherever it ends.
        at = begin + 1 + (event[p.ID_LOW] & 0xFFFF) % (at - begin - 1)
    return at


@compiled
def render(
    out: Bytes,
    plan: Int64s,
    order: Int64s,
    per_record: int,
    pieces: Int64s,
    variants: Int64s,
    blob: Bytes,
    words: Int64s,
    before: Bytes,
    between: Bytes,
    after: Bytes,
    end: Bytes,
    filled: Int64s,
    records: Int64s,
    ends: Int64s,
    event_of: Int64s,
    partition_ends: Int64s,
) -> int:
    """Write the events in `order` (sorted by partition), in records of `per_record`; return how many records ended.

    `filled`: by partition, how many events its unfinished record has; it goes on in the next chunk. `records`: by
    partition, how many records were begun. `ends[i]` is the place after the i-th record that ended here, `event_of[i]`
    the row of an event in its partition. `partition_ends`: by partition, the place after its bytes.
    """
    at = ended = 0
    current = 0
    for row in order:
        partition = plan[row, p.PARTITION]
        while current < partition:
            partition_ends[current] = at
            current += 1
        variant = plan[row, p.VARIANT]
        alone = per_record == 1 or (variant >= 0 and variants[variant, ALONE] != 0)
        if alone and filled[partition] > 0:
            at = put_blob(out, at, after, 0, after.shape[0])
            at = put_blob(out, at, end, 0, end.shape[0])
            ends[ended], event_of[ended] = at, row
            ended += 1
            filled[partition] = 0
        if filled[partition] == 0:
            records[partition] += 1
            if not alone:
                at = put_blob(out, at, before, 0, before.shape[0])
        else:
            at = put_blob(out, at, between, 0, between.shape[0])
        at = put_event(out, at, plan[row], pieces, variants, blob, words)
        filled[partition] += 1
        if alone or filled[partition] == per_record:
            if not alone:
                at = put_blob(out, at, after, 0, after.shape[0])
            at = put_blob(out, at, end, 0, end.shape[0])
            ends[ended], event_of[ended] = at, row
            ended += 1
            filled[partition] = 0
    while current < partition_ends.shape[0]:
        partition_ends[current] = at
        current += 1
    return ended
