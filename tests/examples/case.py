"""What an example is translated to: bills to be rated by the product, and which of their numbers is the answer."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from rater.account import NEW, Account
from schemas.money import RoundingMode
from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, UsagePart

Charge = dict[str, Any]
ZERO: Final = Decimal(0)
PERIOD: Final = Period.month(2026, 11)
SINCE: Final = "2020-01-01"
"""From when contracts and prices hold where nothing depends on it."""

MODES: Final[dict[str, RoundingMode]] = {
    "half_up": "half_away",  # of the vendors that say so, away from zero is meant: a negative amount is a credit
    "half_away_from_zero": "half_away",
    "half_even": "half_even",
    "up": "up",
    "ceil": "up",
    "down": "down",
    "floor": "down",
}
TOLD: Final = frozenset({"note", "unit", "metric", "event", "bound", "model"})
"""Words that say something to a reader and nothing to a rater. `bound: lower_inclusive` is told of tiers that the
example has already restated with inclusive upper ends."""


class NotUnderstood(Exception):
    """The example asks for something that the product, or this translation, has no word for."""


@dataclass(frozen=True)
class Rounding:
    """How an example rounds amounts: to multiples of `to`."""

    mode: RoundingMode
    to: Decimal


@dataclass(frozen=True)
class Bill:
    """One statement: charges, the usage of those that count something, and what is agreed beyond them.

    `changed` are the charges that hold from a day on instead. `plan` and `contract` are further fields of the plan's
    versions and of the contract; `thresholds` bills usage before the period's end, at each element of `stages`.
    """

    charges: tuple[Charge, ...]
    uses: tuple[CategoryUsage, ...] = ()
    changed: tuple[tuple[str, tuple[Charge, ...]], ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    contract: Mapping[str, Any] = field(default_factory=dict)
    period: Period = PERIOD
    account: Account = NEW


Asked = Literal["amount", "units", "true_up", "refund", "left", "available", "room", "late"]
"""Which number is asked for: what is due; priced units; a kind of line; what is left of grants, what there is of them
in the next period; how much more may be used; what a sealed period is corrected by."""


@dataclass(frozen=True)
class Case:
    """What was billed at one or more moments; the answer is what the last one adds to the one before.

    `direct` asks a function of the product itself. `before` is what the moment before must have come to.
    """

    moments: tuple[tuple[Bill, ...], ...] = ()
    rounding: Rounding | None = None
    asked: Asked = "amount"
    direct: Callable[[], Decimal] | None = None
    stages: tuple[CategoryUsage, ...] = ()
    before: Decimal | None = None


class Words:
    """The words of an example, taken one by one; what nobody took makes the example not understood."""

    def __init__(self, words: Mapping[str, Any], where: str) -> None:
        self._left = dict(words)
        self._where = where

    def take(self, name: str, default: Any = None) -> Any:
        """Return a word's value; `default` where the example does not have it."""
        return self._left.pop(name, default)

    def need(self, name: str) -> Any:
        """Return a word's value. Raises NotUnderstood where the example does not have it."""
        if name not in self._left:
            raise NotUnderstood(f"{self._where}: {name} not given")
        return self._left.pop(name)

    def skip(self, *names: str) -> None:
        """Take words that say nothing beyond what other words say already."""
        for name in names:
            self._left.pop(name, None)

    def has(self, *names: str) -> bool:
        """Say whether all of the words are there."""
        return all(name in self._left for name in names)

    def rest(self) -> dict[str, Any]:
        """Take all words that are left and ask for something."""
        left, self._left = self._left, {}
        return {name: value for name, value in left.items() if name not in TOLD}

    def done(self) -> None:
        """Raise NotUnderstood where a word is left."""
        if left := sorted(self._left.keys() - TOLD):
            raise NotUnderstood(f"{self._where}: {', '.join(left)}")


def number(value: Any) -> Decimal:
    """Return a number that is written as text, or a whole one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise NotUnderstood(f"number {value!r}")
    return Decimal(value)


def count(value: Any) -> int:
    """Return a whole number."""
    found = number(value)
    if found != int(found):
        raise NotUnderstood(f"number {value!r}, which is not whole")
    return int(found)


def flag(value: Any) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise NotUnderstood(f"{value!r}, where true or false is meant")
    return value


def rounding(text: str) -> Rounding:
    """Return the rounding written as `half_up@0.01`, with or without `per line` or `at line`."""
    found = re.fullmatch(r"(\w+)@([\d.]+)( (per|at) line)?", text)
    if found is None or found[1] not in MODES:
        raise NotUnderstood(f"rounding {text!r}")
    return Rounding(MODES[found[1]], number(found[2]))


def used(quantity: Decimal) -> CategoryUsage:
    """Return the usage of a total."""
    return CategoryUsage(quantity)


def events(
    values: Sequence[Decimal],
    *,
    names: Sequence[str] = (),
    amounts: Sequence[Decimal] = (),
    dimensions: Sequence[str] = (),
    at: Sequence[dt.datetime] = (),
) -> CategoryUsage:
    """Return the usage of single events, in order."""
    times = list(at) or [PERIOD.start + dt.timedelta(minutes=place) for place in range(len(values))]
    kept = [
        KeptEvent(
            times[place],
            value,
            names[place] if names else "",
            amounts[place] if amounts else None,
            dimensions[place] if dimensions else "",
        )
        for place, value in enumerate(values)
    ]
    kept.sort(key=lambda event: event.at)
    largest = max(values, default=ZERO)
    return CategoryUsage(sum(values, ZERO), events=len(values), max_quantity=largest, kept=tuple(kept))


def parts(pieces: Iterable[tuple[dt.datetime, str, Decimal]], *, maxima: bool = False) -> CategoryUsage:
    """Return usage in parts, each an instant, a group and a quantity; `maxima`: of one event each."""
    found = tuple(UsagePart(at, quantity, 1, quantity, group) for at, group, quantity in pieces)
    total = sum((Decimal(part.quantity) for part in found), ZERO)
    largest = max((Decimal(part.quantity) for part in found), default=ZERO)
    assert maxima or total >= 0
    return CategoryUsage(total, events=len(found), max_quantity=largest, parts=found)


def hour(number_: int, period: Period = PERIOD) -> dt.datetime:
    """Return the start of an hour of a period."""
    return period.start + dt.timedelta(hours=number_)


def fee(amount: Any, **more: Any) -> Charge:
    """Return a fee of the period."""
    return {"price": {"model": "flat", "amount": str(number(amount)), **more}}


def per_unit(amount: Any) -> Charge:
    """Return a charge of so much for each unit."""
    return {"price": {"model": "per_unit", "unit_amount": str(number(amount))}}


def one(bill: Bill, **more: Any) -> Case:
    """Return the case of one bill."""
    return Case(((bill,),), **more)
