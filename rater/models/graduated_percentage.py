"""graduated_percentage: tiers over money; each tier takes its own percentage of what lies in it."""

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator

from rater.models.graduated import Graduated
from rater.tiers import LADDER, Bounded, Tier, climbs
from schemas.prices import Number, PriceModel, Step


class PercentTier(Bounded):
    """One tier: a percentage of the money in it, and a fee for reaching it."""

    percent: Number = Decimal(0)
    flat_amount: Number = Decimal(0)


class GraduatedPercentage(PriceModel):
    """Σ (money in the tier × its percent ÷ 100) + the flat_amount of every tier entered; the first is entered always.

    The quantity is an amount of money: a charge that is `cumulative` prices the later part of a longer period by it.
    """

    model: Literal["graduated_percentage"]
    tiers: Annotated[tuple[PercentTier, ...], LADDER, AfterValidator(climbs)]

    @cached_property
    def graduated(self) -> Graduated:
        """Return the same price with percentages as prices of a unit of money."""
        tiers = tuple(
            Tier(up_to=tier.up_to, unit_amount=tier.percent.scaleb(-2), flat_amount=tier.flat_amount)
            for tier in self.tiers
        )
        return Graduated.model_construct(model="graduated", tiers=tiers)

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the steps of the tiers entered, lowest first."""
        return self.graduated.steps(quantity)

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return that of percentages as prices of a unit of money."""
        return self.graduated.tariff()

    def scaled(self, factor: Decimal) -> "GraduatedPercentage":
        """Return the price of `factor` times as large quantities and amounts."""
        moved = tuple(
            tier.model_copy(
                update={
                    "up_to": None if tier.up_to is None else tier.up_to * factor,
                    "flat_amount": tier.flat_amount * factor,
                }
            )
            for tier in self.tiers
        )
        return GraduatedPercentage.model_construct(model=self.model, tiers=moved)
