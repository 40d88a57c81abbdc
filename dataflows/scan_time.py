"""RFC 3339 instants, read by compiled functions in exact integer arithmetic. Places and NO are those of scan_json."""

from typing import Final

import numpy as np

from dataflows.scan_json import DOT, MINUS, NINE, NO, PLUS, QUOTE, ZERO
from dataflows.scan_words import ZEROS, as_int, byte_at, first_hit, inlined, not_digits, number_of, word_at, word_of
from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

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
    length = 31 - (month in (4, 6, 9, 11))
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
def read_offset(at: int) -> tuple[int, int]:
    """Return (the place after, the seconds of) a zone's "hh:mm", or (NO, 0)."""
    digits = (word_at(at) & np.uint64(0xFFFFFFFFFF)) ^ _ZONE
    wrong = (digits + np.uint64(0x76767F7676)) | digits
    hours, minutes = two_digits(digits, 0), two_digits(digits, 3)
    if wrong & np.uint64(0x8080808080) != np.uint64(0) or hours > 23 or minutes > 59:
        return NO, 0
    return at + 5, 3600 * hours + 60 * minutes


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
    elif sign in (PLUS, MINUS):
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
