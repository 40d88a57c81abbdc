"""volume: all units at the price of the tier that the total reaches; the amount may fall where a tier begins."""

from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar, Literal

from rater.tiers import Ladder, Tier, reached, scaled
from schemas.prices import Measure, PriceModel, Step


class Volume(PriceModel):
    """quantity × unit_amount of the tier reached + its flat_amount; at zero that is the first tier's flat_amount."""

    prorates: ClassVar[bool] = True

    model: Literal["volume"]
    tiers: Ladder

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the step of the units and that of the tier's fee, where there is something to say."""
        return _steps(reached(self.tiers, quantity), quantity)

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return quantity × unit_amount + flat_amount of the tier reached."""
        bounds = [tier.up_to for tier in self.tiers if tier.up_to is not None]
        prices = [(tier.unit_amount, tier.flat_amount) for tier in self.tiers]

        def amount(quantity: Decimal) -> Decimal:
            unit_amount, flat_amount = prices[bisect_left(bounds, quantity)]
            return quantity * unit_amount + flat_amount

        return amount

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return the steps of a quantity in the tier that is reached by the full one."""
        return _steps(reached(self.tiers, measure.full), measure.quantity)

    def scaled(self, factor: Decimal) -> "Volume":
        """Return the price of `factor` times as large quantities and amounts."""
        return self.model_copy(update={"tiers": scaled(self.tiers, factor)})


def _steps(tier: Tier, quantity: Decimal) -> tuple[Step, ...]:
    units = (Step("", quantity * tier.unit_amount, quantity, tier.unit_amount),) if quantity else ()
    return (*units, Step("tier fee", tier.flat_amount)) if tier.flat_amount else units
