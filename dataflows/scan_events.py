"""One event's object, of the native format or of Sentry's outcomes, as compiled functions.

Each takes the place behind the opening brace and returns the place behind the closing one with the fields, or NO in its
place where the contract has to judge: a key that is written with an escape, a missing or odd value, anything that is
not plainly what the format says. Of a key that stands twice the last one counts, as it comes last. The caller checks
that the place is within the record.
"""

from typing import Final

from dataflows.compiled import compiled
from dataflows.scan_json import (
    CLOSE_OBJECT,
    COLON,
    COMMA,
    FOUR_BYTES,
    NO,
    NULL,
    QUOTE,
    end_of_plain,
    read_integer,
    skip_scalar,
    skip_space,
    skip_string,
    skip_value,
)
from dataflows.scan_names import find_text
from dataflows.scan_time import read_instant
from dataflows.scan_words import as_int, byte_at, inlined, text_word, word_at, word_of
from schemas.verdicts import MAX_QUANTITY

MAX_ID_BYTES: Final = 256
"""A longer event id may still be one of 256 characters: the contract counts them."""

# Keys by their first 8 bytes; a longer key's other bytes are compared too.
_EVENT_ID: Final = word_of(b"event_id")
_ORG_ID: Final = word_of(b"org_id")
_PROJECT: Final = word_of(b"project_")
_CATEGORY: Final = word_of(b"category")
_QUANTITY: Final = word_of(b"quantity")
_TIMESTAM: Final = word_of(b"timestam")
_SOURCE: Final = word_of(b"source")
_ATTRIBUT: Final = word_of(b"attribut")
_OUTCOME: Final = word_of(b"outcome")
_KEY_ID: Final = word_of(b"key_id")
_REASON: Final = word_of(b"reason")

# What a key stands for; bits, so that a set of them says which were met.
OTHER: Final = 0
EVENT_ID: Final = 1
ORG: Final = 2
PROJECT: Final = 4
CATEGORY: Final = 8
QUANTITY: Final = 16
TIMESTAMP: Final = 32
SOURCE: Final = 64
ATTRIBUTES: Final = 128
OUTCOME: Final = 256
KEY: Final = 512
REASON: Final = 1024
TALLY_REQUIRED: Final = EVENT_ID | ORG | PROJECT | CATEGORY | QUANTITY | TIMESTAMP
OUTCOME_REQUIRED: Final = TIMESTAMP | OUTCOME


@inlined
def key_at(start: int, end: int) -> int:
    """Return what the key start to end stands for in either format; OTHER for an unknown one."""
    length = end - start
    word = text_word(start, end)
    if length == 8:
        if word == _EVENT_ID:
            return EVENT_ID
        if word == _CATEGORY:
            return CATEGORY
        if word == _QUANTITY:
            return QUANTITY
    elif length == 6:
        if word == _ORG_ID:
            return ORG
        if word == _SOURCE:
            return SOURCE
        if word == _KEY_ID:
            return KEY
        if word == _REASON:
            return REASON
    elif length == 9:
        if word == _TIMESTAM and byte_at(start + 8) == 0x70:
            return TIMESTAMP
    elif length == 10:
        if word == _PROJECT and byte_at(start + 8) == 0x69 and byte_at(start + 9) == 0x64:
            return PROJECT
        if word == _ATTRIBUT and byte_at(start + 8) == 0x65 and byte_at(start + 9) == 0x73:
            return ATTRIBUTES
    elif length == 7 and word == _OUTCOME:
        return OUTCOME
    return OTHER


@inlined
def value_after_key(at: int, end: int) -> int:
    """Return the place of the value behind a key's closing quote at `at`, or NO."""
    at += 1
    if byte_at(at) != COLON:
        at = skip_space(at)
        if byte_at(at) != COLON:
            return NO
    at = skip_space(at + 1)
    return at if at < end else NO


@inlined
def key_after_value(at: int) -> tuple[int, bool]:
    """Return (the place behind, whether another key follows) at what comes after a value, or (NO, False)."""
    at = skip_space(at)
    byte = byte_at(at)
    if byte == COMMA:
        return skip_space(at + 1), True
    return (at + 1, False) if byte == CLOSE_OBJECT else (NO, False)


@compiled
def skip_attributes(at: int, end: int) -> int:
    """Return the place after an object of strings, numbers and booleans, or NO."""
    if byte_at(at) != 0x7B:
        return NO
    at = skip_space(at + 1)
    if byte_at(at) == CLOSE_OBJECT:
        return at + 1
    more = True
    while more:
        if at >= end or byte_at(at) != QUOTE:
            return NO
        at = skip_string(at + 1, end, True)
        if at == NO:
            return NO
        at = value_after_key(at - 1, end)
        if at == NO or byte_at(at) == 0x6E:  # null
            return NO
        at = skip_scalar(at, end)
        if at == NO:
            return NO
        at, more = key_after_value(at)
    return at


@compiled
def scan_tally(at: int, end: int, names: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Scan a native event: (place, org, project, category row, quantity, instant, its id's start and end, attributes).

    `attributes` is their place, or 0 where the event has none.
    """
    no = (NO, 0, 0, 0, 0, 0, 0, 0, 0)
    org = project = category = quantity = instant = id_start = id_end = attributes = 0
    seen = 0
    at = skip_space(at)
    more = True
    while more:
        if byte_at(at) != QUOTE:
            return no
        start = at + 1
        at = end_of_plain(start, end)
        if byte_at(at) != QUOTE:
            return no
        key = key_at(start, at)
        seen |= key
        at = value_after_key(at, end)
        if at == NO:
            return no
        if key in (EVENT_ID, CATEGORY, SOURCE):
            if byte_at(at) != QUOTE:
                return no
            start = at + 1
            at = end_of_plain(start, end)
            if byte_at(at) != QUOTE:
                at = skip_string(at, end, key == SOURCE) - 1
                if at < 0:
                    return no
            if key == EVENT_ID:
                id_start, id_end = start, at
            elif key == CATEGORY:
                category = find_text(names, start, at)
                if category < 0:
                    return no
            at += 1
        elif key == TIMESTAMP:
            if byte_at(at) != QUOTE:
                return no
            at, instant = read_instant(at + 1)
            if at == NO:
                return no
        elif key in (ORG, PROJECT, QUANTITY):
            at, value = read_integer(at)
            if at == NO:
                return no
            if key == ORG:
                org = value
            elif key == PROJECT:
                project = value
            else:
                quantity = value
        elif key == ATTRIBUTES:
            attributes = at
            at = skip_attributes(at, end)
            if at == NO:
                return no
        else:
            at = skip_value(at, end)
            if at == NO:
                return no
        at, more = key_after_value(at)
        if at == NO:
            return no
    length = id_end - id_start
    if seen & TALLY_REQUIRED != TALLY_REQUIRED or quantity > MAX_QUANTITY or length < 1 or length > MAX_ID_BYTES:
        return no
    return at, org, project, category, quantity, instant, id_start, id_end, attributes


@inlined
def read_optional(at: int, absent: int) -> tuple[int, int]:
    """Return (the place after, the value of) an integer, or `absent` for null; (NO, 0) for anything else."""
    if word_is_null(at):
        return at + 4, absent
    return read_integer(at)


@inlined
def word_is_null(at: int) -> bool:
    """Say whether the value at `at` starts as null does."""
    return bool(word_at(at) & FOUR_BYTES == NULL)


@compiled
def scan_outcome(at: int, end: int, ids: int) -> tuple[int, int, int, int, int, int, int]:
    """Scan an outcome: (place, org, project, category row, quantity, instant, outcome).

    `ids` is a list of words: how many follow, then the row + 1 of each category number, 0 for none.
    """
    no = (NO, 0, 0, 0, 0, 0, 0)
    org = project = instant = outcome = 0
    category = quantity = 1
    seen = 0
    at = skip_space(at)
    more = True
    while more:
        if byte_at(at) != QUOTE:
            return no
        start = at + 1
        at = end_of_plain(start, end)
        if byte_at(at) != QUOTE:
            return no
        key = key_at(start, at)
        seen |= key
        at = value_after_key(at, end)
        if at == NO:
            return no
        if key == TIMESTAMP:
            if byte_at(at) != QUOTE:
                return no
            at, instant = read_instant(at + 1)
        elif key == OUTCOME:
            at, outcome = read_integer(at)
        elif key == ORG:
            at, org = read_optional(at, 0)
        elif key == PROJECT:
            at, project = read_optional(at, 0)
        elif key == CATEGORY:
            at, category = read_optional(at, 1)
        elif key == QUANTITY:
            at, quantity = read_optional(at, 1)
        elif key == KEY:
            at, _ = read_optional(at, 0)
        elif key in (EVENT_ID, REASON):
            if word_is_null(at):
                at += 4
            elif byte_at(at) == QUOTE:
                at = skip_string(at + 1, end, True)
            else:
                return no
        else:
            at = skip_value(at, end)
        if at == NO:
            return no
        at, more = key_after_value(at)
        if at == NO:
            return no
    if seen & OUTCOME_REQUIRED != OUTCOME_REQUIRED or quantity > MAX_QUANTITY or category >= as_int(word_at(ids)):
        return no
    row = as_int(word_at(ids + 8 + 8 * category)) - 1
    if row < 0:
        return no
    return at, org, project, row, quantity, instant, outcome
