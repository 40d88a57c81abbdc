"""The adjustments, one kind a file. A file put into this folder is found by itself; nothing else has to be touched.

An adjustment is a subclass of `rater.adjustment.Adjustment` with a field `kind: Literal["its_name"]`, the fields that
a price book or a contract gives it, and `adjust(sheet, scope)`. Its golden table is
`tests/rater/golden_adjustments/its_name.yaml`.
"""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from rater.adjustment import Adjustment
from rater.adjustments.credits import refunds
from rater.registry import kinds_in, name_in
from rater.sheet import Scope, Sheet
from schemas.money import exact

ADJUSTMENTS: Final[dict[str, type[Adjustment]]] = kinds_in(__name__, __path__, Adjustment, "kind")  # type: ignore[type-abstract]  # a subclass is made
"""Every kind of adjustment by its name."""

if TYPE_CHECKING:
    AnyAdjustment = Adjustment
else:
    AnyAdjustment = Annotated[reduce(or_, ADJUSTMENTS.values()), Field(discriminator="kind")]


def apply(adjustments: Iterable[Adjustment], scope: Scope, sheet: Sheet) -> None:
    """Run adjustments in their listed order over what is in a scope: a charge's lines, or everything (None)."""
    with exact():
        for adjustment in adjustments:
            if adjustment.holds(sheet.period, sheet.zone):
                sheet.ran.add(name_in(type(adjustment), "kind"))
                adjustment.adjust(sheet, adjustment.within(scope))


def finish(sheet: Sheet) -> None:
    """Run what nobody listed and the account or the contract asks for, and give back what ends unused.

    What interim statements billed comes off first, all that no listed adjustment took off; then the account's credit
    pays, then the grants.
    """
    if sheet.account.invoiced:
        apply([ADJUSTMENTS["already_invoiced"].model_validate({"kind": "already_invoiced"})], None, sheet)
    asked = (
        ("account_credit", sheet.account.credit > 0),
        ("credits", bool(sheet.grants)),
    )
    unlisted = [kind for kind, there in asked if there and kind not in sheet.ran]
    if unlisted:
        apply([ADJUSTMENTS[kind].model_validate({"kind": kind}) for kind in unlisted], None, sheet)
    if sheet.balances:
        with exact():
            refunds(sheet)
