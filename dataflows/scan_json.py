"""JSON, one value at a time, as compiled functions: skip what is not asked for, read integers.

Each function takes the place at which a value starts and returns the place behind it, or NO: "not sure that this is
what it should be". NO is never an answer about the data; the record then goes to the contract, which judges. So
everything that is passed over here is checked in full: grammar, UTF-8, escapes, nesting.

`end` is the record's end. Places only rise, so that a caller may check once, at the end, that it was not passed;
loops check it themselves, so that broken records do not make their scan run through those behind them.
"""

from typing import Final

import numpy as np

from dataflows.compiled import compiled
from dataflows.scan_words import (
    ZEROS,
    byte_at,
    first_hit,
    inlined,
    not_digits,
    not_plain,
    number_of,
    word_at,
    word_of,
)

NO: Final = -1

QUOTE: Final = 0x22
BACKSLASH: Final = 0x5C
COMMA: Final = 0x2C
COLON: Final = 0x3A
DOT: Final = 0x2E
PLUS: Final = 0x2B
MINUS: Final = 0x2D
ZERO: Final = 0x30
NINE: Final = 0x39
NEWLINE: Final = 0x0A
OPEN_OBJECT: Final = 0x7B
CLOSE_OBJECT: Final = 0x7D
OPEN_ARRAY: Final = 0x5B
CLOSE_ARRAY: Final = 0x5D

_SPACES: Final = 1 << 0x20 | 1 << 0x0A | 1 << 0x0D | 1 << 0x09

DEEPEST: Final = 60
"""Deeper nesting is left to the contract, whose own bound is higher."""

LONGEST_NUMBER: Final = 200
"""What a longer number is, is for the contract to say."""

TRUE: Final = word_of(b"true")
FALSE: Final = word_of(b"fals")
NULL: Final = word_of(b"null")
FOUR_BYTES: Final = word_of(b"\xff" * 4)


@inlined
def is_space(byte: int) -> bool:
    """Say whether a byte is white space."""
    return byte <= 0x20 and bool(_SPACES >> byte & 1)


@inlined
def skip_space(at: int) -> int:
    """Return the place of the first byte that is no white space."""
    while is_space(byte_at(at)):
        at += 1
    return at


@inlined
def end_of_plain(at: int, end: int) -> int:
    """Return the first place from `at` on that is a quote, a backslash, a control character or not ASCII.

    It may also return any place past `end`.
    """
    while at < end:
        hits = not_plain(word_at(at))
        if hits != np.uint64(0):
            return at + first_hit(hits)
        at += 8
    return at


@inlined
def is_continuation(byte: int) -> bool:
    """Say whether a byte is the second or a later one of a UTF-8 sequence."""
    return byte & 0xC0 == 0x80


@compiled
def after_character(at: int) -> int:
    """Return the place after one well-formed UTF-8 sequence of two to four bytes, or NO."""
    lead, second = byte_at(at), byte_at(at + 1)
    if not is_continuation(second):
        return NO
    if 0xC2 <= lead <= 0xDF:
        return at + 2
    if not is_continuation(byte_at(at + 2)):
        return NO
    if 0xE0 <= lead <= 0xEF:
        if (lead == 0xE0 and second < 0xA0) or (lead == 0xED and second > 0x9F):
            return NO
        return at + 3
    if not is_continuation(byte_at(at + 3)):
        return NO
    if (lead == 0xF0 and second >= 0x90) or 0xF1 <= lead <= 0xF3 or (lead == 0xF4 and second < 0x90):
        return at + 4
    return NO


@compiled
def hex_value(at: int) -> int:
    """Return the value of four hexadecimal digits, or NO."""
    value = 0
    for place in range(at, at + 4):
        byte = byte_at(place)
        if ZERO <= byte <= NINE:
            digit = byte - ZERO
        elif 0x61 <= byte | 0x20 <= 0x66:
            digit = (byte | 0x20) - 0x57
        else:
            return NO
        value = 16 * value + digit
    return value


@compiled
def after_escape(at: int) -> int:
    """Return the place after the escape whose backslash is at `at`; NO for a bad one or half a surrogate pair."""
    byte = byte_at(at + 1)
    if byte != 0x75:
        return at + 2 if byte in (QUOTE, BACKSLASH, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74) else NO
    unit = hex_value(at + 2)
    if unit == NO or 0xDC00 <= unit <= 0xDFFF:
        return NO
    if unit < 0xD800 or unit > 0xDFFF:
        return at + 6
    if byte_at(at + 6) != BACKSLASH or byte_at(at + 7) != 0x75:
        return NO
    return at + 12 if 0xDC00 <= hex_value(at + 8) <= 0xDFFF else NO


@compiled
def skip_string(at: int, end: int, escapes: bool) -> int:
    """Return the place after the string whose text starts at `at`; NO for one with escapes unless they are allowed."""
    while True:
        at = end_of_plain(at, end)
        if at >= end:
            return NO
        byte = byte_at(at)
        if byte == QUOTE:
            return at + 1
        if byte >= 0x80:
            at = after_character(at)
        elif byte == BACKSLASH and escapes:
            at = after_escape(at)
        else:
            return NO
        if at == NO:
            return NO


@compiled
def skip_digits(at: int) -> int:
    """Return the place after a run of digits."""
    while ZERO <= byte_at(at) <= NINE:
        at += 1
    return at


@compiled
def skip_number(at: int) -> int:
    """Return the place after a number of at most LONGEST_NUMBER characters, or NO."""
    start = at
    if byte_at(at) == MINUS:
        at += 1
    whole = at
    at = skip_digits(whole)
    if at == whole or (byte_at(whole) == ZERO and at > whole + 1):
        return NO
    if byte_at(at) == DOT:
        fraction = at + 1
        at = skip_digits(fraction)
        if at == fraction:
            return NO
    if byte_at(at) | 0x20 == 0x65:
        exponent = at + 1
        if byte_at(exponent) == PLUS or byte_at(exponent) == MINUS:
            exponent += 1
        at = skip_digits(exponent)
        if at == exponent:
            return NO
    return at if at - start <= LONGEST_NUMBER else NO


@compiled
def skip_scalar(at: int, end: int) -> int:
    """Return the place after a string, a number, true, false or null; NO for anything else."""
    byte = byte_at(at)
    if byte == QUOTE:
        return skip_string(at + 1, end, True)
    if byte == MINUS or ZERO <= byte <= NINE:
        return skip_number(at)
    if at >= end:
        return NO
    word = word_at(at) & FOUR_BYTES
    if word in (TRUE, NULL):
        return at + 4
    if word == FALSE and byte_at(at + 4) == 0x65:
        return at + 5
    return NO


@compiled
def skip_value(at: int, end: int) -> int:
    """Return the place after any JSON value, or NO."""
    depth = 0
    objects = 0  # bit d says whether the container at depth d is an object
    while True:
        if at >= end:
            return NO
        byte = byte_at(at)
        opened = byte in (OPEN_OBJECT, OPEN_ARRAY)
        if opened:
            if depth == DEEPEST:
                return NO
            objects = objects << 1 | (1 if byte == OPEN_OBJECT else 0)
            depth += 1
            at = skip_space(at + 1)
        else:
            at = skip_scalar(at, end)
            if at == NO or depth == 0:
                return at
            at = skip_space(at)
        # Behind a value, or behind an opening bracket: close what ends here, then go to the next value.
        while True:
            byte = byte_at(at)
            if byte == (CLOSE_OBJECT if objects & 1 else CLOSE_ARRAY):
                objects >>= 1
                depth -= 1
                at += 1
                if depth == 0:
                    return at
                opened = False
                at = skip_space(at)
                continue
            if not opened:
                if byte != COMMA:
                    return NO
                at = skip_space(at + 1)
            break
        if objects & 1:
            if byte_at(at) != QUOTE:
                return NO
            at = skip_string(at + 1, end, True)
            if at == NO:
                return NO
            at = skip_space(at)
            if byte_at(at) != COLON:
                return NO
            at = skip_space(at + 1)


@inlined
def read_integer(at: int) -> tuple[int, int]:
    """Return (the place after, the value of) a whole number of 1 to 18 digits, or (NO, 0).

    What follows it (a fraction, an exponent, a nineteenth digit) is for the caller to refuse.
    """
    digits = word_at(at) ^ ZEROS
    count = first_hit(not_digits(digits))
    if count == 0:
        return NO, 0
    if count > 1 and byte_at(at) == ZERO:
        return NO, 0
    value = number_of(digits, count)
    at += count
    if count == 8:
        while count < 18:
            byte = byte_at(at)
            if byte < ZERO or byte > NINE:
                break
            value = 10 * value + (byte - ZERO)
            at += 1
            count += 1
    return at, value
