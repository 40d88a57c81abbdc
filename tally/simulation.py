"""What other prices or contracts would change: the same usage rated twice, compared statement by statement.

What is found adds up in any order, so that processes may each compare a part: memory holds one part at a time, the
sums by charge, and the few largest differences.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeVar

from schemas.money import exact
from schemas.period import Period
from schemas.statements import RatingFailure
from tally.rated import Rated

ZERO: Final = Decimal(0)

State = Literal["more", "less", "same", "new", "gone", "other_currency", "failed"]
"""What becomes of a statement. `new` and `gone`: only one side has such a billing period. `failed`: what is owed cannot
be said on one side, or on both."""


class Side(NamedTuple):
    """A statement before or after: its total, its amounts by charge, and what could not be priced."""

    contract: str
    total: Decimal
    currency: str
    charges: Mapping[str, Decimal]
    failures: tuple[RatingFailure, ...]


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


_NOTHING: Final = Side("", ZERO, "", {}, ())


def side_of(rated: Rated | None) -> Side | None:
    """Return what is compared of a rating that was made in this process."""
    if rated is None:
        return None
    statement = rated.rating.statement if rated.rating is not None else None
    charges: dict[str, Decimal] = {}
    with exact():
        for line in statement.lines if statement is not None else ():
            charges[line.charge] = charges.get(line.charge, ZERO) + line.amount
    return Side(rated.contract, rated.total, rated.currency, charges, rated.failures)


@dataclass(slots=True)
class Sums:
    """Before and after in one currency, of statements that are whole on both sides (or there on one alone)."""

    before: Decimal = ZERO
    after: Decimal = ZERO

    def add(self, other: "Sums") -> None:
        """Add other sums. Call it inside `exact()`."""
        self.before += other.before
        self.after += other.after

    @property
    def difference(self) -> Decimal:
        """Return after less before."""
        with exact():
            return self.after - self.before


_Item = tuple[Decimal, int, int, int, Compared]
"""How large a difference is; of two alike the one of the earlier period and lower organisation is the larger."""


@dataclass(slots=True)
class Findings:
    """What was found. `top` is how many of the largest differences are kept, of each currency."""

    top: int
    states: Counter[State] = field(default_factory=Counter)
    totals: dict[str, Sums] = field(default_factory=dict)
    """By currency."""
    charges: dict[tuple[str, str], Sums] = field(default_factory=dict)
    """By currency and charge."""
    failures: Counter[str] = field(default_factory=Counter)
    """By reason, each as often as it is told."""
    _largest: dict[str, list[_Item]] = field(default_factory=dict)

    def add(self, one: Compared) -> None:
        """Count one comparison."""
        state = one.state
        self.states[state] += 1
        for _, failure in failures_of(one):
            self.failures[failure.reason] += 1
        if state == "failed":
            return  # half a statement is no amount
        with exact():
            for side, is_after in ((one.before, False), (one.after, True)):
                if side is None:
                    continue
                _sum(self.totals, side.currency, side.total, is_after=is_after)
                for charge, amount in side.charges.items():
                    _sum(self.charges, (side.currency, charge), amount, is_after=is_after)
        if one.difference:
            start, end = (-int(when.timestamp()) for when in (one.period.start, one.period.end))
            self._keep(one.currency, (abs(one.difference), start, end, -one.org_id, one))

    def join(self, other: "Findings") -> None:
        """Add what was found of other statements."""
        self.states.update(other.states)
        self.failures.update(other.failures)
        with exact():
            for currency, sums in other.totals.items():
                self.totals.setdefault(currency, Sums()).add(sums)
            for place, sums in other.charges.items():
                self.charges.setdefault(place, Sums()).add(sums)
        for currency, items in other._largest.items():
            for item in items:
                self._keep(currency, item)

    def largest(self, currency: str) -> list[Compared]:
        """Return the largest differences in a currency, the largest first."""
        return [item[-1] for item in sorted(self._largest.get(currency, ()), reverse=True)]

    def _keep(self, currency: str, item: _Item) -> None:
        kept = self._largest.setdefault(currency, [])
        if len(kept) < self.top:
            heapq.heappush(kept, item)
        elif self.top:
            heapq.heappushpop(kept, item)


K = TypeVar("K")


def _sum(sums: dict[K, Sums], key: K, amount: Decimal, *, is_after: bool) -> None:
    found = sums.get(key)
    if found is None:
        found = sums[key] = Sums()
    if is_after:
        found.after += amount
    else:
        found.before += amount


def failures_of(one: Compared) -> list[tuple[str, RatingFailure]]:
    """Return what could not be priced, each once, with where: before, after, or on both sides."""
    before = one.before.failures if one.before else ()
    after = one.after.failures if one.after else ()
    found = [("on both sides" if failure in after else "before", failure) for failure in before]
    return found + [("after", failure) for failure in after if failure not in before]
