"""graduated: each tier's own units at its own price; more usage never reprices what was used before."""

from decimal import Decimal
from typing import Literal

from rater.tiers import Ladder
from schemas.prices import PriceModel, Step

ZERO = Decimal(0)


class Graduated(PriceModel):
    """Σ (units in the tier × its unit_amount) + the flat_amount of every tier entered.

    A tier is entered by any part of a unit past the bound before it. The first is entered always: at a quantity of
    zero its flat_amount is owed.
    """

    model: Literal["graduated"]
    tiers: Ladder

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the steps of the tiers entered, lowest first."""
        steps: list[Step] = []
        before = ZERO
        for tier in self.tiers:
            if quantity <= before and before:
                break
            bound = tier.up_to
            part = (quantity if bound is None or quantity <= bound else bound) - before
            if part:
                steps.append(Step("", part * tier.unit_amount, part, tier.unit_amount))
            if tier.flat_amount:
                steps.append(Step("tier fee", tier.flat_amount))
            if bound is None:
                break
            before = bound
        return tuple(steps)
