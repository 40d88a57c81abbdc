"""What a price is made of: numbers without floats, steps that explain an amount, and what every price model offers."""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.money import RoundingMode, exact, steps_in

PLACES: Final = 18
"""Digits after the point that a price or a priced quantity may have; the store's money columns hold as many."""
DIGITS: Final = 38

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

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

    `what` names the fee ("tier fee"), the units ("packages of 100") or why nothing is owed ("included"). `part` names
    the part of the usage (an hour, a group) where each is priced by itself. `text` is the whole step in words where it
    is none of these.
    """

    what: str
    amount: Decimal
    quantity: Decimal | None = None
    price: Decimal | None = None
    part: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {self._told()}" if self.part else self._told()

    def _told(self) -> str:
        if self.text:
            return self.text
        if self.quantity is None:
            return f"{self.what} {plain(self.amount)}"
        if self.price is None:
            return f"{plain(self.quantity)} {self.what}"
        unit = f" {self.what}" if self.what else ""
        return f"{plain(self.quantity)}{unit} × {plain(self.price)} = {plain(self.amount)}"


class Prorated(NamedTuple):
    """Usage that counts for a part of the period: its `full` quantity climbs the tiers, `counted` of it is priced."""

    full: Decimal
    counted: Decimal


class Measure(NamedTuple):
    """What a price model prices: a quantity in priced units (≥ 0), and what else its `needs` asks for.

    `events` is how many there were, `values` what each of them counts, in their order; `groups` the quantity of each
    combination of grouped attributes (canonical JSON), `amount` the money that the events carry. `prorated` is the
    usage in its order where it counts for a part of the period: `quantity` is what of it is priced.
    """

    quantity: Decimal
    events: int = 0
    values: Sequence[Decimal] = ()
    groups: Mapping[str, Decimal] = MappingProxyType({})
    amount: Decimal = Decimal(0)
    prorated: Sequence[Prorated] = ()

    @property
    def full(self) -> Decimal:
        """Return the quantity that says which tier is reached."""
        return sum((use.full for use in self.prorated), Decimal(0)) if self.prorated else self.quantity


Needs = Literal["quantity", "count", "events", "groups", "amount"]
"""What a model prices: a quantity, with it the number of events, each event, each group, or the money they carry."""


class NotPriced(Exception):
    """A model has no price for what was measured. `reason` is a FailureReason; the text says what and why."""

    def __init__(self, reason: Literal["no_rule", "needs_amount"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class PriceModel(BaseModel):
    """What every price model offers: its fields (the YAML) and the steps that price a quantity.

    A model is a subclass in a file of its own in `rater/models`, with a `model` field that names it. It has `steps`,
    and `price` too where it needs more than a quantity.
    """

    model_config = STRICT

    per_period: ClassVar[bool] = False
    """The amount is owed for the period, whatever is used; the charge counts no category."""
    prorates: ClassVar[bool] = False
    """The model prices usage that counts for a part of the period."""

    @property
    def needs(self) -> Needs:
        """Return what has to be measured."""
        return "quantity"

    @abstractmethod
    def steps(self, quantity: Decimal) -> Sequence[Step]:
        """Return the steps whose amounts sum to the exact amount of `quantity` (≥ 0). Call it inside `exact()`."""

    def price(self, measure: Measure) -> Sequence[Step]:
        """Return the steps whose amounts sum to the exact amount of what was measured. Call it inside `exact()`.

        Raises NotPriced.
        """
        return self.steps(measure.quantity)

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return the function from a quantity (≥ 0) to the sum of its `steps`, worked out once for many quantities.

        Call it, and what it returns, inside `exact()`. A model has its own where there is a shorter way to the sum.
        """
        steps = self.steps
        return lambda quantity: sum((step.amount for step in steps(quantity)), ZERO)

    def scaled(self, factor: Decimal) -> "PriceModel | None":  # noqa: ARG002 - most models have no such price
        """Return the price at which `factor` times a quantity costs `factor` times as much; None where there is none.

        It prices a quotient without rounding: the numerator, at the price scaled by the denominator, costs the
        denominator times what the quotient does.
        """
        return None

    def owed(self, quantity: Decimal) -> Decimal:
        """Return the exact, unrounded amount of a quantity, in any decimal context."""
        with exact():
            return sum((step.amount for step in self.steps(quantity)), ZERO)


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
        return self.converter()(quantity)

    def converter(self) -> Callable[[Decimal], Decimal]:
        """Return the function from a counted quantity to its priced units, worked out once for many quantities.

        Call it, and what it returns, inside `exact()`.
        """
        divisor = self.divide or ONE
        if self.round is None:
            factor = (self.multiply or ONE) / divisor  # this ends: `_exact` has seen to it
            return lambda quantity: quantity * factor
        product, to, mode = self.multiply or ONE, self.round.to, self.round.mode
        step = divisor * to
        return lambda quantity: steps_in(quantity * product, step, mode) * to

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
