"""package: units are sold in packages; one begun is one owed (round: up), or only full ones are (round: down)."""

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
        if not quantity:
            return ()
        count = steps_in(quantity, self.package_size, self.round)
        what = f"{'package' if count == 1 else 'packages'} of {plain(self.package_size)}"
        return (Step(what, count * self.package_amount, count, self.package_amount),)
