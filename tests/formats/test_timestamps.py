"""Instants: a table of shapes, and equality with datetime's arithmetic."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats.timestamps import PATTERN, parse_timestamp
from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // MICROSECOND  # type: ignore[misc,arg-type]


GOOD = {
    "2026-11-22T10:00:00Z": micros(2026, 11, 22, 10),
    "2026-11-22t10:00:00z": micros(2026, 11, 22, 10),
    "2026-11-22T10:00:00+00:00": micros(2026, 11, 22, 10),
    "2026-11-22T10:00:00-00:00": micros(2026, 11, 22, 10),
    "2026-11-22T10:00:00.1Z": micros(2026, 11, 22, 10, 0, 0, 100_000),
    "2026-11-22T10:00:00.000001Z": micros(2026, 11, 22, 10, 0, 0, 1),
    "2026-11-22T10:00:00.999999999Z": micros(2026, 11, 22, 10, 0, 0, 999_999),
    "2026-11-22T00:30:00+05:45": micros(2026, 11, 21, 18, 45),
    "2026-12-31T23:00:00-02:30": micros(2027, 1, 1, 1, 30),
    "2024-02-29T00:00:00Z": micros(2024, 2, 29),
    "2000-01-01T00:00:00Z": MIN_TIMESTAMP,
    "2099-12-31T23:59:59.999999Z": END_OF_TIME - 1,
    "1999-12-31T23:00:00-01:00": MIN_TIMESTAMP,
    "2100-01-01T00:59:59+01:00": END_OF_TIME - 1_000_000,
    "2026-11-22T10:00:00+23:59": micros(2026, 11, 21, 10, 1),
}

BAD = [
    "2026-11-22",
    "2026-11-22T10:00:00",
    "2026-11-22T10:00Z",
    "2026-11-22T10:00:00,5Z",
    "2026-11-22T10:00:00.Z",
    "2026-11-22T10:00:00.1234567890Z",
    "2026-11-22 10:00:00Z",
    "2026-11-22T10:00:00 Z",
    " 2026-11-22T10:00:00Z",
    "2026-11-22T10:00:60Z",
    "2016-12-31T23:59:60Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T10:60:00Z",
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-11-22T10:00:00+0100",
    "2026-11-22T10:00:00+01",
    "2026-11-22T10:00:00+24:00",
    "2026-11-22T10:00:00+01:60",
    "2026-11-22T10:00:00−01:00",
    "2026-11-22T10:00:00UTC",
    "20261122T100000Z",
    "2026-W47-7T10:00:00Z",
    "+2026-11-22T10:00:00Z",
    "0000-01-01T00:00:00Z",
    "1999-12-31T23:59:59.999999999Z",
    "2100-01-01T00:00:00Z",
    "2000-01-01T00:00:00+00:01",
    "2099-12-31T23:59:59-00:01",
    "٢٠٢٦-11-22T10:00:00Z",
    "2026-11-22T1٠:00:00Z",
    "",
    "2026-11-22T10:00:00Z\n",
    "2026-11-22T10:00:00\x00Z",
    "T",
    "1795341600",
]


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    assert parse_timestamp(text) == GOOD[text]
    assert re.search(PATTERN, text)


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    assert parse_timestamp(text) is None


zones = st.one_of(
    st.just(UTC), st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
)


@given(
    st.datetimes(datetime(1999, 12, 30), datetime(2100, 1, 3), timezones=zones),  # noqa: DTZ001 - the zones are drawn
    st.integers(1, 9),
    st.integers(0, 999),
)
def test_equals_datetime_arithmetic(instant: datetime, digits: int, nanos: int) -> None:
    fraction = f"{instant.microsecond:06}{nanos:03}"[:digits]
    offset = instant.strftime("%z")
    text = f"{instant:%Y-%m-%dT%H:%M:%S}.{fraction}{offset[:3]}:{offset[3:5]}"
    cut = instant.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    expected = (cut - EPOCH) // MICROSECOND
    assert parse_timestamp(text) == (expected if MIN_TIMESTAMP <= expected < END_OF_TIME else None)


@given(st.from_regex(re.compile(PATTERN.replace("$", r"\Z"), re.ASCII)))
def test_what_the_pattern_takes_is_an_instant_or_no_day_of_those_years(text: str) -> None:
    try:
        there = datetime.fromisoformat(text.upper())
        expected: int | None = (there - EPOCH) // MICROSECOND
    except (ValueError, OverflowError):
        expected = None
    within = expected is not None and MIN_TIMESTAMP <= expected < END_OF_TIME
    assert parse_timestamp(text) == (expected if within else None)


@given(st.text(alphabet="0123456789-:TZtz.+ ", max_size=36))
def test_what_is_an_instant_fits_the_pattern(text: str) -> None:
    if parse_timestamp(text) is not None:
        assert re.search(PATTERN, text)
