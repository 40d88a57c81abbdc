"""commitment: an amount that several charges use up together; past it they cost more, short of it the rest is owed."""

from decimal import Decimal
from typing import ClassVar, Literal

from rater.adjustment import Adjustment
from rater.sheet import FINE, Scope, Sheet, come_to
from rater.spreading import in_order, pro_rata, quotient
from schemas.prices import Number, Positive, Step, plain


class MoneyCommitment(Adjustment):
    """`amount` is used up by the charges one after another, in the order of `charges`, else in the statement's.

    What goes past it costs `overage_factor` times as much, in a line of its own that falls on the charges that went
    past it. With `true_up`, what is not used up is owed.
    """

    title: ClassVar[str] = "Commitment"

    kind: Literal["commitment"]
    amount: Positive
    overage_factor: Number = Decimal(1)
    true_up: bool = False

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write the overage or the true-up, where there is either."""
        nets = sheet.nets(scope)
        if self.charges is not None:
            rank = {charge: number for number, charge in enumerate(self.charges)}
            nets = dict(sorted(nets.items(), key=lambda item: rank.get(item[0], len(rank))))
        net, zero = come_to(nets), Decimal(0)
        past = max(net.amount - self.amount, zero), max(net.exact - self.amount, zero)
        extra = self.overage_factor - 1
        if extra and (past[0] or past[1]):
            amount = sheet.rounded(past[0] * extra)
            exact = quotient(past[1] * extra, 1, FINE, "half_even")
            more = f"({plain(self.overage_factor)} − 1)"
            what = f"{plain(past[0])} past the commitment of {plain(self.amount)} × {more} ="
            amounts = _last({key: net.amount for key, net in nets.items()}, past[0])
            exacts = _last({key: net.exact for key, net in nets.items()}, past[1])
            sheet.post(
                self.line_id,
                f"{self.line_name}, overage",
                "commit",
                amount,
                exact,
                (Step(what, past[0] * extra),),
                scope=scope,
                parts=pro_rata(amount, amounts, sheet.step) if amount else None,
                exact_parts=pro_rata(exact, exacts, FINE) if exact else None,
            )
        lacking = max(self.amount - net.amount, zero), max(self.amount - net.exact, zero)
        if self.true_up and (lacking[0] or lacking[1]):
            told = Step("commitment", self.amount)
            steps = (told, Step("used", -net.amount)) if net.amount else (told,)
            name = f"{self.line_name}, true-up"
            sheet.post(self.line_id, name, "true_up", sheet.rounded(lacking[0]), lacking[1], steps, scope=scope)


def _last(nets: dict[str, Decimal], past: Decimal) -> dict[str, Decimal]:
    """Return which part of what is past the commitment falls on each charge: it is used up from the front."""
    parts = in_order(past, dict(reversed(nets.items())))
    return {key: parts[key] for key in nets if key in parts}
