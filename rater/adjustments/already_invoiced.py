"""already_invoiced: what interim statements of the period have billed comes off the closing one."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.sheet import FINE, Scope, Sheet
from rater.spreading import quotient
from schemas.prices import Step

ZERO = Decimal(0)


class AlreadyInvoiced(Adjustment):
    """Takes off, charge by charge, the amounts that the account says were invoiced in this period.

    It takes off all of it, also where usage was corrected below what was billed: the rest is owed back. What another
    line has taken off already it leaves, so that it may be listed for some charges, and the end takes the others.
    """

    title: ClassVar[str] = "Already invoiced"

    kind: Literal["already_invoiced"]

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write one line, spread as the interim statements were."""
        billed = {charge: amount for charge, amount in _left(sheet) if scope is None or charge in scope}
        if not billed:
            return
        parts = {charge: -sheet.rounded(amount) for charge, amount in billed.items()}
        exact_parts = {charge: -quotient(amount, 1, FINE, "half_even") for charge, amount in billed.items()}
        off, exact = sum(parts.values(), ZERO), sum(exact_parts.values(), ZERO)
        scope = tuple(billed)
        sheet.post(
            self.line_id,
            self.line_name,
            "already_invoiced",
            off,
            exact,
            tuple(_told(sheet, off)),
            scope=scope,
            parts=parts,
            exact_parts=exact_parts,
        )


def _left(sheet: Sheet) -> Iterator[tuple[str, Decimal]]:
    """Yield what was billed of each charge and not taken off yet."""
    off: Mapping[str, Decimal]
    left = dict(sheet.account.invoiced)
    for line in sheet.lines:
        off = line.spread if line.kind == "already_invoiced" else {}
        for charge, part in off.items():
            left[charge] = left.get(charge, ZERO) + part
    return ((charge, amount) for charge, amount in left.items() if amount)


def _told(sheet: Sheet, off: Decimal) -> Iterator[Step]:
    """Yield what came off, statement by statement where the account names them and all of them come off here."""
    named = sheet.account.statements
    if named and sum((amount for _, amount in named), ZERO) == -off:
        yield from (Step(f"{name}:", -amount) for name, amount in named)
    else:
        yield Step("billed by interim statements of this period", off)
