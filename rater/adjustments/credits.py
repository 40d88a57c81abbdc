"""credits: the contract's grants pay what charges come to, in the order in which grants are burned."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from rater.account import Balance
from rater.adjustment import Adjustment
from rater.adjustments.discount_percent import PERCENT
from rater.burning import (
    BURN_ORDER,
    BurnKey,
    bought_in,
    burn_order,
    opening,
    recharge_id,
    recharges,
    refunded,
    replaced,
)
from rater.grants import Grant, Recharge
from rater.sheet import FINE, Net, Scope, Sheet, come_to
from rater.spreading import quotient
from schemas.prices import Step, plain


class Credits(Adjustment):
    """Burns the grants' balances in a total order: lowest priority, earliest end, promotional before paid, oldest.

    `order` names these in another order; two that are equal in all of them go by id.

    When all are burned, grants with a recharge are topped up, and grants with an overdraft go below zero, both in the
    same order. What no grant pays stays owed. Each balance that pays is a line of its own.
    """

    title: ClassVar[str] = "Credit"

    kind: Literal["credits"]
    order: Annotated[tuple[BurnKey, ...], Field(strict=False)] = BURN_ORDER

    @field_validator("order")
    @classmethod
    def _once(cls, order: tuple[BurnKey, ...]) -> tuple[BurnKey, ...]:
        if len(set(order)) != len(order):
            raise ValueError("a word of the order stands twice")
        return order

    def adjust(self, sheet: Sheet, scope: Scope) -> None:
        """Write a line for each grant that is bought, recharged or burned."""
        grants = {grant.id: grant for grant in sheet.grants}
        if sheet.balances is None:
            sheet.balances = opening(sheet.grants, sheet.account, sheet.period, zone=sheet.zone, part=sheet.part)
            for balance in sheet.balances:
                if bought_in(grants[balance.grant], balance, sheet.period, sheet.zone):
                    _buy(sheet, grants[balance.grant], balance)
        order = [(balance.grant, balance.start) for balance in burn_order(sheet.balances, grants, self.order)]
        for grant_id, start in order:
            _burn(sheet, grants[grant_id], _now(sheet, grant_id, start), scope, floor=Decimal(0))
        for grant_id, start in order:
            grant = grants[grant_id]
            if grant.recharge is not None:
                _recharge(sheet, grant, grant.recharge, _now(sheet, grant_id, start), scope)
        for grant_id, start in order:
            grant = grants[grant_id]
            if grant.overdraft is not None:
                limit = grant.overdraft.limit
                floor = None if limit is None else -limit
                _burn(sheet, grant, _now(sheet, grant_id, start), scope, floor=floor)


def refunds(sheet: Sheet) -> None:
    """Give back what is left of grants that end with the period and say `unused: refund`, at what was paid for it."""
    grants = {grant.id: grant for grant in sheet.grants}
    for balance in sheet.balances or ():
        grant = grants[balance.grant]
        if refunded(grant, balance, sheet.period):
            owed, worth = balance.left * grant.cost, grant.granted()
            exact = -quotient(owed, worth, FINE, "half_even")
            told = f"{plain(balance.left)} of {plain(worth)} unused, bought for {plain(grant.cost)}:"
            id_, name = f"{balance.id}/unused", f"{_name(grant)}, unused"
            sheet.post(id_, name, "refund", -sheet.rounded(owed, worth), exact, (Step(told, exact),), scope=())


def _now(sheet: Sheet, grant: str, start: object) -> Balance:
    return next(found for found in sheet.balances or () if (found.grant, found.start) == (grant, start))


def _name(grant: Grant) -> str:
    return grant.name or grant.id


def _buy(sheet: Sheet, grant: Grant, balance: Balance) -> None:
    """Invoice a grant; one that is prorated is paid for in the same proportion."""
    owed, worth = grant.cost * balance.left, grant.granted()
    exact = quotient(owed, worth, FINE, "half_even")
    told = f"credit worth {plain(balance.left)}"
    if grant.units is not None and grant.cost_basis is not None:
        told += f", {plain(grant.units)} {grant.unit} at {plain(grant.cost_basis)} each"
    if balance.left != worth:
        told += f", of {plain(worth)} for {plain(grant.cost)}"
    id_, name = f"{balance.id}/bought", f"{_name(grant)}, bought"
    sheet.post(id_, name, "prepaid", sheet.rounded(owed, worth), exact, (Step(f"{told}:", exact),), scope=())


def _burn(sheet: Sheet, grant: Grant, balance: Balance, scope: Scope, *, floor: Decimal | None) -> None:
    """Burn a balance down to `floor` (None: without end) for what it may pay in the scope."""
    allowed = _both(scope, grant.charges)
    net, zero = come_to(sheet.nets(allowed, paying=True)), Decimal(0)
    need, fine = max(net.amount, zero), max(net.exact, zero)
    if floor is not None:
        room = max(balance.left - floor, zero)
        need, fine = min(need, room // sheet.step * sheet.step), min(fine, room)
    if not need:
        return
    told = f"paid from {_left(grant, balance)}:" if balance.left > 0 else f"overdrawn from {_left(grant, balance)}:"
    sheet.lower(balance.id, _name(grant), "credit", Net(need, fine), (Step(told, -need),), allowed)
    sheet.balances = replaced(sheet.balances or (), balance._replace(left=balance.left - need))


def _left(grant: Grant, balance: Balance) -> str:
    if grant.rate is None or balance.left < 0:
        return f"{plain(balance.left)} left"
    return f"{plain(balance.left)} left ({grant.unit} at {plain(grant.rate)} each)"


def _recharge(sheet: Sheet, grant: Grant, rule: Recharge, balance: Balance, scope: Scope) -> None:
    """Buy as often as it takes to pay what is still owed and have no less than `below` left."""
    zero = Decimal(0)
    owed = max(come_to(sheet.nets(_both(scope, grant.charges), paying=True)).amount, zero)
    lacking = rule.below + owed - balance.left
    if lacking <= 0:
        return
    times = quotient(lacking, rule.amount, Decimal(1), "up")
    if rule.limit is not None:
        times = min(times, rule.limit - recharges(sheet.lines, balance))
    if times <= 0:
        return
    price = rule.amount * (1 - rule.discount_percent * PERCENT)
    what = f"{'recharge' if times == 1 else 'recharges'} of {plain(rule.amount)}"
    steps = [Step(what, times * rule.amount, times, rule.amount)]
    if rule.discount_percent:
        off = f"{plain(rule.discount_percent)} % off"
        steps.append(Step(off, times * (price - rule.amount)))
    cost = times * price
    id_ = recharge_id(balance)
    name = f"{_name(grant)}, recharged"
    sheet.post(id_, name, "prepaid", sheet.rounded(cost), cost, steps, scope=(), quantity=times, unit="recharges")
    sheet.balances = replaced(sheet.balances or (), balance._replace(left=balance.left + times * rule.amount))
    _burn(sheet, grant, _now(sheet, balance.grant, balance.start), scope, floor=zero)


def _both(scope: Scope, charges: list[str] | None) -> Scope:
    if charges is None:
        return scope
    return tuple(charge for charge in charges if scope is None or charge in scope)
