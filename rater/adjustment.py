"""What every adjustment offers: its fields (the YAML), when it holds, and the lines that it writes on the sheet."""

from abc import abstractmethod
from typing import ClassVar

from pydantic import BaseModel, Field, model_validator

from rater.sheet import Scope, Sheet
from schemas.contracts import Day, Name
from schemas.period import Period, midnight
from schemas.prices import STRICT


class Adjustment(BaseModel):
    """Something agreed beyond the prices, told by its `kind`, which writes lines of its own.

    An adjustment is a subclass in a file of its own in `rater/adjustments`, with a `kind` field that names it.
    `charges` narrows it to these charges' lines; with `from` or `until` it holds for the periods that start between.
    """

    model_config = STRICT

    title: ClassVar[str] = ""
    """What its lines are called where the price book gives no name."""

    id: Name | None = None
    name: str = Field(default="", max_length=200)
    charges: list[Name] | None = Field(default=None, min_length=1)
    since: Day | None = Field(default=None, alias="from")
    until: Day | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Adjustment":
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError(f"until {self.until} is not after from {self.since}")
        if self.charges is not None and len(set(self.charges)) != len(self.charges):
            raise ValueError("a charge stands twice")
        return self

    @abstractmethod
    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write lines on the sheet for what is in the scope. Call it inside `exact()`."""

    def holds(self, period: Period, zone: str = "UTC") -> bool:
        """Say whether it holds in a period: it does when it holds as the period starts."""
        began = self.since is None or midnight(self.since, zone) <= period.start
        return began and (self.until is None or period.start < midnight(self.until, zone))

    def within(self, scope: Scope) -> Scope:
        """Return what it may look at, given what the place where it is listed may: in the order of `charges`."""
        if self.charges is None:
            return scope
        return tuple(charge for charge in self.charges if scope is None or charge in scope)

    def lost(self, known: frozenset[str]) -> list[str]:
        """Return the charges that it names and that do not exist: it would match nothing, in silence."""
        return [charge for charge in self.charges or () if charge not in known]

    @property
    def line_id(self) -> str:
        """Return the id of its lines."""
        return self.id or str(getattr(self, "kind", ""))

    @property
    def line_name(self) -> str:
        """Return the name of its lines."""
        return self.name or self.title
