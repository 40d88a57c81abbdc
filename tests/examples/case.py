"""What an example is translated to: bills to be rated by the product, and which of their numbers is the answer."""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
SINCE: Final = "2000-01-01"
"""From when contracts and prices hold where nothing depends on it."""

MODES: Final[dict[str, RoundingMode]] = {
    # Of the vendors that say half up, away from zero is meant: a negative amount is a credit.
    **dict.fromkeys(("half_up", "half_away_from_zero", "half_away", "nearest", "round"), "half_away"),
    **dict.fromkeys(("half_even", "half_to_even", "bankers"), "half_even"),
    **dict.fromkeys(("up", "ceil", "ceiling", "round_up", "away_from_zero"), "up"),
    **dict.fromkeys(("down", "floor", "truncate", "trunc", "round_down", "towards_zero"), "down"),
}
TOWARDS_INFINITY: Final = frozenset({"ceil", "ceiling", "floor"})
"""Of these modes the sign matters: below zero they are the other one's."""
TOLD: Final = frozenset({"note", "unit", "metric", "event", "model"})
"""Words that say something to a reader and nothing to a rater."""


NUMBER: Final = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d{1,2})?")
LONGEST: Final = 100


class NotUnderstood(Exception):
    """The example asks for something that the product, or this translation, has no word for."""


@dataclass(frozen=True)
class Rounding:
    """How an example rounds amounts: to multiples of `to`; `once`: the total and not each line."""

    mode: RoundingMode
    to: Decimal
    once: bool = False


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

    `direct` asks a function of the product itself. `before` is what the moment before must have come to. With `total`
    the answer is what all moments came to in the end.
    """

    moments: tuple[tuple[Bill, ...], ...] = ()
    rounding: Rounding | None = None
    asked: Asked = "amount"
    direct: Callable[[], Decimal] | None = None
    stages: tuple[CategoryUsage, ...] = ()
    before: Decimal | None = None
    total: bool = False
    since: dt.date | None = None
    """The day from which the grant holds of which something is left; None: of all of them together."""


class Words:
    """The words of an example, taken one by one; what nobody took makes the example not understood."""

    def __init__(self, words: Any, where: str) -> None:
        self._left = dict(mapping(words))
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

    def any(self, *names: str, default: Any = None) -> Any:
        """Take the one of the words that is there. Raises NotUnderstood where several are."""
        there = [name for name in names if name in self._left]
        if len(there) > 1:
            raise NotUnderstood(f"{self._where}: {' beside '.join(there)}")
        return self._left.pop(there[0]) if there else default

    def one(self, *names: str) -> Any:
        """Take the one of the words that is there. Raises NotUnderstood where none or several are."""
        found = self.any(*names)
        if found is None:
            raise NotUnderstood(f"{self._where}: {' or '.join(names)} not given")
        return found

    def told(self, name: str, *values: Any) -> Any:
        """Take a word that may have these values alone, or be left out. Raises NotUnderstood."""
        value = self._left.pop(name, None)
        if value is not None and value not in values:
            raise NotUnderstood(f"{self._where}: {name} {value!r}")
        return value

    def listed(self, *names: str) -> Iterator[tuple[str, Any]]:
        """Take those of the words that are there, in the example's own order."""
        for name in [name for name in self._left if name in names]:
            yield name, self._left.pop(name)

    def refuse(self, name: str, value: Any) -> NotUnderstood:
        """Return the error about a word whose value is not understood."""
        return NotUnderstood(f"{self._where}: {name} {value!r}")

    def rest(self) -> dict[str, Any]:
        """Take all words that are left and ask for something."""
        left, self._left = self._left, {}
        return {name: value for name, value in left.items() if name not in TOLD}

    def done(self) -> None:
        """Raise NotUnderstood where a word is left."""
        if left := sorted(self._left.keys() - TOLD):
            raise NotUnderstood(f"{self._where}: {', '.join(left)}")


def number(value: Any) -> Decimal:
    """Return a number: whole, a decimal, or written as text, with or without commas at the thousands."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if not isinstance(value, str) or not NUMBER.fullmatch(value) or len(value) > LONGEST:
        raise NotUnderstood(f"number {value!r}")
    return Decimal(value.replace(",", ""))


def numbers(values: Any) -> list[Decimal]:
    """Return a list of numbers."""
    return [number(value) for value in listed(values)]


def listed(values: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(values, list):
        raise NotUnderstood(f"{values!r}, where a list is meant")
    return values


def mapping(value: Any) -> Mapping[str, Any]:
    """Return words with values."""
    if not isinstance(value, Mapping):
        raise NotUnderstood(f"{value!r}, where words with values are meant")
    return value


def text(value: Any) -> str:
    """Return text."""
    if not isinstance(value, str):
        raise NotUnderstood(f"{value!r}, where text is meant")
    return value


def written(value: Any) -> str:
    """Return a number as price books write it."""
    return f"{number(value):f}"


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


def rounding(told: Any) -> Rounding:
    """Return the rounding written as `half_up@0.01`, alone (a line) or with where: `per line`, `at total`, …"""
    found = re.fullmatch(
        r"(\w+) ?@ ?([\d.]+)(?: (?:(?:per|at|each|at each) (line|fee|total|invoice)|(once)))?", text(told)
    )
    if found is None or found[1] not in MODES or not number(found[2]):
        raise NotUnderstood(f"rounding {told!r}")
    return Rounding(MODES[found[1]], number(found[2]), found[3] in ("total", "invoice") or found[4] is not None)


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


def parts(pieces: Iterable[tuple[dt.datetime, str, Decimal]]) -> CategoryUsage:
    """Return usage in parts of one event, each an instant, a group and a quantity."""
    found = tuple(UsagePart(at, quantity, 1, quantity, group) for at, group, quantity in pieces)
    total = sum((Decimal(part.quantity) for part in found), ZERO)
    largest = max((Decimal(part.quantity) for part in found), default=ZERO)
    return CategoryUsage(total, events=len(found), max_quantity=largest, parts=found)


def hour(number_: int, period: Period = PERIOD) -> dt.datetime:
    """Return the start of an hour of a period."""
    return period.start + dt.timedelta(hours=number_)


def fee(amount: Any, **more: Any) -> Charge:
    """Return a fee of the period."""
    if number(amount) < 0:
        raise NotUnderstood(f"a fee of {amount}, which is below zero")
    return {"price": {"model": "flat", "amount": written(amount), **more}}


def per_unit(amount: Any) -> Charge:
    """Return a charge of so much for each unit."""
    return {"price": {"model": "per_unit", "unit_amount": written(amount)}}


def one(bill: Bill, **more: Any) -> Case:
    """Return the case of one bill."""
    return Case(((bill,),), **more)
