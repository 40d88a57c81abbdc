"""Billing periods: [start, end), named as a person names them. UTC calendar months for now."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

from schemas.errors import SettingsError

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")


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

    def __str__(self) -> str:
        return self.name


def midnight(day: dt.date) -> dt.datetime:
    """Return the instant at which a day begins, UTC."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
