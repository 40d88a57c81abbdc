"""A stored statement by itself: its lines are their steps, its total is its lines."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from schemas.differences import Checked, Number, Place, plus
from schemas.money import MINOR_STEPS, round_to
from schemas.period import Period
from tally.units import show_moment

SHOWN: Final = Decimal("1e-12")
"""Less than any price's own digits: what thousands of steps, each shown to 18 digits, may add up to."""


class Bill(NamedTuple):
    """A stored statement."""

    org_id: int
    contract: str
    currency: str
    total: Decimal
    snapshot_id: str
    rated_at: int
    lines: tuple[dict[str, Any], ...]
    interim: int = 0
    """Its number, where it was billed before the end of its period."""

    def usage(self) -> dict[str, Number]:
        """Return what the lines say was used of each category; those of a price that changed have a part each."""
        found: dict[str, Number] = {}
        for line in self.lines:
            for category, used in line["detail"].get("usage", {}).items():
                found[category] = plus(found.get(category, 0), number_of(used.get("quantity")))
        return found


def check_sums(bill: Bill, period: Period, lines: Checked, totals: Checked) -> None:
    """Compare every line with its steps, and the total with the lines."""
    total: Number = 0
    for line in bill.lines:
        detail, place = line["detail"], {**place_of(bill, period), "line": line["line_no"]}
        exact, steps = number_of(detail.get("exact")), Decimal(0)
        for step in detail.get("steps", ()):
            steps = Decimal(plus(steps, number_of(step.get("amount"))))
        if detail.get("kind", "charge") == "charge":
            lines.compare({**place, "column": "exact"}, _near(steps, exact), exact, summed=False)
        else:
            exact = steps  # of an adjustment, what was rounded; its unrounded amount is beside it
        lines.compare(
            {**place, "column": "quantity"}, number_of(detail.get("quantity")), line["quantity"], summed=False
        )
        lines.compare({**place, "column": "amount"}, _rounded(exact, bill, detail, line["amount"]), line["amount"])
        total = plus(total, line["amount"])
    totals.compare(place_of(bill, period), total, bill.total)


def _rounded(exact: Decimal, bill: Bill, detail: Mapping[str, Any], amount: Decimal) -> Decimal:
    """Return what a line's amount has to be.

    A true-up of a commitment is rounded together with its charge, so that the two come to the commitment: on its own it
    may be less than a minor unit away.
    """
    step = MINOR_STEPS[bill.currency]
    together = detail.get("kind") == "true_up" and abs(exact - amount) < step
    return amount if together else round_to(exact, step, detail.get("rounding", "half_away"))


def _near(steps: Decimal, exact: Decimal) -> Decimal:
    """Return the sum of steps; the exact amount where quotients that never end, shown to 18 digits, are the rest."""
    return exact if abs(steps - exact) < SHOWN else steps


def place_of(bill: Bill, period: Period) -> Place:
    """Return what names a statement."""
    number = {"interim": bill.interim} if bill.interim else {}
    return {"org_id": bill.org_id, "contract": bill.contract, "period_start": show_moment(period.start), **number}


def document_of(text: str) -> dict[str, Any]:
    """Return a line's detail; what is none is empty, and differs from what it should be."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def number_of(text: object) -> Decimal:
    """Return a number of a line's detail; what is none is 0, and differs from what it should be."""
    try:
        return Decimal(text) if isinstance(text, str) else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
