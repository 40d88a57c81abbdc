"""maximum: where charges come to more, a line takes the excess off them."""

from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.adjustments.minimum import bound
from rater.sheet import Net, Scope, Sheet, come_to
from schemas.prices import Number, Step


class Maximum(Adjustment):
    """Charges in the scope come to at most `amount`; `prorated`: to the period's share of it."""

    title: ClassVar[str] = "Maximum"

    kind: Literal["maximum"]
    amount: Number
    prorated: bool = False

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Take off what is above the maximum, spread over the charges in proportion to what they come to."""
        net = come_to(sheet.nets(scope))
        amount, owed, told = bound(self.amount, "maximum", sheet, prorated=self.prorated)
        zero = Decimal(0)
        excess = Net(max(net.amount - amount, zero), max(net.exact - owed, zero))
        sheet.lower(self.line_id, self.line_name, "cap", excess, (told, Step("charged", -net.amount)), scope)
