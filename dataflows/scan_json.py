"""JSON, one value at a time, as compiled functions: skip what is not asked for, read integers and instants.

Each function takes the place at which a value starts and returns the place behind it, or NO: "not sure that this is what it
should be". NO is never an answer about the data; the record then goes to the contract, which judges. So everything that
is passed over here is checked in full: grammar, UTF-8, escapes, nesting.

`end` is the record's end. Places only rise, so that a caller may check once, at the end, that it was not passed;
loops check it themselves, so that broken records do not make their scan run through those behind them.
"""

from typing import Final

import numpy as np

from dataflows.compiled import compiled
from dataflows.scan_words import (
    ZEROS,
    Bytes,
    as_int,
    byte_at,
    first_hit,
    not_digits,
    inlined,
    not_plain,
    number_of,
    word_at,
    word_of,
)
from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

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

DEEPEST: Final = 60
"""Deeper nesting is left to the contract, whose own bound is higher."""

LONGEST_NUMBER: Final = 200
"""What a longer number is, is for the contract to say."""

TRUE: Final = word_of(b"true")
FALSE: Final = word_of(b"fals")
NULL: Final = word_of(b"null")
FOUR_BYTES: Final = word_of(b"\xff" * 4)


@inlined
def skip_space(at: int) -> int:
    """Return the place of the first byte that is no white space."""
    while True:
        byte = byte_at(at)
        if byte > 0x20 or not (byte == 0x20 or byte == 0x0A or byte == 0x0D or byte == 0x09):
            return at
        at += 1


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
        known = (
            byte == QUOTE
            or byte == BACKSLASH
            or byte == 0x2F
            or byte == 0x62
            or byte == 0x66
            or byte == 0x6E
            or byte == 0x72
            or byte == 0x74
        )
        return at + 2 if known else NO
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
    if word == TRUE or word == NULL:
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
        opened = byte == OPEN_OBJECT or byte == OPEN_ARRAY
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


# A timestamp's first 19 bytes, "YYYY-MM-DDTHH:MM:SS", as three words: taken away by exclusive or, they leave digits'
# values and zeros, and adding the second word of a pair sets the highest bit of every byte that is left too large.
_DATE: Final = word_of(b"0000-00-")
_DATE_LIMITS: Final = word_of(b"\x76\x76\x76\x76\x7f\x76\x76\x7f")
_TIME: Final = word_of(b"00T00:00")
_TIME_LIMITS: Final = word_of(b"\x76\x76\x7f\x76\x76\x7f\x76\x76")
_SECOND: Final = word_of(b":00")
_SECOND_LIMITS: Final = word_of(b"\x7f\x76\x76")
_ZONE: Final = word_of(b"00:00")
_HIGHS: Final = word_of(b"\x80" * 8)
_THREE_BYTES: Final = word_of(b"\xff" * 3)


@inlined
def two_digits(word: np.uint64, byte: int) -> int:
    """Return the value of two digits from that byte of a word of digits' values."""
    pair = as_int(word >> np.uint64(8 * byte) & np.uint64(0xFFFF))
    return 10 * (pair & 0xFF) + (pair >> 8)


@inlined
def days_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar; NO where the month has no such day."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month < 1 or month > 12 or day < 1:
        return NO
    length = 31 - (month == 4 or month == 6 or month == 9 or month == 11)
    if month == 2:
        length = 29 if leap else 28
    if day > length:
        return NO
    # The year is counted from March, so that the leap day is its last.
    if month <= 2:
        year -= 1
        month += 12
    since_march = (153 * (month - 3) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + since_march - 719_468


@inlined
def read_fraction(at: int) -> tuple[int, int]:
    """Return (the place after, the microseconds of) 1 to 9 digits of a fraction of a second, or (NO, 0)."""
    digits = word_at(at) ^ ZEROS
    count = first_hit(not_digits(digits))
    if count == 0:
        return NO, 0
    value = number_of(digits, count)
    if count == 3:
        return at + 3, 1000 * value
    at += count
    while count < 6:
        value *= 10
        count += 1
    if count > 6:
        value //= 10 if count == 7 else 100
    if count == 8 and ZERO <= byte_at(at) <= NINE:
        at += 1
    return at, value


@inlined
def read_instant(at: int) -> tuple[int, int]:
    """Return (the place after its closing quote, microseconds UTC) of an RFC 3339 text from `at` on, or (NO, 0).

    Years 2000 to 2099 only. Reads at most 48 bytes.
    """
    date = word_at(at) ^ _DATE
    time = word_at(at + 8) ^ _TIME
    second = (word_at(at + 16) & _THREE_BYTES) ^ _SECOND
    wrong = (date + _DATE_LIMITS) | date | (time + _TIME_LIMITS) | time | (second + _SECOND_LIMITS) | second
    if wrong & _HIGHS != np.uint64(0):
        return NO, 0
    year = 100 * two_digits(date, 0) + two_digits(date, 2)
    days = days_of(year, two_digits(date, 5), two_digits(time, 0))
    hours, minutes, seconds = two_digits(time, 3), two_digits(time, 6), two_digits(second, 1)
    if days == NO or hours > 23 or minutes > 59 or seconds > 59:
        return NO, 0
    at += 19
    micros = 0
    if byte_at(at) == DOT:
        at, micros = read_fraction(at + 1)
        if at == NO:
            return NO, 0
    offset = 0
    sign = byte_at(at)
    if sign == 0x5A:
        at += 1
    elif sign == PLUS or sign == MINUS:
        at, offset = read_offset(at + 1)
        if at == NO:
            return NO, 0
        if sign == MINUS:
            offset = -offset
    else:
        return NO, 0
    instant = ((days * 86_400 + hours * 3600 + minutes * 60 + seconds) - offset) * 1_000_000 + micros
    if byte_at(at) != QUOTE or instant < MIN_TIMESTAMP or instant >= END_OF_TIME:
        return NO, 0
    return at + 1, instant


@inlined
def read_offset(at: int) -> tuple[int, int]:
    """Return (the place after, the seconds of) a zone's "hh:mm", or (NO, 0)."""
    digits = (word_at(at) & np.uint64(0xFFFFFFFFFF)) ^ _ZONE
    wrong = (digits + np.uint64(0x76767F7676)) | digits
    hours, minutes = two_digits(digits, 0), two_digits(digits, 3)
    if wrong & np.uint64(0x8080808080) != np.uint64(0) or hours > 23 or minutes > 59:
        return NO, 0
    return at + 5, 3600 * hours + 60 * minutes
