"""account_credit: money in the customer's favour, from credit notes, pays what is owed."""

from decimal import Decimal
from typing import ClassVar, Final, Literal

from rater.adjustment import Adjustment
from rater.sheet import Net, Scope, Sheet, come_to
from schemas.prices import Step, plain

LINE: Final = "account_credit"


class AccountCredit(Adjustment):
    """Takes the account's credit off what the scope comes to; what is not needed stays on the account."""

    title: ClassVar[str] = "Account credit"

    kind: Literal["account_credit"]

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Take the credit off, as far as there is something to pay."""
        net, zero = come_to(sheet.nets(scope, paying=True)), Decimal(0)
        used = -sum((line.amount for line in sheet.lines if line.kind == "credit" and line.charge == LINE), zero)
        left = sheet.account.credit - used
        off = Net(min(left // sheet.step * sheet.step, max(net.amount, zero)), min(left, max(net.exact, zero)))
        if off.amount > 0:
            told = Step(f"paid from the credit of {plain(left)}:", -off.amount)
            sheet.lower(LINE, self.line_name, "credit", off, (told,), scope)
