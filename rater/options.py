"""What a charge may say beyond its price: a commitment, and other terms at some hours of the day."""

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, Field, model_validator

from rater.models import AnyPrice
from schemas.prices import STRICT, Number, PriceModel, plain

ONE: Final = Decimal(1)
HOURS: Final = 24


class Commitment(BaseModel):
    """A quantity (in priced units) or an amount of money that the customer commits to.

    What the usage past it costs is multiplied by `overage_factor`. With `true_up` what is not used up is owed too, on a
    line of its own. Of a charge that is priced `each` hour, day or group, every part with usage is committed by itself;
    with `unused_parts`, hours or days without any usage too.
    """

    model_config = STRICT

    quantity: Number | None = None
    amount: Number | None = None
    overage_factor: Number = ONE
    true_up: bool = False
    unused_parts: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> "Commitment":
        if (self.quantity is None) == (self.amount is None):
            raise ValueError("a commitment is a quantity or an amount: give one of the two")
        if self.unused_parts and not self.true_up:
            raise ValueError("without a true-up an unused part owes nothing: say true_up, or drop unused_parts")
        return self

    def scaled(self, factor: Decimal) -> "Commitment":
        """Return the commitment of `factor` times as large quantities and amounts. Call it inside `exact()`."""
        return self.model_copy(
            update={
                "quantity": None if self.quantity is None else self.quantity * factor,
                "amount": None if self.amount is None else self.amount * factor,
            }
        )

    def __str__(self) -> str:
        return plain(self.quantity or self.amount or Decimal(0))


Hour = Annotated[int, Field(ge=0, le=HOURS)]


class Slot(BaseModel):
    """Other terms from one hour of the day until another (exclusive), over midnight where that is not the later one.

    What a slot does not say holds as at any other hour; `commitment: null` says that there is none.
    """

    model_config = STRICT

    from_hour: Hour
    to_hour: Hour
    price: AnyPrice | None = None
    commitment: Commitment | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Slot":
        if self.from_hour % HOURS == self.to_hour % HOURS:
            raise ValueError("a slot ends at another hour than it begins")
        if self.price is not None and self.price.per_period:
            raise ValueError("a fee for the period has no hours: give a price that counts something")
        if not self.model_fields_set & {"price", "commitment"}:
            raise ValueError("a slot says another price or commitment")
        return self

    @cached_property
    def hours(self) -> frozenset[int]:
        """Return the hours of the day that it holds for."""
        last = self.to_hour if self.to_hour > self.from_hour else self.to_hour + HOURS
        return frozenset(hour % HOURS for hour in range(self.from_hour, last))

    def __str__(self) -> str:
        return f"{self.from_hour:02}:00–{self.to_hour:02}:00"


class Rates(NamedTuple):
    """What holds for one part of a charge's usage: its price, what of it is included, and a commitment."""

    price: PriceModel
    included: Decimal | None = None
    commitment: Commitment | None = None
