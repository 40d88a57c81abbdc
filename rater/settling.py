"""Settling: what a statement leaves on the account, grant by grant, so that a chain of periods is a fold.

For every balance: opened + granted + recharged = burned + refunded + expired + left.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from rater.account import Account, Balance
from rater.adjustments.account_credit import LINE as ACCOUNT_CREDIT
from rater.budget import with_reserved
from rater.burning import ends, opening, recharges, refunded
from rater.grants import Grant
from rater.memory import opening as opened_with
from rater.terms import Terms
from schemas.money import exact
from schemas.period import Period
from schemas.statements import Line, Statement

ZERO = Decimal(0)


class Movement(NamedTuple):
    """What became of one balance in a period; `left` is what goes on into the next."""

    balance: Balance
    """As the period opened with it; `left` is what was opened or granted."""
    new: bool
    """Granted in this period, and not carried over from the account."""
    recharged: Decimal
    burned: Decimal
    refunded: Decimal
    expired: Decimal
    left: Decimal


def after(
    account: Account,
    statement: Statement,
    grants: Iterable[Grant] = (),
    *,
    levels: Mapping[str, Decimal] | None = None,
    zone: str = "UTC",
    part: tuple[int, int] = (1, 1),
) -> Account:
    """Return the account as a period's closing statement leaves it. A pure fold over periods in their order.

    `grants`, `zone` and `part` are those that the statement was rated with. `levels` are the levels at the period's
    end, where weighted sums need them: a statement does not tell them. Nothing is invoiced of the next period yet.
    """
    listed = tuple(grants)
    found = movements(account, statement, listed, zone=zone, part=part)
    with exact():
        used = dict(account.used_before)
        for line in statement.lines:
            if line.kind == "charge" and line.usage:
                used[line.charge] = used.get(line.charge, ZERO) + line.quantity - line.refused
        notes = (line for line in statement.lines if line.kind == "credit" and line.charge == ACCOUNT_CREDIT)
        paid = -sum((line.amount for line in notes), ZERO)
        return Account(
            balances=_carried(found, {grant.id: grant for grant in listed}, statement.period),
            used_before=used,
            levels=account.levels if levels is None else levels,
            credit=account.credit - paid,
        )


def after_terms(
    found: Terms, account: Account, statement: Statement, *, levels: Mapping[str, Decimal] | None = None
) -> Account:
    """Return the account as a closing statement leaves it, by the terms that the statement was rated by."""
    grants = with_reserved(found.contract.grants, found.contract.budget or found.version.budget)
    opened = opened_with(found, account, statement.period)
    return after(opened, statement, grants, levels=levels, zone=found.contract.zone, part=found.days)


def movements(
    account: Account,
    statement: Statement,
    grants: Iterable[Grant],
    *,
    zone: str = "UTC",
    part: tuple[int, int] = (1, 1),
) -> tuple[Movement, ...]:
    """Return what became of every balance in a period, in burn order; last those whose grant is no longer listed.

    What ended before the period began, or whose grant the contract has dropped, expires whole.
    """
    by_id = {grant.id: grant for grant in grants}
    period = statement.period
    with exact():
        opened = opening(by_id.values(), account, period, zone=zone, part=part)
        before = {(balance.grant, balance.start) for balance in account.balances}
        found = [_moved(balance, by_id[balance.grant], statement, before) for balance in opened]
        found = _capped(found, by_id)
        there = {(balance.grant, balance.start) for balance in opened}
        gone = [balance for balance in account.balances if (balance.grant, balance.start) not in there]
    return (*found, *(Movement(balance, False, ZERO, ZERO, ZERO, balance.left, ZERO) for balance in gone))


def _moved(balance: Balance, grant: Grant, statement: Statement, before: set[tuple[str, dt.date]]) -> Movement:
    burned = -sum((line.amount for line in statement.lines if _burns(line, balance)), ZERO)
    bought = recharges(statement.lines, balance) * grant.recharge.amount if grant.recharge else ZERO
    left = balance.left + bought - burned
    given_back = left if refunded(grant, balance._replace(left=left), statement.period) else ZERO
    expired = left - given_back if ends(balance, statement.period) else ZERO
    new = (balance.grant, balance.start) not in before
    return Movement(balance, new, bought, burned, given_back, expired, left - given_back - expired)


def _burns(line: Line, balance: Balance) -> bool:
    return line.kind == "credit" and line.charge == balance.id


def _capped(found: list[Movement], grants: Mapping[str, Grant]) -> list[Movement]:
    """Lose what is over a rollover's cap, what was granted first first."""
    capped = list(found)
    for grant in grants.values():
        if grant.rollover is None or grant.rollover.cap is None:
            continue
        room = grant.rollover.cap
        ours = [place for place, move in enumerate(capped) if move.balance.grant == grant.id]
        for place in sorted(ours, key=lambda place: capped[place].balance.start, reverse=True):
            move = capped[place]
            kept = min(move.left, room)
            room -= kept
            capped[place] = move._replace(left=kept, expired=move.expired + move.left - kept)
    return capped


def _carried(found: Iterable[Movement], grants: Mapping[str, Grant], period: Period) -> tuple[Balance, ...]:
    """Return the balances that go on. Those of grants given once stay, used up or ended: they are never given twice."""
    carried: list[Balance] = []
    for move in found:
        balance = move.balance._replace(left=move.left)
        grant = grants.get(balance.grant)
        if grant is None:
            continue
        if grant.every == "once":
            carried.append(balance)
        elif move.left and not ends(balance, period):
            carried.append(balance._replace(rolled=balance.rolled + 1))
    return tuple(carried)
