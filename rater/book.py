"""The price book as data: plans, their effective-dated versions, and the charges of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from rater.adjustments import AnyAdjustment
from rater.budget import Budget
from rater.contract import Contracts, Signed
from rater.custom_unit import CustomUnit
from rater.fitting import misfit
from rater.measure import LEVELS, Aggregation, AnyAggregation
from rater.models import AnyPrice
from rater.models.flat import Flat
from rater.multiplied import Multiplied
from rater.options import Commitment, Rates, Slot
from rater.pool import Each
from schemas.contracts import Currency, Name, Span, Zone
from schemas.money import MINOR_UNITS, RoundingMode
from schemas.prices import STRICT, Conversion, Number

__all__ = ["BookFile", "Charge", "Contracts", "Plan", "PlanVersion", "PriceBook", "Signed"]

Category = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _prorated(value: Any) -> Any:
    return {True: "days", False: None}.get(value, value) if isinstance(value, bool) else value


SUM: Final = Aggregation()


class Charge(BaseModel):
    """One price: what it counts, and the model that prices it.

    The usage of all `categories` is made one quantity by `aggregate` (their sum), converted to priced units, reduced
    by `included`, and priced by the model.

    - `each`: every hour, day, window, group or event is priced by itself (two of them, such as hour and group, name
      parts of both), and tiers, included units and commitments begin anew in each;
    - `schedule`: another price or commitment at some hours of the day;
    - `cumulative`: tiers go on from what earlier periods used, `rate(total so far) − rate(before)`: for ever with true,
      or until a year (quarter, half_year) of the contract is over, when they begin anew;
    - `prorated`: events change a level, and count from their day (or second) to the end of the period; tiers are
      climbed by the full quantity;
    - `custom_unit`: the price, and what is committed, is in credits, of which each is worth a stated rate;
    - `fee`: a fee of the period beside what usage costs, on a line of its own;
    - `adjustments`: of this charge's lines, in the order listed.

    Hours and days are those of `zone`; without one, of the customer's (the contract's).
    """

    model_config = STRICT

    name: str = Field(default="", max_length=200)
    category: Category | None = None
    categories: list[Category] | None = Field(default=None, min_length=1)
    unit: str = Field(default="", max_length=64)
    """What the counted units are called, as in `errors`."""
    aggregate: AnyAggregation = SUM
    convert: Conversion | None = None
    included: Number | None = None
    each: Annotated[
        Annotated[list[Each], Field(min_length=1, max_length=2)] | None,
        BeforeValidator(_listed, json_schema_input_type=list[Each] | Each | None),
    ] = None
    schedule: list[Slot] = Field(default_factory=list, max_length=24)
    zone: Zone | None = None
    cumulative: bool | Literal["quarter", "half_year", "year"] = False
    prorated: Annotated[
        Literal["days", "seconds"] | None,
        BeforeValidator(_prorated, json_schema_input_type=Literal["days", "seconds"] | bool | None),
    ] = None
    commitment: Commitment | None = None
    custom_unit: CustomUnit | None = None
    fee: Flat | None = None
    adjustments: list[AnyAdjustment] = Field(default_factory=list)
    price: AnyPrice

    @model_validator(mode="after")
    def _fits(self) -> "Charge":
        wrong = misfit(self)
        if wrong:
            raise ValueError(wrong)
        return self

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Return the categories that the charge counts; none for a fee."""
        return (self.category,) if self.category is not None else tuple(self.categories or ())

    @property
    def rates(self) -> Rates:
        """Return what holds where no slot of the schedule says otherwise."""
        return Rates(self.price, self.included, self.commitment)

    @property
    def by_level(self) -> bool:
        """Say whether events say or change a level, which goes on into the next period."""
        return bool(self.prorated) or self.aggregate.function in LEVELS

    @cached_property
    def plain(self) -> bool:
        """Say whether the usage's total and the price model are all that there is to it."""
        return (
            not self.price.per_period
            and self.price.needs == "quantity"
            and self.aggregate == SUM
            and self.commitment is None
            and self.custom_unit is None
            and not (self.each or self.schedule or self.cumulative or self.prorated)
        )


def priced_by(charges: Mapping[str, Charge]) -> dict[str, str]:
    """Return the price models of counted charges, by id; that of one that its total does not decide says so."""
    found = {}
    for id_, charge in charges.items():
        if not charge.price.per_period:
            price = charge.price.base if isinstance(charge.price, Multiplied) else charge.price
            name = str(getattr(price, "model", type(price).__name__))
            found[id_] = name if charge.plain else f"{name} with more than a price"
    return found


class PlanVersion(Span):
    """A plan's charges from a day on. A category is in one charge, or under `free`, or usage of it is a failure.

    `adjustments` are of all lines, in the order listed, after each charge's own; `budget` limits what may be used.
    """

    charges: dict[Name, Charge] = Field(min_length=1)
    free: list[Category] = Field(default_factory=list)
    """Categories that are counted and cost nothing."""
    adjustments: list[AnyAdjustment] = Field(default_factory=list)
    budget: Budget | None = None

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the categories that are priced or free."""
        return frozenset(self.free).union(*(charge.counted for charge in self.charges.values()))

    @model_validator(mode="after")
    def _once(self) -> "PlanVersion":
        seen: dict[str, str] = {}
        places = [(category, f"charge {id_!r}") for id_, charge in self.charges.items() for category in charge.counted]
        for category, place in [*places, *((category, "free") for category in self.free)]:
            if category in seen:
                raise ValueError(f"category {category!r} is priced twice: by {seen[category]} and by {place}")
            seen[category] = place
        return self

    @model_validator(mode="after")
    def _matches(self) -> "PlanVersion":
        known = frozenset(self.charges)
        for adjustment in self.adjustments:
            if lost := adjustment.lost(known):
                raise ValueError(f"an adjustment names {', '.join(lost)}, which is no charge")
        if self.budget is not None and (wrong := self.budget.problem(priced_by(self.charges))):
            raise ValueError(wrong)
        for id_, charge in self.charges.items():
            if any(adjustment.charges is not None for adjustment in charge.adjustments):
                raise ValueError(f"an adjustment of charge {id_} is of its lines alone: drop charges")
        return self


class Plan(BaseModel):
    """A plan: its currency, how its lines are rounded, and its versions in any order."""

    model_config = STRICT

    name: str = Field(default="", max_length=200)
    currency: Currency
    rounding: RoundingMode = "half_away"
    versions: list[PlanVersion] = Field(min_length=1)

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MINOR_UNITS:
            raise ValueError(f"{value} is not a currency of ISO 4217 with a minor unit")
        return value


class BookFile(BaseModel):
    """A price book file. `revision` goes up with every change: a newer book's statements replace an older one's."""

    model_config = STRICT

    book: Name
    revision: int = Field(ge=1, le=2**63 - 1)
    note: str = ""
    plans: dict[Name, Plan] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A price book with the hash of its content (comments and layout apart) and where it was read."""

    name: str
    revision: int
    plans: Mapping[str, Plan]
    content_hash: str
    origin: str = ""
