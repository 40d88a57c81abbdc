"""Allotting: how much of the usage a budget pays for, decided before any price is asked, first come first served.

Reserved units come first and cost nothing here; what goes past them is paid from one pool that the charges share.
Usage takes its turn in event time: window by window, within a window by category id. Of a window's usage that does not
fit whole, as many whole units are billed as the pool still pays for; the rest, and all later usage of that charge, is
refused (with `past: true_forward`: billed at a later true-up). A charge that still fits goes on until its own turn to
be refused comes. The answer depends on the total of each window alone: not on how it is cut, nor on the rows' order.
"""

import datetime as dt
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from rater.budget import Budget
from schemas.money import RoundingMode, exact, steps_in

ZERO: Final = Decimal(0)


class Taker(NamedTuple):
    """A charge as the budget sees it: its categories, and what counted units of it cost and go past what is included.

    Both functions never fall. They are called inside `exact()`.
    """

    charge: str
    categories: tuple[str, ...]
    cost: Callable[[Decimal], Decimal]
    over: Callable[[Decimal], Decimal] = lambda _counted: ZERO


class Draw(NamedTuple):
    """The usage of one category in one window, in counted units."""

    start: dt.datetime
    category: str
    quantity: int | Decimal


@dataclass(frozen=True, slots=True)
class Allotment:
    """What is billed and what is not, in counted units by category: billed + refused + forwarded = used.

    `spent` is what of the pools was used, unrounded, by charge; `reserved_spent` of the reserved one; `left` what the
    shared pool still holds (None: it has no end); `units_left` the units past the included ones that are still
    allowed, by charge; `spent_at` the window in which each charge was first refused.
    """

    billed: Mapping[str, Decimal]
    refused: Mapping[str, Decimal]
    forwarded: Mapping[str, Decimal]
    spent: Mapping[str, Decimal]
    reserved_spent: Decimal
    left: Decimal | None
    units_left: Mapping[str, Decimal]
    spent_at: Mapping[str, dt.datetime]


def allot(
    budget: Budget,
    takers: Sequence[Taker],
    draws: Iterable[Draw],
    *,
    rank: Mapping[str, int] | None = None,
    step: Decimal = Decimal("0.01"),
    rounding: RoundingMode = "half_away",
) -> Allotment:
    """Return how much of the usage is billed.

    `rank` is the category ids by name (names without one come last, by name). `step` and `rounding` are those of the
    lines: neither the unrounded amounts nor the rounded lines of the charges pass a budget. Draws of a category that
    no taker counts are left out. Negative draws (corrections) come before all others, whole.
    """
    with exact():
        return _Run(budget, takers, step, rounding).answer(_turns(draws, takers, rank or {}))


def _turns(draws: Iterable[Draw], takers: Sequence[Taker], rank: Mapping[str, int]) -> list[Draw]:
    """Return one draw for each window and category, in the order in which they take their turn."""
    known = {category for taker in takers for category in taker.categories}
    totals: defaultdict[tuple[dt.datetime, str], Decimal] = defaultdict(Decimal)
    for start, category, quantity in draws:
        if category in known:
            totals[start, category] += Decimal(quantity)
    last = max(rank.values(), default=0) + 1

    def turn(draw: Draw) -> tuple[bool, dt.datetime, int, str]:
        return draw.quantity >= 0, draw.start, rank.get(draw.category, last), draw.category

    return sorted((Draw(*key, quantity) for key, quantity in totals.items()), key=turn)


@dataclass(slots=True)
class _Run:
    """One walk through the draws. `counted` is what was billed of each charge so far."""

    budget: Budget
    takers: Sequence[Taker]
    step: Decimal
    rounding: RoundingMode
    counted: dict[str, Decimal] = field(default_factory=dict)
    base: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    by_id: dict[str, Taker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for taker in self.takers:
            self.by_id[taker.charge] = taker
            self.counted[taker.charge] = ZERO
            self.base[taker.charge] = self._priced(taker.cost(ZERO))

    def answer(self, turns: list[Draw]) -> Allotment:
        """Bill the longest run of draws that fits whole, then the part of the next that fits; refuse its charge."""
        charge_of = {category: taker.charge for taker in self.takers for category in taker.categories}
        billed = dict.fromkeys((draw.category for draw in turns), ZERO)
        rest: defaultdict[str, Decimal] = defaultdict(Decimal)
        spent_at: dict[str, dt.datetime] = {}
        while turns:
            sums = _Sums(turns, charge_of)
            whole = _most(len(turns), partial(self._fit, sums))
            for draw in turns[:whole]:
                billed[draw.category] += draw.quantity
            for charge, more in sums.upto(whole).items():
                self.counted[charge] += more
            turns = turns[whole:]
            if not turns:
                break
            first, charge = turns[0], charge_of[turns[0].category]
            units = _most(int(first.quantity), partial(self._fits_more, charge))
            billed[first.category] += units
            self.counted[charge] += units
            rest[first.category] += first.quantity - units
            spent_at[charge] = first.start
            for draw in turns[1:]:
                if charge_of[draw.category] == charge:
                    rest[draw.category] += draw.quantity
            turns = [draw for draw in turns[1:] if charge_of[draw.category] != charge]
        return self._allotment(billed, {category: left for category, left in rest.items() if left}, spent_at)

    def _fit(self, sums: "_Sums", taken: int) -> bool:
        return self._fits(sums.upto(taken))

    def _fits_more(self, charge: str, units: int) -> bool:
        return self._fits({charge: Decimal(units)})

    def _fits(self, more: Mapping[str, Decimal]) -> bool:
        """Say whether every budget still pays when so much more is billed by charge."""
        exacts: dict[str, Decimal] = {}
        rounded: dict[str, Decimal] = {}
        for id_, taker in self.by_id.items():
            counted = self.counted[id_] + more.get(id_, ZERO)
            limit = self.budget.overage_units.get(id_)
            if limit is not None and taker.over(counted) > limit:
                return False
            fine, line = self._priced(taker.cost(counted))
            exacts[id_], rounded[id_] = fine - self.base[id_][0], line - self.base[id_][1]
            own = self.budget.by_charge.get(id_)
            if own is not None and max(exacts[id_], rounded[id_]) > own:
                return False
        pool = self.budget.amount
        return pool is None or max(self._drawn(exacts), self._drawn(rounded)) <= pool

    def _drawn(self, costs: Mapping[str, Decimal]) -> Decimal:
        """Return what the shared pool pays: what its charges cost, less what the reserved money pays of it."""
        shares = [id_ for id_ in costs if self._shares(id_)]
        return sum((costs[id_] for id_ in shares), ZERO) - self._advance(costs, shares)

    def _advance(self, costs: Mapping[str, Decimal], of: Iterable[str]) -> Decimal:
        reserved = self.budget.reserved
        if reserved is None:
            return ZERO
        return min(reserved.amount, sum((costs[id_] for id_ in of if id_ in reserved.charges), ZERO))

    def _shares(self, charge: str) -> bool:
        if charge in self.budget.by_charge:
            return False
        reserved = self.budget.reserved.charges if self.budget.reserved else ()
        return self.budget.charges is None or charge in self.budget.charges or charge in reserved

    def _priced(self, cost: Decimal) -> tuple[Decimal, Decimal]:
        return cost, steps_in(cost, self.step, self.rounding) * self.step

    def _allotment(
        self, billed: Mapping[str, Decimal], rest: Mapping[str, Decimal], spent_at: Mapping[str, dt.datetime]
    ) -> Allotment:
        costs = {id_: taker.cost(self.counted[id_]) - self.base[id_][0] for id_, taker in self.by_id.items()}
        pool = self.budget.amount
        forward = self.budget.past == "true_forward"
        return Allotment(
            billed=dict(billed),
            refused={} if forward else rest,
            forwarded=rest if forward else {},
            spent=costs,
            reserved_spent=self._advance(costs, costs),
            left=None if pool is None else pool - self._drawn(costs),
            units_left={
                id_: limit - self.by_id[id_].over(self.counted[id_])
                for id_, limit in self.budget.overage_units.items()
                if id_ in self.by_id
            },
            spent_at=dict(spent_at),
        )


class _Sums:
    """What the first draws come to, by charge, for any number of them."""

    def __init__(self, turns: Sequence[Draw], charge_of: Mapping[str, str]) -> None:
        self.places: defaultdict[str, list[int]] = defaultdict(list)
        self.totals: defaultdict[str, list[Decimal]] = defaultdict(lambda: [ZERO])
        for place, draw in enumerate(turns):
            charge = charge_of[draw.category]
            self.places[charge].append(place)
            self.totals[charge].append(self.totals[charge][-1] + draw.quantity)

    def upto(self, taken: int) -> dict[str, Decimal]:
        """Return the sum of the first `taken` draws by charge."""
        return {charge: self.totals[charge][bisect_left(places, taken)] for charge, places in self.places.items()}


def _most(high: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from 0 to `high` that fits, where smaller ones fit too."""
    if fits(high):
        return high
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
