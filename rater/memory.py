"""Whether a contract remembers, and what it forgets: what an earlier period left decides what a later one costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

from rater.account import Account
from rater.adjustments import AnyAdjustment
from rater.book import Charge
from rater.memo import Memo
from rater.terms import Terms
from schemas.period import Period


def remembers(found: Terms) -> bool:
    """Say whether rating the next period needs to know what this one leaves: credit, tiers that go on, levels."""
    return (
        bool(found.contract.grants)
        or _credits(found.version.adjustments)
        or _credits(found.adjustments)
        or any(
            # Worked out once for all organisations that share the charges.
            _REMEMBERING.get((segment.charges,), None, partial(_remember, segment.charges))
            for segment in found.segments
        )
    )


_REMEMBERING: Final[Memo[bool]] = Memo()


def _remember(charges: Mapping[str, Charge]) -> bool:
    return any(charge.cumulative or charge.by_level or _credits(charge.adjustments) for charge in charges.values())


def _credits(adjustments: Sequence[AnyAdjustment]) -> bool:
    return any(getattr(adjustment, "kind", "") == "account_credit" for adjustment in adjustments)


def opening(found: Terms, account: Account, period: Period) -> Account:
    """Return the account that a period opens with: tiers of a year that is over begin anew."""
    if not account.used_before:
        return account
    kept: Mapping[str, Decimal] = {
        id_: used for id_, used in account.used_before.items() if not _begins_anew(id_, found, period)
    }
    return account if len(kept) == len(account.used_before) else replace(account, used_before=kept)


def _begins_anew(id_: str, found: Terms, period: Period) -> bool:
    charge = found.charges.get(id_)
    if charge is None or isinstance(charge.cumulative, bool):
        return False
    cycle = found.contract.billing.cycle(found.signed.begins, charge.cumulative)
    day = cycle.day_of(period.start)
    return cycle.whole(day)[0] == day
