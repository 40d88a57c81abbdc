"""volume: all units at the price of the tier that the total reaches; the amount may fall where a tier begins."""

from decimal import Decimal
from typing import Literal

from rater.tiers import Ladder, reached
from schemas.prices import PriceModel, Step


class Volume(PriceModel):
    """quantity × unit_amount of the tier reached + its flat_amount; at zero that is the first tier's flat_amount."""

    model: Literal["volume"]
    tiers: Ladder

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the step of the units and that of the tier's fee, where there is something to say."""
        tier = reached(self.tiers, quantity)
        units = (Step("", quantity * tier.unit_amount, quantity, tier.unit_amount),) if quantity else ()
        return (*units, Step("tier fee", tier.flat_amount)) if tier.flat_amount else units
