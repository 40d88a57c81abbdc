"""per_unit: every unit at one price, which is never rounded itself."""

from decimal import Decimal
from typing import Literal

from schemas.prices import Number, PriceModel, Step


class PerUnit(PriceModel):
    """quantity × unit_amount."""

    model: Literal["per_unit"]
    unit_amount: Number

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return one step; none for a quantity of zero."""
        return (Step("", quantity * self.unit_amount, quantity, self.unit_amount),) if quantity else ()
