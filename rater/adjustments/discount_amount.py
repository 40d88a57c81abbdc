"""discount_amount: an amount of money off what charges come to, never more than that."""

from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.sheet import Net, Scope, Sheet, come_to
from schemas.prices import Number, Step, plain


class DiscountAmount(Adjustment):
    """`amount` off the scope: `pro_rata` spreads it by what charges come to, `in_order` takes off one by one.

    In order means the statement's order. What is left of the amount when the scope comes to nothing is not kept: a
    grant keeps it.
    """

    title: ClassVar[str] = "Discount"

    kind: Literal["discount_amount"]
    amount: Number
    spread: Literal["pro_rata", "in_order"] = "pro_rata"

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Take the amount off, as far as there is something to take it off."""
        net = come_to(sheet.nets(scope))
        zero = Decimal(0)
        off = Net(min(sheet.rounded(self.amount), max(net.amount, zero)), min(self.amount, max(net.exact, zero)))
        what = "discount" if off.amount == self.amount else f"discount of {plain(self.amount)}, no more than is owed:"
        steps = (Step(what, -off.amount),)
        ordered = self.spread == "in_order"
        sheet.lower(self.line_id, self.line_name, "discount", off, steps, scope, ordered=ordered)
