"""What a price is made of: numbers without floats, steps that explain an amount, and what every price model offers."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.money import RoundingMode, exact, steps_in

PLACES: Final = 18
"""Digits after the point that a price or a priced quantity may have; the store's money columns hold as many."""
DIGITS: Final = 38

_DECIMAL: Final = re.compile(r"[-+]?\d+(\.\d+)?")


def _number(value: Any) -> Any:
    """Take integers, exact decimals and quoted decimals; a float has already lost what was written."""
    if isinstance(value, bool | float):
        raise PydanticCustomError(
            "not_exact", "write a plain decimal number such as 0.0011125, not {value}", {"value": repr(value)}
        )
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise PydanticCustomError("not_a_number", "{value} is not a plain decimal number", {"value": repr(value)})
        return Decimal(value)
    return value


Number = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, max_digits=DIGITS, decimal_places=PLACES)]
"""A price, a quantity or a factor: not negative, at most 38 digits, 18 of them after the point."""
Positive = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, max_digits=DIGITS, decimal_places=PLACES)]

STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)


def plain(value: Decimal) -> str:
    """Return a decimal as people write it: `12,345.5`, never an exponent, no zeros at the end of a fraction."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Step(NamedTuple):
    """One step of an amount's arithmetic: a fee, or quantity × price = amount, or a quantity that costs nothing.

    `what` names the fee ("tier fee"), the units ("packages of 100") or why nothing is owed ("included").
    """

    what: str
    amount: Decimal
    quantity: Decimal | None = None
    price: Decimal | None = None

    def __str__(self) -> str:
        if self.quantity is None:
            return f"{self.what} {plain(self.amount)}"
        if self.price is None:
            return f"{plain(self.quantity)} {self.what}"
        unit = f" {self.what}" if self.what else ""
        return f"{plain(self.quantity)}{unit} × {plain(self.price)} = {plain(self.amount)}"


class PriceModel(BaseModel):
    """What every price model offers: its fields (the YAML) and the steps that price a quantity.

    A model is a subclass in a file of its own in `rater/models`, with a `model` field that names it.
    """

    model_config = STRICT

    per_period: ClassVar[bool] = False
    """The amount is owed for the period, whatever is used; the charge counts no category."""

    @abstractmethod
    def steps(self, quantity: Decimal) -> Sequence[Step]:
        """Return the steps whose amounts sum to the exact amount of `quantity` (≥ 0). Call it inside `exact()`."""

    def owed(self, quantity: Decimal) -> Decimal:
        """Return the exact, unrounded amount of a quantity, in any decimal context."""
        with exact():
            return sum((step.amount for step in self.steps(quantity)), Decimal(0))


class Rounding(BaseModel):
    """An explicit rounding of a quantity to a multiple of `to`."""

    model_config = STRICT

    mode: RoundingMode
    to: Positive = Decimal(1)


class Conversion(BaseModel):
    """Counted units into priced units: × `multiply` or ÷ `divide`, then `round`. A GB is bytes ÷ 1,000,000,000."""

    model_config = STRICT

    unit: str = Field(default="", max_length=64)
    """What the priced units are called, as in `GB`."""
    multiply: Positive | None = None
    divide: Positive | None = None
    round: Rounding | None = None

    @model_validator(mode="after")
    def _exact(self) -> "Conversion":
        if self.multiply is not None and self.divide is not None:
            raise ValueError("give multiply or divide, not both")
        if self.divide is not None and self.round is None and not _divides_exactly(self.divide):
            raise ValueError(
                f"dividing by {plain(self.divide)} gives fractions that never end: say how to round, "
                "as in round: {mode: down, to: 0.01}"
            )
        return self

    def convert(self, quantity: Decimal) -> Decimal:
        """Return the priced units of a counted quantity, rounded at most once. Call it inside `exact()`."""
        divisor = self.divide or Decimal(1)
        product = quantity * self.multiply if self.multiply is not None else quantity
        if self.round is not None:
            return steps_in(product, divisor * self.round.to, self.round.mode) * self.round.to
        return product / divisor

    def explain(self, quantity: Decimal, converted: Decimal, unit: str) -> str:
        """Return the conversion as a person would write it down."""
        text = f"{plain(quantity)} {unit}".rstrip()
        if self.multiply is not None:
            text += f" × {plain(self.multiply)}"
        if self.divide is not None:
            text += f" ÷ {plain(self.divide)}"
        if self.round is not None:
            text += f", rounded {self.round.mode.replace('_', ' ')} to {plain(self.round.to)}"
        return f"{text} = {plain(converted)} {self.unit}".rstrip()


def _divides_exactly(divisor: Decimal) -> bool:
    """Say whether any integer over `divisor` ends within PLACES digits: divisor × 10^k divides 10^(k + PLACES)."""
    with exact():
        return (Decimal(10) ** PLACES) % divisor == 0
