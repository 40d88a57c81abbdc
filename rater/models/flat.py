"""flat: an amount for the period, whatever is used."""

from decimal import Decimal
from typing import ClassVar, Literal

from schemas.prices import Number, PriceModel, Step


class Flat(PriceModel):
    """The fee of a period; the charge counts no category."""

    per_period: ClassVar[bool] = True

    model: Literal["flat"]
    amount: Number

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:  # noqa: ARG002 - the fee is owed whatever is used
        """Return the fee."""
        return (Step("fee", self.amount),)
