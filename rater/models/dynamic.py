"""dynamic: the events carry what they cost; it is passed on, with a mark-up where one is agreed."""

from decimal import Decimal
from typing import Literal

from schemas.prices import Measure, Needs, Number, PriceModel, Step, plain

ONE = Decimal(1)


class Dynamic(PriceModel):
    """Σ amounts that the events carry × multiplier."""

    model: Literal["dynamic"]
    multiplier: Number = ONE

    @property
    def needs(self) -> Needs:
        """Return that the money of the events is priced, not their quantity."""
        return "amount"

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:  # noqa: ARG002 - a quantity alone costs nothing
        """Return nothing: without events nothing is passed on."""
        return ()

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return one step; none where the events carry nothing."""
        if not measure.amount:
            return ()
        owed = measure.amount * self.multiplier
        told = f"{plain(measure.amount)} carried by events"
        if self.multiplier != ONE:
            told += f" × {plain(self.multiplier)} = {plain(owed)}"
        return (Step("carried by events", owed, measure.amount, self.multiplier, text=told),)
