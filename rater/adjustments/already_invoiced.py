"""already_invoiced: what interim statements of the period have billed comes off the closing one."""

from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.sheet import FINE, Scope, Sheet
from rater.spreading import quotient
from schemas.prices import Step


class AlreadyInvoiced(Adjustment):
    """Takes off, charge by charge, the amounts that the account says were invoiced in this period.

    It takes off all of it, also where usage was corrected below what was billed: the rest is owed back.
    """

    title: ClassVar[str] = "Already invoiced"

    kind: Literal["already_invoiced"]

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write one line, spread as the interim statements were."""
        billed = {
            charge: amount
            for charge, amount in sheet.account.invoiced.items()
            if amount and (scope is None or charge in scope)
        }
        if not billed:
            return
        parts = {charge: -sheet.rounded(amount) for charge, amount in billed.items()}
        exact_parts = {charge: -quotient(amount, 1, FINE, "half_even") for charge, amount in billed.items()}
        off, exact = sum(parts.values(), Decimal(0)), sum(exact_parts.values(), Decimal(0))
        told = Step("billed by interim statements of this period", off)
        scope = tuple(billed)
        sheet.post(
            self.line_id,
            self.line_name,
            "already_invoiced",
            off,
            exact,
            (told,),
            scope=scope,
            parts=parts,
            exact_parts=exact_parts,
        )
