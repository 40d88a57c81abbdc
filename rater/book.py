"""The price book as data: plans, their effective-dated versions, and the charges of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from rater.models import MODELS
from schemas.contracts import Contract, Currency, Name, Span
from schemas.money import MINOR_UNITS, RoundingMode
from schemas.prices import STRICT, Conversion, Number, PriceModel

if TYPE_CHECKING:
    AnyPrice = PriceModel
else:
    AnyPrice = Annotated[reduce(or_, MODELS.values()), Field(discriminator="model")]

Category = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]


class Charge(BaseModel):
    """One price: what it counts, and the model that prices it.

    The usage of all `categories` is summed, converted to priced units, reduced by `included`, and priced by the model.
    """

    model_config = STRICT

    name: str = Field(default="", max_length=200)
    category: Category | None = None
    categories: list[Category] | None = Field(default=None, min_length=1)
    unit: str = Field(default="", max_length=64)
    """What the counted units are called, as in `errors`."""
    convert: Conversion | None = None
    included: Number | None = None
    price: AnyPrice

    @model_validator(mode="after")
    def _fits(self) -> "Charge":
        if self.price.per_period:
            if self.counted or self.convert or self.included is not None:
                raise ValueError("a fee for the period counts nothing: drop categories, convert and included")
        elif self.category is not None and self.categories is not None:
            raise ValueError("give category or categories, not both")
        elif not self.counted:
            raise ValueError("say which category the price is for")
        if len(set(self.counted)) != len(self.counted):
            raise ValueError("a category stands twice")
        return self

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Return the categories that the charge counts; none for a fee."""
        return (self.category,) if self.category is not None else tuple(self.categories or ())


class PlanVersion(Span):
    """A plan's charges from a day on. A category is in one charge, or under `free`, or usage of it is a failure."""

    charges: dict[Name, Charge] = Field(min_length=1)
    free: list[Category] = Field(default_factory=list)
    """Categories that are counted and cost nothing."""

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


@dataclass(frozen=True, slots=True)
class Signed:
    """A contract with the hash of its content."""

    contract: Contract
    content_hash: str


@dataclass(frozen=True, slots=True)
class Contracts:
    """All contracts by organisation id; `"*"` holds those for every organisation that has none of its own."""

    by_org: Mapping[int | Literal["*"], tuple[Signed, ...]]
    origin: str = ""
