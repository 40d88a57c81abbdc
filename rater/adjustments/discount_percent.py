"""discount_percent: so many of a hundred off what charges come to; one after another they chain."""

from decimal import Decimal
from typing import ClassVar, Final, Literal

from pydantic import Field

from rater.adjustment import Adjustment
from rater.sheet import FINE, Net, Scope, Sheet, come_to
from rater.spreading import quotient
from schemas.prices import Number, Step, plain

PERCENT: Final = Decimal("0.01")


class DiscountPercent(Adjustment):
    """`percent` % off what the scope comes to by then, so that 10 % and 10 % are 19 %."""

    title: ClassVar[str] = "Discount"

    kind: Literal["discount_percent"]
    percent: Number = Field(le=100)

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Take the discount off, rounded once and spread over the charges in proportion to what they come to."""
        net = come_to(sheet.nets(scope))
        zero = Decimal(0)
        base, fine = max(net.amount, zero), max(net.exact, zero)
        off = sheet.rounded(base * self.percent * PERCENT)
        told = Step(f"{plain(self.percent)} % of {plain(base)} =", -(base * self.percent * PERCENT))
        exact = quotient(fine * self.percent * PERCENT, 1, FINE, "half_even")
        sheet.lower(self.line_id, self.line_name, "discount", Net(off, exact), (told,), scope)
