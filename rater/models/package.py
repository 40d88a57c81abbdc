"""package: units are sold in packages; one begun is one owed (round: up), or only full ones are (round: down)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from schemas.money import steps_in
from schemas.prices import Number, Positive, PriceModel, Step, plain


class Package(PriceModel):
    """⌈quantity / package_size⌉ × package_amount (⌊ ⌋ with `round: down`); nothing at zero."""

    model: Literal["package"]
    package_size: Positive
    package_amount: Number
    round: Literal["up", "down"] = "up"

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return one step, priced by the package; none for a quantity of zero."""
        return package_steps(quantity, self.package_size, self.package_amount, self.round)

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return packages × package_amount."""
        size, amount, mode = self.package_size, self.package_amount, self.round
        return lambda quantity: steps_in(quantity, size, mode) * amount

    def scaled(self, factor: Decimal) -> "Package":
        """Return the price of `factor` times as large quantities and amounts."""
        return self.model_copy(
            update={"package_size": self.package_size * factor, "package_amount": self.package_amount * factor}
        )


def package_steps(quantity: Decimal, size: Decimal, amount: Decimal, mode: Literal["up", "down"]) -> tuple[Step, ...]:
    """Return the step of a quantity in packages; none for a quantity of zero."""
    if not quantity:
        return ()
    count = steps_in(quantity, size, mode)
    what = f"{'package' if count == 1 else 'packages'} of {plain(size)}"
    return (Step(what, count * amount, count, amount),)
