"""per_unit: every unit at one price, which is never rounded itself."""

from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar, Literal

from schemas.prices import Number, PriceModel, Step


class PerUnit(PriceModel):
    """quantity × unit_amount."""

    prorates: ClassVar[bool] = True

    model: Literal["per_unit"]
    unit_amount: Number

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return one step; none for a quantity of zero."""
        return (Step("", quantity * self.unit_amount, quantity, self.unit_amount),) if quantity else ()

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return quantity × unit_amount."""
        unit_amount = self.unit_amount
        return lambda quantity: quantity * unit_amount

    def scaled(self, factor: Decimal) -> "PerUnit":  # noqa: ARG002 - what a unit costs is the same
        """Return the price itself."""
        return self
