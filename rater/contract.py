"""The contract: one organisation's plan, and what was agreed beyond it."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from rater.adjustments import AnyAdjustment
from rater.budget import Budget
from rater.grants import Grants
from rater.interim import InvoiceThresholds
from rater.models import MODELS, AnyPrice
from rater.options import Commitment
from schemas.contracts import Billing, Currency, Day, Name, Span, Trial
from schemas.cycle import Cycle
from schemas.prices import STRICT, Number
from schemas.verdicts import MAX_ID

PRICE_FIELDS = ("price", "change", "tiers", "multiply")
"""The ways in which an override says what things cost: one of them at most."""


class Override(BaseModel):
    """What the contract says instead of the plan, for the charges in its scope, from a day on or until one.

    The scope is what is given of charge (its id), category, model and plan; without any it is every charge. `price`
    is another price, `change` gives other values to fields of the price, `tiers` other tiers, `multiply` the price
    times a factor (at any hour of its schedule); `included` is another included quantity, in the charge's priced units,
    and `commitment` another commitment. A charge is changed by the most specific override that says something about
    its price, and likewise about what is included and what is committed.
    """

    model_config = STRICT

    charge: Name | None = None
    category: str | None = None
    model: str | None = None
    plan: Name | None = None
    since: Day | None = Field(default=None, alias="from")
    until: Day | None = None

    price: AnyPrice | None = None
    change: dict[str, Any] | None = Field(default=None, min_length=1)
    tiers: list[Any] | None = Field(default=None, min_length=1)
    multiply: Number | None = None
    included: Number | None = None
    commitment: Commitment | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Override":
        given = [name for name in PRICE_FIELDS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {' and '.join(given)}")
        if not given and self.included is None and self.commitment is None:
            raise ValueError(f"say what changes: one of {', '.join(PRICE_FIELDS)}, or included, or commitment")
        if self.change is not None and "model" in self.change:
            raise ValueError("change cannot make another model of a price: give price, whole")
        if self.model is not None and self.model not in MODELS:
            raise ValueError(f"there is no price model {self.model!r}: {', '.join(sorted(MODELS))}")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError(f"until {self.until} is not after from {self.since}")
        return self

    @property
    def prices(self) -> bool:
        """Say whether the override is about what things cost, and not only about what is included or committed."""
        priced = self.price is not None or self.multiply is not None
        return priced or self.change is not None or self.tiers is not None

    @property
    def dated(self) -> bool:
        """Say whether the override holds for a part of the contract only."""
        return self.since is not None or self.until is not None

    def on(self, day: dt.date) -> bool:
        """Say whether the override holds on a day."""
        return (self.since is None or self.since <= day) and (self.until is None or day < self.until)

    def scope(self) -> str:
        """Return the scope for a message."""
        scope = {"charge": self.charge, "category": self.category, "model": self.model, "plan": self.plan}
        told = {**scope, "from": self.since, "until": self.until}
        return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None) or "every charge"


class Phase(BaseModel):
    """What holds for the first `cycles` billing periods; the next phase follows, and the last may be open.

    Periods are of the interval of the fees, and a stub counts as one. Beyond the last phase the contract's own terms
    hold alone. `plan` is another plan; `overrides` and `included` win over those of the contract with the same scope;
    `adjustments`, where given, are instead of the contract's.
    """

    model_config = STRICT

    name: str = Field(default="", max_length=200)
    cycles: Annotated[int, Field(ge=1)] | None = None
    plan: Name | None = None
    included: dict[Name, Number] = Field(default_factory=dict)
    overrides: list[Override] = Field(default_factory=list)
    adjustments: list[AnyAdjustment] | None = None

    @cached_property
    def including(self) -> list[Override]:
        """Return what `included` says as overrides of one charge each."""
        return _including(self.included)


class Contract(Span):
    """One organisation's terms, or everyone's (`org_id: "*"`).

    `adjustments` are of all lines, after the plan's; `grants` pay for lines; `budget` limits what may be used;
    `invoice_thresholds` are the amounts at which usage is billed before the period ends.

    Its days are days of its billing's time zone. `included` replaces the included quantity of a charge, by the
    charge's id, in the charge's priced units. With `retroactive` a period in which something changes is priced as a
    whole by what holds at its end. An amendment is the same `id` with a later `from`: its cycles, phases and trial
    go on from the first.
    """

    org_id: Annotated[int, Field(ge=0, le=MAX_ID)] | Literal["*"]
    id: Name
    plan: Name
    currency: Currency
    book: Name | None = None
    billing: Billing = Field(default_factory=Billing)
    trial: Trial | None = None
    retroactive: bool = False
    included: dict[Name, Number] = Field(default_factory=dict)
    overrides: list[Override] = Field(default_factory=list)
    phases: list[Phase] = Field(default_factory=list)
    adjustments: list[AnyAdjustment] = Field(default_factory=list)
    grants: Grants = Field(default_factory=list)
    budget: Budget | None = None
    invoice_thresholds: InvoiceThresholds | None = None

    @model_validator(mode="after")
    def _phased(self) -> "Contract":
        if any(phase.cycles is None for phase in self.phases[:-1]):
            raise ValueError("only the last phase has no cycles: the phases after it are never reached")
        return self

    @property
    def zone(self) -> str:
        """Return the time zone of its days."""
        return self.billing.zone

    @cached_property
    def plans(self) -> frozenset[str]:
        """Return the plans that it names, its phases' too."""
        return frozenset([self.plan, *(phase.plan for phase in self.phases if phase.plan is not None)])

    @cached_property
    def including(self) -> list[Override]:
        """Return what `included` says as overrides of one charge each."""
        return _including(self.included)

    @cached_property
    def reprices(self) -> bool:
        """Say whether it gives a whole price or other fields of one, at any time."""
        return any(override.price is not None or override.change is not None for override in self.every_override)

    @property
    def every_override(self) -> list[Override]:
        """Return its overrides and those of its phases."""
        return [*self.overrides, *(override for phase in self.phases for override in phase.overrides)]

    def changes(self, begins: dt.date) -> set[dt.date]:
        """Return the days on which it says itself that a price changes, given the day on which it began.

        Phases change where a billing period begins, and are not among them.
        """
        bounds = [bound for override in self.every_override for bound in (override.since, override.until)]
        if self.trial is not None and self.trial.free is not None:
            bounds.append(self.trial.end(begins))
        return {bound for bound in bounds if bound is not None}

    @property
    def plain(self) -> bool:
        """Say whether it takes the plan's charges as they are, from its first day on."""
        return not (self.overrides or self.included or self.phases or self.trial)

    def phase(self, cycle: int) -> int | None:
        """Return the number of the phase that the n-th billing period (from 0) is in; None beyond the last."""
        for number, phase in enumerate(self.phases):
            if phase.cycles is None or cycle < phase.cycles:
                return number
            cycle -= phase.cycles
        return None


def _including(included: Mapping[str, Decimal]) -> list[Override]:
    return [Override(charge=id_, included=number) for id_, number in included.items()]


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


@dataclass(frozen=True, slots=True)
class Signed:
    """A contract with the hash of its content.

    `begins` is the day on which the contract began: that of its first version where this one is an amendment (the
    same id, without a gap).
    """

    contract: Contract
    content_hash: str
    begins: dt.date
    cycle: Cycle
    """The cycle of its statements."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """All contracts by organisation id; `"*"` holds those for every organisation that has none of its own."""

    by_org: Mapping[int | Literal["*"], tuple[Signed, ...]]
    origin: str = ""


def signed(contracts: Iterable[tuple[Contract, str]]) -> tuple[Signed, ...]:
    """Return an organisation's contracts, each with its content's hash, by the day from which they hold."""
    found: list[Signed] = []
    latest: dict[str, Signed] = {}
    for contract, content_hash in sorted(contracts, key=lambda item: item[0].since):
        before = latest.get(contract.id)
        amends = before is not None and before.contract.until == contract.since
        begins = before.begins if before is not None and amends else contract.since
        latest[contract.id] = Signed(contract, content_hash, begins, contract.billing.statements(begins))
        found.append(latest[contract.id])
    return tuple(found)
