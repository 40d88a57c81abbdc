"""graduated: each tier's own units at its own price; more usage never reprices what was used before."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

from rater.tiers import Ladder, Tier, scaled
from schemas.prices import Measure, PriceModel, Prorated, Step

ZERO = Decimal(0)


class Graduated(PriceModel):
    """Σ (units in the tier × its unit_amount) + the flat_amount of every tier entered.

    A tier is entered by any part of a unit past the bound before it. The first is entered always: at a quantity of
    zero its flat_amount is owed.
    """

    prorates: ClassVar[bool] = True

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

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return the amount at the bound before the tier reached + what of the quantity is in it × its unit_amount."""
        bounds: list[Decimal] = []
        rungs: list[tuple[Decimal, Decimal, Decimal]] = []
        before = below = ZERO
        for tier in self.tiers:
            entered = below + tier.flat_amount
            rungs.append((before, entered, tier.unit_amount))
            if tier.up_to is None:
                break
            bounds.append(tier.up_to)
            below = entered + (tier.up_to - before) * tier.unit_amount
            before = tier.up_to

        def amount(quantity: Decimal) -> Decimal:
            bottom, entered, unit_amount = rungs[bisect_left(bounds, quantity)]
            return entered + (quantity - bottom) * unit_amount

        return amount

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return the steps of a quantity, or of usage that counts for a part of the period."""
        return prorated_steps(self.tiers, measure.prorated) if measure.prorated else self.steps(measure.quantity)

    def scaled(self, factor: Decimal) -> "Graduated":
        """Return the price of `factor` times as large quantities and amounts."""
        return self.model_copy(update={"tiers": scaled(self.tiers, factor)})


def prorated_steps(tiers: Sequence[Tier], usage: Sequence[Prorated]) -> tuple[Step, ...]:
    """Return the steps of usage that climbs by what it is in full and is priced by what of it counts.

    Usage that lies in several tiers counts in each in proportion. A tier once entered keeps its fee.
    """
    steps: list[Step] = []
    level = highest = ZERO
    for use in usage:
        after = level + use.full
        low, high = min(level, after), max(level, after)
        for bottom, tier in _rungs(tiers, high):
            inside = (high if tier.up_to is None else min(high, tier.up_to)) - max(low, bottom)
            if inside > 0:
                # Exact: what counts is a whole number of instants, and all quantities here are scaled by the period's.
                part = inside * use.counted / abs(use.full)
                steps.append(Step("", part * tier.unit_amount, part, tier.unit_amount))
        level, highest = after, max(highest, after)
    fees = (tier.flat_amount for _, tier in _rungs(tiers, highest))
    return (*steps, *(Step("tier fee", fee) for fee in fees if fee))


def _rungs(tiers: Sequence[Tier], top: Decimal) -> Iterator[tuple[Decimal, Tier]]:
    """Yield every tier that is entered below `top`, with the bound before it; the first always."""
    bottom = ZERO
    for tier in tiers:
        if top <= bottom and bottom:
            return
        yield bottom, tier
        if tier.up_to is None:
            return
        bottom = tier.up_to
