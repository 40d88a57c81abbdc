"""Contracts: which plan an organisation is on, from when until when, and what was agreed beyond the plan."""

import datetime as dt
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from schemas.period import Period, midnight
from schemas.prices import STRICT, Number
from schemas.verdicts import MAX_ID

EVERYONE: Final = "*"
"""The organisation id of the contract for all organisations that have none of their own."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


def _day(value: Any) -> Any:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[dt.date, BeforeValidator(_day)]
"""A day, whose midnight (UTC) is the instant meant."""


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

    def meets(self, period: Period) -> bool:
        """Say whether the span and the period have an instant in common."""
        return midnight(self.since) < period.end and (self.until is None or midnight(self.until) > period.start)

    def covers(self, period: Period) -> bool:
        """Say whether every instant of the period is in the span."""
        return midnight(self.since) <= period.start and (self.until is None or midnight(self.until) >= period.end)

    def dates(self) -> str:
        """Return the span for a message."""
        return f"from {self.since}" + (f" until {self.until}" if self.until else "")


class Contract(Span):
    """One organisation's terms, or everyone's (`org_id: "*"`).

    `included` replaces the included quantity of a charge, by the charge's id, in the charge's priced units.
    """

    org_id: Annotated[int, Field(ge=0, le=MAX_ID)] | Literal["*"]
    id: Name
    plan: Name
    currency: Currency
    book: Name | None = None
    included: dict[Name, Number] = Field(default_factory=dict)


class ContractsFile(BaseModel):
    """A contracts file: `contracts:` and a list of them.

    Two of one organisation may follow each other in time; an overlap is a failure when that organisation is rated.
    """

    model_config = STRICT

    contracts: list[Contract] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids(self) -> "ContractsFile":
        seen: set[tuple[int | str, str, dt.date]] = set()
        for contract in self.contracts:
            key = (contract.org_id, contract.id, contract.since)
            if key in seen:
                raise ValueError(f"contract {contract.id!r} of organisation {contract.org_id} stands twice")
            seen.add(key)
        return self
