"""What other prices or contracts would change: the same usage rated twice, compared statement by statement.

Both sides stream in the same order, by period and organisation, and are merged: memory holds one statement of each,
the sums by charge, and the few largest differences.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from schemas.money import exact
from schemas.period import Period
from schemas.statements import RatingFailure
from tally.rated import Rated

ZERO: Final = Decimal(0)

State = Literal["more", "less", "same", "new", "gone", "other_currency", "failed"]
"""What becomes of a statement. `new` and `gone`: only one side has such a billing period. `failed`: what is owed cannot
be said on one side, or on both."""


class Rerated(NamedTuple):
    """A rating, and the totals by category that it was made of."""

    rated: Rated
    used: Mapping[str, int | Decimal]


class Side(NamedTuple):
    """A statement before or after: its total, its amounts by charge, what could not be priced, and the usage."""

    contract: str
    total: Decimal
    currency: str
    charges: Mapping[str, Decimal]
    failures: tuple[RatingFailure, ...]
    used: Mapping[str, int | Decimal]


class Compared(NamedTuple):
    """One organisation's billing period, before and after; None where a side has none."""

    org_id: int
    period: Period
    before: Side | None
    after: Side | None

    @property
    def state(self) -> State:
        """Return what becomes of the statement."""
        if any(side is not None and side.failures for side in (self.before, self.after)):
            return "failed"
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if self.before.currency != self.after.currency:
            return "other_currency"
        if self.before.total == self.after.total:
            return "same"
        return "more" if self.after.total > self.before.total else "less"

    @property
    def difference(self) -> Decimal | None:
        """Return how much more is owed; None where the two cannot be compared."""
        if self.state in ("failed", "other_currency"):
            return None
        with exact():
            return (self.after.total if self.after else ZERO) - (self.before.total if self.before else ZERO)

    @property
    def currency(self) -> str:
        """Return the currency, that of after where there are two."""
        return (self.after or self.before or _NOTHING).currency

    def by_charge(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return what each charge came to before and after, those of before first."""
        before, after = (self.before or _NOTHING).charges, (self.after or _NOTHING).charges
        return {charge: (before.get(charge, ZERO), after.get(charge, ZERO)) for charge in {**before, **after}}


_NOTHING: Final = Side("", ZERO, "", {}, (), {})


def compared(before: Iterable[Rerated], after: Iterable[Rerated]) -> Iterator[Compared]:
    """Merge two streams of ratings, both by period and ascending organisation."""
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        place = min(_place(one) for one in (old, new) if one is not None)
        left = old if old is not None and _place(old) == place else None
        right = new if new is not None and _place(new) == place else None
        yield Compared(place[1], place[0], _side(left), _side(right))
        if left is not None:
            old = next(olds, None)
        if right is not None:
            new = next(news, None)


def _place(one: Rerated) -> tuple[Period, int]:
    return one.rated.period, one.rated.org_id


def _side(one: Rerated | None) -> Side | None:
    if one is None:
        return None
    rated = one.rated
    statement = rated.rating.statement if rated.rating is not None else None
    charges: dict[str, Decimal] = {}
    with exact():
        for line in statement.lines if statement is not None else ():
            charges[line.charge] = charges.get(line.charge, ZERO) + line.amount
    return Side(rated.contract, rated.total, rated.currency, charges, rated.failures, one.used)


@dataclass(slots=True)
class Sums:
    """Before and after in one currency, of statements that are whole on both sides (or there on one alone)."""

    before: Decimal = ZERO
    after: Decimal = ZERO

    def add(self, before: Decimal, after: Decimal) -> None:
        """Add a pair. Call it inside `exact()`."""
        self.before += before
        self.after += after

    @property
    def difference(self) -> Decimal:
        """Return after less before."""
        with exact():
            return self.after - self.before


@dataclass(slots=True)
class Findings:
    """What was found, counted while comparisons pass by. `top` is how many of the largest differences are kept."""

    top: int
    states: Counter[State] = field(default_factory=Counter)
    totals: dict[str, Sums] = field(default_factory=dict)
    """By currency."""
    charges: dict[tuple[str, str], Sums] = field(default_factory=dict)
    """By currency and charge."""
    failures: Counter[str] = field(default_factory=Counter)
    """By reason, each as often as it is told."""
    read_between: int = 0
    """Statements whose usage changed between the two readings: their differences are not of prices alone."""
    _largest: dict[str, list[tuple[Decimal, int, int, Compared]]] = field(default_factory=dict)
    _count: int = 0

    def follow(self, comparisons: Iterable[Compared]) -> Iterator[Compared]:
        """Pass comparisons on, counting them."""
        for one in comparisons:
            self._add(one)
            yield one

    def largest(self, currency: str) -> list[Compared]:
        """Return the largest differences in a currency, the largest first."""
        return [one for *_, one in sorted(self._largest.get(currency, ()), reverse=True)]

    def _add(self, one: Compared) -> None:
        state = one.state
        self._count += 1
        self.states[state] += 1
        for failure in failures_of(one):
            self.failures[failure[1].reason] += 1
        if one.before and one.after and one.before.used != one.after.used:
            self.read_between += 1
        if state == "failed":
            return  # half a statement is no amount
        with exact():
            for side, is_after in ((one.before, False), (one.after, True)):
                if side is None:
                    continue
                total = self.totals.setdefault(side.currency, Sums())
                total.add(*((ZERO, side.total) if is_after else (side.total, ZERO)))
                for charge, amount in side.charges.items():
                    sums = self.charges.setdefault((side.currency, charge), Sums())
                    sums.add(*((ZERO, amount) if is_after else (amount, ZERO)))
        if one.difference:
            kept = self._largest.setdefault(one.currency, [])
            item = (abs(one.difference), -self._count, one.org_id, one)
            if len(kept) < self.top:
                heapq.heappush(kept, item)
            elif self.top:
                heapq.heappushpop(kept, item)


def failures_of(one: Compared) -> list[tuple[str, RatingFailure]]:
    """Return what could not be priced, each once, with where: before, after, or on both sides."""
    before = one.before.failures if one.before else ()
    after = one.after.failures if one.after else ()
    found = [("on both sides" if failure in after else "before", failure) for failure in before]
    return found + [("after", failure) for failure in after if failure not in before]
