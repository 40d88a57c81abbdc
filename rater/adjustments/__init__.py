"""The adjustments, one kind a file. A file put into this folder is found by itself; nothing else has to be touched.

An adjustment is a subclass of `rater.adjustment.Adjustment` with a field `kind: Literal["its_name"]`, the fields that
a price book or a contract gives it, and `adjust(sheet, scope)`. Its golden table is
`tests/rater/golden_adjustments/its_name.yaml`.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final, get_args

from pydantic import Field

from rater.adjustment import Adjustment
from rater.adjustments.credits import refunds
from rater.sheet import Scope, Sheet
from schemas.money import exact


def kind_of(adjustment: type[Adjustment]) -> str:
    """Return the name by which a price book asks for an adjustment."""
    (kind,) = get_args(adjustment.model_fields["kind"].annotation)
    return str(kind)


def _found() -> dict[str, type[Adjustment]]:
    kinds: dict[str, type[Adjustment]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Adjustment) and value.__module__ == module.name:
                assert kind_of(value) not in kinds, f"two adjustments are called {kind_of(value)}"
                kinds[kind_of(value)] = value
    return kinds


ADJUSTMENTS: Final[dict[str, type[Adjustment]]] = _found()
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
                sheet.ran.add(kind_of(type(adjustment)))
                adjustment.adjust(sheet, adjustment.within(scope))


def finish(sheet: Sheet) -> None:
    """Run what nobody listed and the account or the contract asks for, and give back what ends unused.

    What interim statements billed comes off first; then the account's credit pays, then the grants.
    """
    asked = (
        ("already_invoiced", bool(sheet.account.invoiced)),
        ("account_credit", sheet.account.credit > 0),
        ("credits", bool(sheet.grants)),
    )
    unlisted = [kind for kind, there in asked if there and kind not in sheet.ran]
    if unlisted:
        apply([ADJUSTMENTS[kind].model_validate({"kind": kind}) for kind in unlisted], None, sheet)
    if sheet.balances:
        with exact():
            refunds(sheet)
