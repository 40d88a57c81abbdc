"""Burning grants: which balances a period opens with, and in which order they pay."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

from rater.account import Account, Balance
from rater.grants import Grant
from schemas.period import Period, day_of, midnight
from schemas.statements import Line

BurnKey = Literal["priority", "end", "promotional", "oldest"]
BURN_ORDER: Final[tuple[BurnKey, ...]] = ("priority", "end", "promotional", "oldest")

_NEVER: Final = dt.datetime.max.replace(tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def opening(
    grants: Iterable[Grant], account: Account, period: Period, *, zone: str = "UTC", part: tuple[int, int] = (1, 1)
) -> tuple[Balance, ...]:
    """Return the balances that can pay in a period, before any of it is burned, in the order in which they pay.

    What the account holds of a listed grant goes on. A grant that it does not mention is untouched, and opens whole
    in the first period that it meets; a recurring one opens anew in every period. `part` is the share of its full
    length that the period has, for prorated grants of a first or last period.
    """
    by_id = {grant.id: grant for grant in grants}
    found: list[Balance] = []
    for balance in account.balances:
        grant = by_id.get(balance.grant)
        if grant is not None:
            agreed = _as_agreed(balance, grant, period, zone)
            if agreed.expires is None or agreed.expires > period.start:
                found.append(agreed)
    there = {(balance.grant, balance.start) for balance in found}
    touched = {balance.grant for balance in account.balances}
    for grant in by_id.values():
        since, until = midnight(grant.since, zone), None if grant.until is None else midnight(grant.until, zone)
        if since >= period.end or (until is not None and until <= period.start):
            continue
        if grant.every == "once":
            if grant.id not in touched:
                found.append(Balance(grant.id, grant.since, grant.granted(), until))
            continue
        start, end = max(since, period.start), min(until or period.end, period.end)
        day = day_of(start, zone)
        if (grant.id, day) not in there:
            covered, whole = _share(grant, start, end, period, zone)
            left = grant.granted(covered * part[0], whole * part[1]) if grant.prorated else grant.granted()
            found.append(Balance(grant.id, day, left, until if grant.rollover else end))
    return burn_order(found, by_id)


def burn_order(
    balances: Iterable[Balance], grants: Mapping[str, Grant], order: Sequence[BurnKey] = BURN_ORDER
) -> tuple[Balance, ...]:
    """Return balances in the order in which they are burned, whatever order they are given in.

    Lowest priority first, then earliest end, then promotional before paid, then oldest, unless `order` says otherwise;
    then by id. What was carried on is older than the period's own part and ends no later, and so is burned before it.
    """

    def key(balance: Balance) -> tuple[object, ...]:
        grant = grants[balance.grant]
        keys: dict[BurnKey, object] = {
            "priority": grant.priority,
            "end": balance.expires or _NEVER,
            "promotional": grant.source == "paid",
            "oldest": balance.start,
        }
        return (*(keys[name] for name in order), balance.grant, balance.start)

    return tuple(sorted(balances, key=key))


def bought_in(grant: Grant, balance: Balance, period: Period, zone: str = "UTC") -> bool:
    """Say whether a grant's balance starts in a period: that is when it is invoiced."""
    return period.start <= midnight(balance.start, zone) < period.end and grant.cost > 0


def ends(balance: Balance, period: Period) -> bool:
    """Say whether a balance is gone once the period is over."""
    return balance.expires is not None and balance.expires <= period.end


def refunded(grant: Grant, balance: Balance, period: Period) -> bool:
    """Say whether what is left of a balance is given back at the period's end."""
    return grant.unused == "refund" and balance.left > 0 and ends(balance, period)


def recharge_id(balance: Balance) -> str:
    """Return the id of the lines that recharge a balance."""
    return f"{balance.id}/recharge"


def recharges(lines: Iterable[Line], balance: Balance) -> Decimal:
    """Return how often lines recharge a balance."""
    ours = (line for line in lines if line.kind == "prepaid" and line.charge.startswith(recharge_id(balance)))
    return sum((line.quantity for line in ours), Decimal(0))


def replaced(balances: Sequence[Balance], new: Balance) -> tuple[Balance, ...]:
    """Return balances with one of them as it is now."""
    return tuple(new if (old.grant, old.start) == (new.grant, new.start) else old for old in balances)


def _as_agreed(balance: Balance, grant: Grant, period: Period, zone: str) -> Balance:
    """Return a balance with the end that its grant has now; one that may not be carried on once more ends here."""
    if grant.every == "period" and grant.rollover is None:
        return balance
    expires = None if grant.until is None else midnight(grant.until, zone)
    if grant.rollover and grant.rollover.periods is not None and balance.rolled >= grant.rollover.periods:
        expires = min(expires or period.end, period.end)
    return balance._replace(expires=expires)


def _share(grant: Grant, start: dt.datetime, end: dt.datetime, period: Period, zone: str) -> tuple[int, int]:
    """Return how much of a period lies between two instants, as numerator and denominator."""
    if grant.prorated == "days":
        first = day_of(period.start, zone)
        return (day_of(end, zone) - day_of(start, zone)).days, (day_of(period.end, zone) - first).days
    return (end - start) // _MICROSECOND, (period.end - period.start) // _MICROSECOND
