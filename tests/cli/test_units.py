"""Durations, sizes and instants: exact, and the written form reads back."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.units import read_duration, read_instant, read_size, show_duration, show_instant, show_moment, show_size


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        ("60s", 60_000_000),
        ("10min", 600_000_000),
        ("90d", 7_776_000_000_000),
        ("1.5h", 5_400_000_000),
        ("250 ms", 250_000),
        (" 7us ", 7),
        ("0.000001s", 1),
        ("10MIN", 600_000_000),
        ("60", 60_000_000),
        (60, 60_000_000),
        (Decimal("0.1"), 100_000),
        ("-1s", -1_000_000),
    ],
)
def test_durations(written: object, microseconds: int) -> None:
    assert read_duration(written) == microseconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("1GiB", 1 << 30), ("512MiB", 512 << 20), ("2GB", 2 * 10**9), ("1kb", 1000), ("1.5KiB", 1536), (4096, 4096)],
)
def test_sizes(written: object, size: int) -> None:
    assert read_size(written) == size


@pytest.mark.parametrize(
    "written", ["", "s", "1 fortnight", "1e3s", "1m", "١s", "1s2", "--1s", None, True, 0.5, [], "NaN"]
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="a duration is written like 500ms"):
        read_duration(written)


@pytest.mark.parametrize(
    ("read", "written", "problem"),
    [
        (read_duration, "0.1us", "no whole number of microseconds"),
        (read_duration, "0.0000001", "no whole number of microseconds"),
        (read_duration, "999999999999999999d", "out of range"),
        (read_size, "0.5B", "no whole number of bytes"),
    ],
)
def test_what_cannot_be_kept_exactly(read: Callable[[object], int], written: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(written)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_duration_reads_back(microseconds: int) -> None:
    assert read_duration(show_duration(microseconds)) == microseconds


@given(st.integers(0, 2**63 - 1))
def test_a_size_reads_back(size: int) -> None:
    assert read_size(show_size(size)) == size


@given(st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=45))])))
def test_an_instant_reads_back(moment: dt.datetime) -> None:
    microseconds = read_instant(moment)
    assert show_instant(microseconds) == show_moment(moment)
    assert read_instant(show_instant(microseconds)) == microseconds


def test_instants() -> None:
    assert read_instant("1970-01-01T00:00:00.000001Z") == 1
    assert read_instant("1970-01-01t01:00:00+01:00") == 0
    assert show_instant(1_000_000) == "1970-01-01T00:00:01Z"
    assert show_moment(dt.datetime(2026, 11, 1)) == "2026-11-01T00:00:00Z"  # noqa: DTZ001 - one without a zone is UTC


@pytest.mark.parametrize(
    "written",
    ["2026-11-22", "2026-11-22T10:00:00", "2026-11-31T10:00:00Z", "2026-W01-1T00:00:00Z", "now", 5, None,
     dt.datetime(2026, 1, 1)],  # noqa: DTZ001 - that is the point
)  # fmt: skip
def test_what_is_no_instant(written: object) -> None:
    with pytest.raises(ValueError, match="write RFC 3339 with a zone"):
        read_instant(written)
