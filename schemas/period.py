"""Periods: [start, end), named as a person names them. A day begins at local midnight, in the zone that is meant."""

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from schemas.errors import SettingsError

_MONTH: Final = re.compile(r"([0-9]{4})-([0-9]{2})")
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The instants from `start` (inclusive) to `end` (exclusive), both with a zone; `name` is for people."""

    start: dt.datetime
    end: dt.datetime
    name: str

    def __post_init__(self) -> None:
        assert self.start.tzinfo is not None, "a period's instants have a zone"
        assert self.end.tzinfo is not None, "a period's instants have a zone"
        assert self.start < self.end, "a period is not empty"

    @classmethod
    def month(cls, year: int, month: int) -> "Period":
        """Return a UTC calendar month of the years 2000 to 2099; raises ValueError for any other."""
        if not (2000 <= year <= 2099 and 1 <= month <= 12):
            raise ValueError(f"{year:04}-{month:02} is no month of the years 2000 to 2099")
        start = dt.datetime(year, month, 1, tzinfo=dt.UTC)
        end = dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
        return cls(start, end, f"{year:04}-{month:02}")

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Return the period written as `2026-11`. Raises SettingsError with what is taken."""
        found = _MONTH.fullmatch(text)
        try:
            if found:
                return cls.month(int(found[1]), int(found[2]))
        except ValueError:
            pass
        raise SettingsError(f"period {text!r}: write a month of the years 2000 to 2099, as in 2026-11")

    @classmethod
    def days(cls, first: dt.date, after: dt.date, zone: str = "UTC") -> "Period":
        """Return the days from `first` to the one before `after`, from local midnight to local midnight."""
        return cls(midnight(first, zone), midnight(after, zone), days_name(first, after))

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=1 << 14)
def midnight(day: dt.date, zone: str = "UTC") -> dt.datetime:
    """Return the instant (in UTC) at which a day begins in a zone, by its name in the time zone database.

    Where clocks go forward at midnight the day begins at the change; where the hour after midnight comes twice, or
    midnight itself does, it begins at the first.
    """
    if zone == "UTC":
        return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    # Of a local time that does not exist, zoneinfo gives the offset before the change, which makes it the change.
    return dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


def day_of(instant: dt.datetime, zone: str = "UTC") -> dt.date:
    """Return the day that an instant falls on: the last one whose midnight is not after it."""
    day = instant.astimezone(ZoneInfo(zone)).date()
    return day + _DAY if midnight(day + _DAY, zone) <= instant else day


def days_name(first: dt.date, after: dt.date) -> str:
    """Name the days from `first` to the one before `after`: 2026-11, 2026-Q4, 2026, else both days in full."""
    months = (after.year - first.year) * 12 + after.month - first.month
    if first.day == after.day == 1:
        if months == 1:
            return f"{first.year:04}-{first.month:02}"
        if months == 3 and first.month % 3 == 1:
            return f"{first.year:04}-Q{first.month // 3 + 1}"
        if months == 12 and first.month == 1:
            return f"{first.year:04}"
    last = after - _DAY
    return f"{first}" if last == first else f"{first} to {last}"
