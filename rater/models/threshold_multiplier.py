"""threshold_multiplier: all units at one price, times the factor of the threshold that the total reaches."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from schemas.prices import STRICT, Number, PriceModel, Step, plain

ONE = Decimal(1)


class Threshold(BaseModel):
    """From a quantity on (inclusive), the factor of every unit."""

    model_config = STRICT

    since: Number = Field(alias="from")
    multiplier: Number


class ThresholdMultiplier(PriceModel):
    """quantity × unit_amount × the multiplier of the last threshold that the quantity reaches; × 1 below the first."""

    model: Literal["threshold_multiplier"]
    unit_amount: Number
    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1, max_length=1000, strict=False)]

    @model_validator(mode="after")
    def _rises(self) -> "ThresholdMultiplier":
        for before, after in pairwise(self.thresholds):
            if after.since <= before.since:
                raise ValueError(
                    f"the threshold from {plain(after.since)} is not above that from {plain(before.since)}"
                )
        return self

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return one step; none for a quantity of zero."""
        if not quantity:
            return ()
        factor = next((found.multiplier for found in reversed(self.thresholds) if quantity >= found.since), ONE)
        amount = quantity * self.unit_amount * factor
        if factor == ONE:
            return (Step("", amount, quantity, self.unit_amount),)
        told = f"{plain(quantity)} × {plain(self.unit_amount)} × {plain(factor)} = {plain(amount)}"
        return (Step("", amount, quantity, self.unit_amount * factor, text=told),)

    def scaled(self, factor: Decimal) -> "ThresholdMultiplier":
        """Return the price of `factor` times as large quantities and amounts."""
        moved = tuple(found.model_copy(update={"since": found.since * factor}) for found in self.thresholds)
        return self.model_copy(update={"thresholds": moved})
