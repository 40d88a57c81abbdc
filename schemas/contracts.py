"""What contracts are made of: spans of days, when bills are due, trials. The contract itself is `rater.contract`."""

import datetime as dt
from functools import cache
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from schemas.cycle import MONTHS, Cycle, Interval
from schemas.period import Period, midnight
from schemas.prices import STRICT

EVERYONE: Final = "*"
"""The organisation id of the contract for all organisations that have none of their own."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _day(value: Any) -> Any:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[dt.date, BeforeValidator(_day), Field(ge=dt.date(1900, 1, 1), lt=dt.date(9999, 1, 1))]
"""A day, whose midnight in the contract's time zone is the instant meant."""


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})


def _known(zone: str) -> str:
    # What `localtime` is depends on the machine, and a bill must not.
    if zone != "UTC" and zone not in _zones():
        raise ValueError(f"{zone!r} is no time zone of the IANA database: write one such as America/New_York")
    return zone


Zone = Annotated[str, AfterValidator(_known)]


class Span(BaseModel):
    """From midnight of `from` until midnight of `until` (exclusive; for ever without it)."""

    model_config = STRICT

    since: Day = Field(alias="from")
    until: Day | None = None

    @model_validator(mode="after")
    def _forward(self) -> "Span":
        if self.until is not None and self.until <= self.since:
            raise ValueError(f"until {self.until} is not after from {self.since}")
        return self

    def meets(self, period: Period, zone: str = "UTC") -> bool:
        """Say whether the span, in days of a zone, and the period have an instant in common."""
        return midnight(self.since, zone) < period.end and (
            self.until is None or midnight(self.until, zone) > period.start
        )

    def covers(self, period: Period, zone: str = "UTC") -> bool:
        """Say whether every instant of the period is in the span."""
        return midnight(self.since, zone) <= period.start and (
            self.until is None or midnight(self.until, zone) >= period.end
        )

    def dates(self) -> str:
        """Return the span for a message."""
        return f"from {self.since}" + (f" until {self.until}" if self.until else "")


class Billing(BaseModel):
    """When billing periods begin, and in which time zone. Without anything said: calendar months, UTC.

    A period begins on `anchor_day` (1 to 31; of a week 1 for Monday to 7 for Sunday), in the month in which the
    contract begins and every `interval` from there; a shorter month has its last day instead. `anchor` says it by one
    day on which a period begins. `usage` is the interval of statements where it is shorter than that of the fees: a
    month of usage inside a year's contract.
    """

    model_config = STRICT

    interval: Interval = "month"
    anchor_day: Annotated[int, Field(ge=1, le=31)] | None = None
    anchor: Day | None = None
    usage: Interval | None = None
    zone: Zone = "UTC"

    @model_validator(mode="after")
    def _fits(self) -> "Billing":
        if self.anchor is not None and self.anchor_day is not None:
            raise ValueError("give anchor or anchor_day, not both")
        if self.interval == "week" and self.anchor_day is not None and self.anchor_day > 7:
            raise ValueError(f"anchor_day {self.anchor_day}: a week begins on a day from 1 (Monday) to 7 (Sunday)")
        if self.usage is not None and self.usage != self.interval:
            months, parts = MONTHS.get(self.interval, 0), MONTHS.get(self.usage, 0)
            if not parts or not months or months % parts or months < parts:
                raise ValueError(f"usage: a {self.interval} is no whole number of {self.usage}s")
        return self

    def cycle(self, since: dt.date, interval: Interval | None = None) -> Cycle:
        """Return the cycle of a contract that begins on a day: that of its fees, or of another interval.

        Where one of the two is a week, they have no anchor in common: a week begins on the day of `anchor` or of
        `since`, months on their first day (or on `anchor`).
        """
        interval = interval or self.interval
        if self.anchor is not None:
            return Cycle.anchored(self.anchor, interval, self.zone)
        if interval == "week" != self.interval:
            return Cycle.anchored(since, interval, self.zone)
        day = self.anchor_day if interval == "week" or self.interval != "week" else None
        return Cycle.on_day(day or 1, interval, since, self.zone)

    def statements(self, since: dt.date) -> Cycle:
        """Return the cycle of the statements of a contract that begins on a day."""
        return self.cycle(since, self.usage)


class Trial(BaseModel):
    """The first days of a contract (or those until a day) in which nothing is owed for the charges that are `free`.

    Without `free` these are the fees of every period; usage and one-time fees are owed all the same.
    """

    model_config = STRICT

    days: Annotated[int, Field(ge=1, le=3660)] | None = None
    until: Day | None = None
    free: list[Name] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "Trial":
        if (self.days is None) == (self.until is None):
            raise ValueError("say how long the trial is: days or until")
        return self

    def end(self, since: dt.date) -> dt.date:
        """Return the day after the trial of a contract that begins on a day."""
        if self.until is not None:
            return self.until
        assert self.days is not None, "a trial has days or an end"
        return since + dt.timedelta(days=self.days)
