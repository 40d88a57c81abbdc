"""Durations, sizes and instants as people write them, kept as exact integers: microseconds and bytes."""

import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds in a second."""

_DURATIONS: Final = {
    "d": 86_400 * SECOND,
    "h": 3_600 * SECOND,
    "min": 60 * SECOND,
    "s": SECOND,
    "ms": 1_000,
    "us": 1,
}
_SIZES: Final = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_QUANTITY: Final = re.compile(r"\s*(-?\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]*)\s*", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_LARGEST: Final = 2**63 - 1


def read_duration(value: object) -> int:
    """Return the microseconds of "90d", "10min", "1.5h", "250ms" or a number of seconds.

    Raises ValueError that says what can be written; also for what is no whole number of microseconds.
    """
    return _read(value, _DURATIONS, "s", "a duration is written like 500ms, 60s, 10min, 2h or 90d", "microseconds")


def read_size(value: object) -> int:
    """Return the bytes of "1GiB", "512MiB", "2GB" or a number of bytes. Raises ValueError that says what is meant."""
    return _read(value, _SIZES, "B", "a size is written like 512MiB, 1GiB or 2GB", "bytes")


def _read(value: object, units: dict[str, int], plain: str, help_text: str, smallest: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{value!r} cannot be read: {help_text}")
    found = _QUANTITY.fullmatch(str(value))
    by_name = {name.lower(): size for name, size in units.items()}
    unit = by_name.get((found[2] or plain).lower()) if found else None
    if found is None or unit is None:
        raise ValueError(f"{str(value)!r} cannot be read: {help_text}")
    exact = Fraction(found[1]) * unit
    if exact.denominator != 1:
        raise ValueError(f"{str(value)!r} is no whole number of {smallest}")
    if abs(exact) > _LARGEST:
        raise ValueError(f"{str(value)!r} is out of range")
    return exact.numerator


def read_instant(value: object) -> int:
    """Return the microseconds since 1970 (UTC) of an RFC 3339 instant with a zone. Raises ValueError."""
    problem = f"{str(value)!r} is no instant: write RFC 3339 with a zone, as in 2026-11-22T10:00:00Z"
    if isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, str) and _INSTANT.fullmatch(value.strip()):
        try:
            moment = dt.datetime.fromisoformat(value.strip().upper())
        except ValueError as error:
            raise ValueError(problem) from error
    else:
        raise ValueError(problem)
    if moment.tzinfo is None:
        raise ValueError(problem)
    return (moment - _EPOCH) // _MICROSECOND


def show_duration(microseconds: int) -> str:
    """Write a duration in the largest unit that it is a whole number of: 120000000 is "2min"."""
    return _show(microseconds, _DURATIONS, "0s")


def show_size(size: int) -> str:
    """Write a size in the largest binary unit that it is a whole number of: 1 << 30 is "1GiB"."""
    return _show(size, {name: unit for name, unit in _SIZES.items() if "i" in name or name == "B"}, "0B")


def _show(value: int, units: dict[str, int], zero: str) -> str:
    if value == 0:
        return zero
    name, unit = next((name, unit) for name, unit in units.items() if value % unit == 0)
    return f"{value // unit}{name}"


def show_instant(microseconds: int) -> str:
    """Write an instant as RFC 3339 in UTC; the fraction only where there is one."""
    return show_moment(_EPOCH + dt.timedelta(microseconds=microseconds))


def show_moment(moment: dt.datetime) -> str:
    """Write a datetime as RFC 3339 in UTC with a Z; one without a zone is taken as UTC."""
    utc = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return utc.replace(tzinfo=None).isoformat() + "Z"
