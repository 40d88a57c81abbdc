"""A pay-as-you-go budget at work: which usage of a period it does not pay for, before any price is asked."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial

from rater.allotment import Draw, Taker, allot
from rater.book import Charge, priced_by
from rater.cost import billable
from rater.lines import priced_units
from rater.pool import Missing, pool
from rater.runs import UNUSED, Trouble
from rater.sheet import Sheet
from rater.terms import Terms
from schemas.statements import OrgUsage

ZERO = Decimal(0)

Refused = Mapping[str, Decimal]
"""Counted units by charge that are used and not billed."""


def refused(found: Terms, usage: OrgUsage, sheet: Sheet, rank: Mapping[str, int]) -> Refused | Trouble:
    """Return what a budget does not pay for; the contract's stands in for the plan's. Call it inside `exact()`.

    Totals are enough where they fit whole, since then every part of them does. Otherwise usage is asked for by window.
    """
    budget = found.contract.budget or found.version.budget
    if budget is None:
        return {}
    charges = {id_: charge for id_, charge in found.charges.items() if not charge.price.per_period}
    if wrong := budget.problem(priced_by(charges)):
        return Trouble("budget_does_not_fit", "", f"plan {found.plan_name}: {wrong}")
    if len(found.segments) > 1:
        told = (
            "a budget over a period in which prices change: say retroactive, or let them change where a period begins"
        )
        return Trouble("price_changes_inside_period", "", f"contract {found.contract.id} has {told}")
    limited = {id_: charges[id_] for id_ in budget.limited(charges)}
    takers = [_taker(id_, charge) for id_, charge in limited.items()]
    decide = partial(allot, budget, takers, rank=rank, step=sheet.step, rounding=sheet.rounding)
    answer = decide(list(_totals(limited, usage, sheet)))
    if answer.refused or answer.forwarded:
        try:
            answer = decide(list(_windows(limited, usage, sheet)))
        except Missing as missing:
            return Trouble(missing.reason, "", f"a budget is spent window by window: {missing}")
    if budget.past == "true_forward":
        sheet.past_budget = "past the budget, not billed now: for a later true-up"
    past = {**answer.refused, **answer.forwarded}
    return {id_: sum((past.get(name, ZERO) for name in charge.counted), ZERO) for id_, charge in limited.items()}


def _taker(id_: str, charge: Charge) -> Taker:
    def cost(counted: Decimal) -> Decimal:
        units, _ = billable(priced_units(charge, counted), charge.included)
        return sum((step.amount for step in charge.price.steps(units)), ZERO)

    def over(counted: Decimal) -> Decimal:
        return max(priced_units(charge, counted) - (charge.included or ZERO), ZERO)

    return Taker(id_, charge.counted, cost, over)


def _totals(limited: Mapping[str, Charge], usage: OrgUsage, sheet: Sheet) -> Iterator[Draw]:
    for charge in limited.values():
        for category in charge.counted:
            yield Draw(sheet.period.start, category, usage.categories.get(category, UNUSED).quantity)


def _windows(limited: Mapping[str, Charge], usage: OrgUsage, sheet: Sheet) -> Iterator[Draw]:
    for charge in limited.values():
        for category in charge.counted:
            use = usage.categories.get(category, UNUSED)
            # By window wherever events are given too: what fits must not depend on what other prices ask for.
            for part in pool([use._replace(kept=())], sheet.period.start, sheet.period.end).pieces():
                yield Draw(part.start, category, part.quantity)
