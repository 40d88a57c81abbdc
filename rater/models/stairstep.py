"""stairstep: one fee for the tier that the total reaches, whatever is used within it."""

from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from rater.tiers import Ladder, reached, scaled
from schemas.prices import PriceModel, Step, plain


class Stairstep(PriceModel):
    """The flat_amount of the tier reached; at zero that of the first. A tier has no unit_amount."""

    model: Literal["stairstep"]
    tiers: Ladder

    @model_validator(mode="after")
    def _fees_alone(self) -> "Stairstep":
        if any(tier.unit_amount for tier in self.tiers):
            raise ValueError("a step costs its flat_amount: for a unit_amount too take the model volume")
        return self

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the fee of the tier reached."""
        tier = reached(self.tiers, quantity)
        what = "fee above all steps" if tier.up_to is None else f"fee up to {plain(tier.up_to)}"
        return (Step(what, tier.flat_amount),) if tier.flat_amount else ()

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return the flat_amount of the tier reached."""
        bounds = [tier.up_to for tier in self.tiers if tier.up_to is not None]
        fees = [tier.flat_amount for tier in self.tiers]
        return lambda quantity: fees[bisect_left(bounds, quantity)]

    def scaled(self, factor: Decimal) -> "Stairstep":
        """Return the price of `factor` times as large quantities and amounts."""
        return self.model_copy(update={"tiers": scaled(self.tiers, factor)})
