"""Allotting: how much of the usage a budget pays for, decided before any price is asked, first come first served.

Reserved units come first and cost nothing here; what goes past them is paid from one pool that the charges share.
Usage takes its turn in event time: window by window, within a window by category id. Of a window's usage that does not
fit whole, as many whole units are billed as the pool still pays for; the rest, and all later usage of that charge, is
refused (with `past: true_forward`: billed at a later true-up). A charge that still fits goes on until its own turn to
be refused comes. The answer depends on the total of each window alone: not on how it is cut, nor on the rows' order.
Where prices change inside the period, a charge has a phase for each: usage costs what it does at the price of its time.
"""

import datetime as dt
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from rater.budget import Budget
from schemas.money import RoundingMode, exact, steps_in

ZERO: Final = Decimal(0)


class Phase(NamedTuple):
    """Windows, from one that starts at `start` until one that starts at `end`, in which a charge has one price."""

    start: dt.datetime
    end: dt.datetime
    categories: tuple[str, ...]


class Taker(NamedTuple):
    """A charge as the budget sees it: its categories, and what counted units of it cost and go past what is included.

    `cost` and `over` are asked for counted units, those of each phase where it has `phases`. `cost` returns the amount
    of the charge's line, or of one for each phase. Neither falls where more is used. Called inside `exact()`.
    """

    charge: str
    categories: tuple[str, ...]
    cost: Callable[..., Decimal | tuple[Decimal, ...]]
    over: Callable[..., Decimal] = lambda *_counted: ZERO
    phases: tuple[Phase, ...] = ()

    def phase_of(self, draw: "Draw") -> int | None:
        """Return the number of the phase in which the charge counts a draw; None where it does in none."""
        if not self.phases:
            return 0 if draw.category in self.categories else None
        for number, phase in enumerate(self.phases):
            if draw.category in phase.categories and phase.start <= draw.start < phase.end:
                return number
        return None


Key = tuple[str, int]
"""A charge and the number of its phase."""
NOTHING: Final[Mapping[Key, Decimal]] = {}


class Draw(NamedTuple):
    """The usage of one category in one window, in counted units."""

    start: dt.datetime
    category: str
    quantity: int | Decimal


@dataclass(frozen=True, slots=True)
class Allotment:
    """What is billed and what is not, in counted units by category: billed + refused + forwarded = used.

    `past` is what was refused or forwarded by charge and phase.
    `spent` is what of the pools was used, unrounded, by charge; `reserved_spent` of the reserved one; `left` what the
    shared pool still holds (None: it has no end); `units_left` the units past the included ones that are still
    allowed, by charge; `spent_at` the window in which each charge was first refused.
    """

    billed: Mapping[str, Decimal]
    refused: Mapping[str, Decimal]
    forwarded: Mapping[str, Decimal]
    past: Mapping[Key, Decimal]
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


def _turns(draws: Iterable[Draw], takers: Sequence[Taker], rank: Mapping[str, int]) -> dict[Draw, Key]:
    """Return one draw for each window and category, in the order in which they take their turn, each with its key."""
    totals: defaultdict[tuple[dt.datetime, str], Decimal] = defaultdict(Decimal)
    for start, category, quantity in draws:
        totals[start, category] += Decimal(quantity)
    last = max(rank.values(), default=0) + 1

    def turn(draw: Draw) -> tuple[bool, dt.datetime, int, str]:
        return draw.quantity >= 0, draw.start, rank.get(draw.category, last), draw.category

    keyed = _keyed((Draw(*key, quantity) for key, quantity in totals.items()), takers)
    return dict(sorted(keyed, key=lambda item: turn(item[0])))


def _keyed(draws: Iterable[Draw], takers: Sequence[Taker]) -> Iterator[tuple[Draw, Key]]:
    """Yield the draws that a charge counts, each with the charge and its phase."""
    by_category: defaultdict[str, list[Taker]] = defaultdict(list)
    for taker in takers:
        for category in {*taker.categories, *(name for phase in taker.phases for name in phase.categories)}:
            by_category[category].append(taker)
    for draw in draws:
        for taker in by_category.get(draw.category, ()):
            if (number := taker.phase_of(draw)) is not None:
                yield draw, (taker.charge, number)
                break


@dataclass(slots=True)
class _Run:
    """One walk through the draws. `counted` is what was billed of each charge so far, by phase."""

    budget: Budget
    takers: Sequence[Taker]
    step: Decimal
    rounding: RoundingMode
    counted: defaultdict[Key, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    base: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    by_id: dict[str, Taker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for taker in self.takers:
            self.by_id[taker.charge] = taker
            self.base[taker.charge] = self._priced(taker.cost(*self._counts(taker)))

    def answer(self, keys: Mapping[Draw, Key]) -> Allotment:
        """Bill the longest run of draws that fits whole, then the part of the next that fits; refuse its charge."""
        turns = list(keys)
        billed = dict.fromkeys((draw.category for draw in turns), ZERO)
        rest: defaultdict[str, Decimal] = defaultdict(Decimal)
        past: defaultdict[Key, Decimal] = defaultdict(Decimal)
        spent_at: dict[str, dt.datetime] = {}
        while turns:
            sums = _Sums(turns, keys)
            whole = _most(len(turns), partial(self._fit, sums))
            for draw in turns[:whole]:
                billed[draw.category] += draw.quantity
            for key, more in sums.upto(whole).items():
                self.counted[key] += more
            turns = turns[whole:]
            if not turns:
                break
            first, charge = turns[0], keys[turns[0]][0]
            units = _most(int(first.quantity), partial(self._fits_more, keys[first]))
            billed[first.category] += units
            self.counted[keys[first]] += units
            spent_at[charge] = first.start
            refused = [(first, first.quantity - units)]
            refused += [(draw, draw.quantity) for draw in turns[1:] if keys[draw][0] == charge]
            for draw, quantity in refused:
                rest[draw.category] += quantity
                past[keys[draw]] += quantity
            turns = [draw for draw in turns[1:] if keys[draw][0] != charge]
        return self._allotment(billed, {category: left for category, left in rest.items() if left}, past, spent_at)

    def _counts(self, taker: Taker, more: Mapping[Key, Decimal] = NOTHING) -> Iterator[Decimal]:
        """Yield what is billed of a charge in each of its phases, with so much more."""
        for number in range(len(taker.phases) or 1):
            key = taker.charge, number
            yield self.counted[key] + more.get(key, ZERO)

    def _fit(self, sums: "_Sums", taken: int) -> bool:
        return self._fits(sums.upto(taken))

    def _fits_more(self, key: Key, units: int) -> bool:
        return self._fits({key: Decimal(units)})

    def _fits(self, more: Mapping[Key, Decimal]) -> bool:
        """Say whether every budget still pays when so much more is billed by charge and phase."""
        exacts: dict[str, Decimal] = {}
        rounded: dict[str, Decimal] = {}
        for id_, taker in self.by_id.items():
            counted = tuple(self._counts(taker, more))
            limit = self.budget.overage_units.get(id_)
            if limit is not None and taker.over(*counted) > limit:
                return False
            fine, line = self._priced(taker.cost(*counted))
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

    def _priced(self, cost: Decimal | tuple[Decimal, ...]) -> tuple[Decimal, Decimal]:
        """Return what lines come to, unrounded and each rounded."""
        lines = cost if isinstance(cost, tuple) else (cost,)
        rounded = (steps_in(line, self.step, self.rounding) * self.step for line in lines)
        return sum(lines, ZERO), sum(rounded, ZERO)

    def _allotment(
        self,
        billed: Mapping[str, Decimal],
        rest: Mapping[str, Decimal],
        past: Mapping[Key, Decimal],
        spent_at: Mapping[str, dt.datetime],
    ) -> Allotment:
        counts = {id_: tuple(self._counts(taker)) for id_, taker in self.by_id.items()}
        costs = {
            id_: self._priced(taker.cost(*counts[id_]))[0] - self.base[id_][0] for id_, taker in self.by_id.items()
        }
        pool = self.budget.amount
        forward = self.budget.past == "true_forward"
        return Allotment(
            billed=dict(billed),
            refused={} if forward else rest,
            forwarded=rest if forward else {},
            past={key: left for key, left in past.items() if left},
            spent=costs,
            reserved_spent=self._advance(costs, costs),
            left=None if pool is None else pool - self._drawn(costs),
            units_left={
                id_: limit - self.by_id[id_].over(*counts[id_])
                for id_, limit in self.budget.overage_units.items()
                if id_ in self.by_id
            },
            spent_at=dict(spent_at),
        )


class _Sums:
    """What the first draws come to, by charge and phase, for any number of them."""

    def __init__(self, turns: Sequence[Draw], keys: Mapping[Draw, Key]) -> None:
        self.places: defaultdict[Key, list[int]] = defaultdict(list)
        self.totals: defaultdict[Key, list[Decimal]] = defaultdict(lambda: [ZERO])
        for place, draw in enumerate(turns):
            key = keys[draw]
            self.places[key].append(place)
            self.totals[key].append(self.totals[key][-1] + draw.quantity)

    def upto(self, taken: int) -> dict[Key, Decimal]:
        """Return the sum of the first `taken` draws by charge and phase."""
        return {key: self.totals[key][bisect_left(places, taken)] for key, places in self.places.items()}


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
