"""minimum: where charges come to less, a true-up line makes up the difference."""

from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.sheet import FINE, Scope, Sheet, come_to
from rater.spreading import quotient
from schemas.prices import Number, Step, plain


class Minimum(Adjustment):
    """Fees and usage in the scope come to at least `amount`; `prorated`: to the period's share of it.

    It is owed without any usage too.
    """

    title: ClassVar[str] = "Minimum true-up"

    kind: Literal["minimum"]
    amount: Number
    prorated: bool = False

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write a true-up line where there is something to make up."""
        net = come_to(sheet.nets(scope))
        [(amount, owed, told)] = [bound(self.amount, "minimum", sheet, prorated=self.prorated)]
        lacking, exact = amount - net.amount, owed - net.exact
        if lacking > 0 or exact > 0:
            steps = (told, Step("already charged", -net.amount)) if net.amount else (told,)
            id_, name = self.line_id, self.line_name
            zero = Decimal(0)
            sheet.post(id_, name, "true_up", max(lacking, zero), max(exact, zero), steps, scope=scope)


def bound(amount: Decimal, word: str, sheet: Sheet, *, prorated: bool) -> tuple[Decimal, Decimal, Step]:
    """Return a minimum or maximum as it holds in the period: rounded, unrounded, and in words."""
    covered, whole = sheet.part
    if not prorated or covered == whole:
        return sheet.rounded(amount), amount, Step(word, amount)
    owed = quotient(amount * covered, whole, FINE, "half_even")
    return sheet.rounded(amount * covered, whole), owed, Step(f"{word} {plain(amount)} × {covered}/{whole} =", owed)
