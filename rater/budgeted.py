"""A pay-as-you-go budget at work: which usage of a period it does not pay for, before any price is asked."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from rater.allotment import Draw, Key, Phase, Taker, allot
from rater.book import Charge, priced_by
from rater.budget import Budget
from rater.cost import billable
from rater.lines import priced_units
from rater.pool import Missing, pool
from rater.runs import UNUSED, Run, Trouble, runs_of
from rater.sheet import Sheet
from rater.terms import Terms
from schemas.statements import OrgUsage

ZERO = Decimal(0)

Refused = Mapping[Key, Decimal]
"""Counted units that are used and not billed, by charge and the number of its run."""


def refused(found: Terms, usage: OrgUsage, sheet: Sheet, rank: Mapping[str, int]) -> Refused | Trouble:
    """Return what a budget does not pay for; the contract's stands in for the plan's. Call it inside `exact()`.

    Totals are enough where they fit whole, since then every part of them does. Otherwise usage is asked for by window,
    and so it is where a price changes inside the period: what was used before and after may cost otherwise.
    """
    budget = found.contract.budget or found.version.budget
    alone = len(found.segments) == 1
    if budget is None and (alone or not any(one.contract.budget or one.version.budget for one in found.segments)):
        return {}
    if wrong := _problem(found, budget):
        return wrong
    assert budget is not None, "there is no budget only where no segment has one, or they differ"
    limited = _limited(found, budget)
    takers = [_taker(id_, runs) for id_, runs in limited.items()]
    decide = partial(allot, budget, takers, rank=rank, step=sheet.step, rounding=sheet.rounding)
    categories = dict.fromkeys(category for runs in limited.values() for run in runs for category in run.charge.counted)
    whole = all(_throughout(runs, sheet) for runs in limited.values())
    answer = decide(list(_totals(categories, usage, sheet))) if whole else None
    if answer is None or answer.past:
        try:
            answer = decide(list(_windows(categories, usage, sheet)))
        except Missing as missing:
            return Trouble(missing.reason, "", f"a budget is spent window by window: {missing}")
    if budget.past == "true_forward":
        sheet.past_budget = "past the budget, not billed now: for a later true-up"
    return answer.past


def _problem(found: Terms, budget: Budget | None) -> Trouble | None:
    """Say why the budget cannot hold: it changes inside the period, or prices are not made for it."""
    for segment in found.segments:
        if (segment.contract.budget or segment.version.budget) != budget:
            told = "a budget that changes inside the period: let it change where a period begins"
            return Trouble("price_changes_inside_period", "", f"contract {found.contract.id} has {told}")
    if budget is None:
        return None
    known: dict[str, str] = {}
    for segment in found.segments:
        known |= priced_by(segment.charges)
    for segment in found.segments:
        if wrong := budget.problem({**known, **priced_by(segment.charges)}):
            return Trouble("budget_does_not_fit", "", f"plan {segment.plan_name}: {wrong}")
    return None


def _limited(found: Terms, budget: Budget) -> dict[str, list[Run]]:
    """Return the runs of the charges whose usage the budget may refuse."""
    charges: dict[str, Charge] = dict(found.charges)
    for segment in found.segments:
        charges |= {id_: charge for id_, charge in segment.charges.items() if id_ not in charges}
    counted = [id_ for id_, charge in charges.items() if not charge.price.per_period]
    return {id_: runs for id_ in budget.limited(counted) if (runs := runs_of(id_, found.segments))}


def _throughout(runs: Sequence[Run], sheet: Sheet) -> bool:
    [first, *later] = runs
    return not later and first.start <= sheet.period.start and first.end >= sheet.period.end


class _Priced(NamedTuple):
    """A run's price: what its counted units cost, and go past what is included, after so many at earlier prices."""

    cost: Callable[[Decimal], Decimal]
    over: Callable[[Decimal], Decimal]


def _priced(charge: Charge) -> _Priced:
    def cost(counted: Decimal) -> Decimal:
        units, _ = billable(priced_units(charge, counted), charge.included)
        return sum((step.amount for step in charge.price.steps(units)), ZERO)

    def over(counted: Decimal) -> Decimal:
        return max(priced_units(charge, counted) - (charge.included or ZERO), ZERO)

    return _Priced(cost, over)


def _taker(id_: str, runs: Sequence[Run]) -> Taker:
    """Return a charge as the budget sees it: each run costs rate(all so far) − rate(what earlier prices were for)."""
    prices = [_priced(run.charge) for run in runs]
    phases = tuple(Phase(run.start, run.end, run.charge.counted) for run in runs)
    if len(runs) == 1 and runs[0].since == runs[0].start:
        return Taker(id_, runs[0].charge.counted, *prices[0], phases)

    def each(of: Callable[[_Priced], Callable[[Decimal], Decimal]], counted: Sequence[Decimal]) -> Iterator[Decimal]:
        for number, (run, price) in enumerate(zip(runs, prices, strict=True)):
            before = earlier(runs, number, counted)
            less = of(price)(before) if run.since < run.start else ZERO
            yield of(price)(before + counted[number]) - less

    def cost(*counted: Decimal) -> tuple[Decimal, ...]:
        return tuple(each(lambda price: price.cost, counted))

    def over(*counted: Decimal) -> Decimal:
        return sum(each(lambda price: price.over, counted), ZERO)

    return Taker(id_, runs[-1].charge.counted, cost, over, phases)


def earlier(runs: Sequence[Run], number: int, of: Sequence[Decimal]) -> Decimal:
    """Return the sum of what the runs have that went before one of them, without a gap."""
    since = runs[number].since
    return sum((found for run, found in zip(runs[:number], of, strict=False) if run.since == since), ZERO)


def _totals(categories: Collection[str], usage: OrgUsage, sheet: Sheet) -> Iterator[Draw]:
    for category in categories:
        yield Draw(sheet.period.start, category, usage.categories.get(category, UNUSED).quantity)


def _windows(categories: Collection[str], usage: OrgUsage, sheet: Sheet) -> Iterator[Draw]:
    for category in categories:
        use = usage.categories.get(category, UNUSED)
        # By window wherever events are given too: what fits must not depend on what other prices ask for.
        for part in pool([use._replace(kept=())], sheet.period.start, sheet.period.end).pieces():
            yield Draw(part.start, category, part.quantity)
