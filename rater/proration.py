"""Proration: which part of a fee is owed for a part of its period. Fractions all the way; only lines are rounded.

A day belongs to the period, contract or price that begins on it.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from schemas.cycle import MONTHS, WEEK, Cycle, Divisor
from schemas.money import RoundingMode, exact, steps_in
from schemas.period import midnight
from schemas.prices import PLACES, plain

NOTHING: Final = Fraction(0)
WHOLE: Final = Fraction(1)
_SECOND: Final = dt.timedelta(seconds=1)


class Stretch(NamedTuple):
    """The days from `first` to the one before `after`."""

    first: dt.date
    after: dt.date

    @property
    def days(self) -> int:
        """Return how many days there are: none where `after` is not later than `first`."""
        return max(0, (self.after - self.first).days)

    def common(self, other: "Stretch") -> "Stretch":
        """Return the days in both."""
        return Stretch(max(self.first, other.first), min(self.after, other.after))


def share(cycle: Cycle, stretch: Stretch, divisor: Divisor = "days") -> Fraction:
    """Return how many periods of a cycle a stretch of days is: whole ones count 1, each begun one its part.

    A part is its days over the days of the anchored period that it lies in, its seconds over that period's (so that a
    day on which clocks change counts for what it is), its days over 30 a month (7 a week; never more than 1), or, with
    `none`, 1.
    """
    return sum((part for _, part in _parts(cycle, stretch, divisor)), NOTHING)


def told(cycle: Cycle, stretch: Stretch, divisor: Divisor = "days") -> str:
    """Return a share as a person counts it: "22 of 31 days", "2 periods and 14 of 30 days", '' for a whole period."""
    whole, parts = 0, []
    for days, _ in _parts(cycle, stretch, divisor):
        if divisor == "none" or days == Stretch(*cycle.whole(days.first)):
            whole += 1
        else:
            parts.append(_of(cycle, days, divisor))
    if whole == 1 and not parts:
        return ""
    return " and ".join([f"{whole} period{'s' if whole > 1 else ''}"] * (whole > 0) + parts)


def _parts(cycle: Cycle, stretch: Stretch, divisor: Divisor) -> Iterator[tuple[Stretch, Fraction]]:
    """Yield a stretch cut at the cycle's bounds, each piece with its part of the period that it lies in."""
    first = stretch.first
    while first < stretch.after:
        whole = Stretch(*cycle.whole(first))
        piece = whole.common(stretch)
        if piece == whole or divisor == "none":
            yield piece, WHOLE
        elif divisor == "days":
            yield piece, Fraction(piece.days, whole.days)
        elif divisor == "seconds":
            yield piece, Fraction(_seconds(piece, cycle.zone), _seconds(whole, cycle.zone))
        else:
            yield piece, min(WHOLE, Fraction(piece.days, _thirties(cycle)))
        first = whole.after


def _of(cycle: Cycle, piece: Stretch, divisor: Divisor) -> str:
    whole = Stretch(*cycle.whole(piece.first))
    if divisor == "seconds":
        return f"{_seconds(piece, cycle.zone):,} of {_seconds(whole, cycle.zone):,} seconds"
    return f"{piece.days} of {whole.days if divisor == 'days' else _thirties(cycle)} days"


def _thirties(cycle: Cycle) -> int:
    return WEEK if cycle.interval == "week" else 30 * MONTHS[cycle.interval]


def _seconds(stretch: Stretch, zone: str) -> int:
    return (midnight(stretch.after, zone) - midnight(stretch.first, zone)) // _SECOND


class Part(NamedTuple):
    """A part of an amount, exact: `amount` × `share`. A refund's amount is negative.

    `stretch` is the days that it is for, `told` the share in words ('' for the whole amount), `effective` the day
    from which the price holds.
    """

    kind: Literal["fee", "refund"]
    amount: Decimal
    share: Fraction
    stretch: Stretch
    told: str
    effective: dt.date

    @property
    def numerator(self) -> Decimal:
        """Return amount × the share's numerator. Call it inside `exact()`."""
        return self.amount * self.share.numerator

    @property
    def denominator(self) -> int:
        """Return what the numerator is to be divided by."""
        return self.share.denominator

    def rounded(self, step: Decimal, mode: RoundingMode) -> Decimal:
        """Return the part in whole `step`s, rounded once, from its exact value."""
        return divided(self.numerator, self.denominator, step, mode)

    def __str__(self) -> str:
        sign = "unused: " if self.kind == "refund" else ""
        return f"{sign}{plain(self.amount)}" + (f" for {self.told}" if self.told else "")


def divided(numerator: Decimal, denominator: int, step: Decimal, mode: RoundingMode = "half_away") -> Decimal:
    """Return numerator ÷ denominator (> 0) in whole `step`s: divided and rounded at once. In any decimal context."""
    with exact():
        return steps_in(numerator, step * denominator, mode) * step


def shown(numerator: Decimal, denominator: int) -> Decimal:
    """Return numerator ÷ denominator to the 18 digits that a line's unrounded amount is kept with."""
    return divided(numerator, denominator, Decimal(1).scaleb(-PLACES)) if denominator != 1 else numerator


class Price(NamedTuple):
    """What a fee costs through a stretch of days; None where the plan then has no such fee.

    Days before `free_until` owe nothing: those of a trial.
    """

    stretch: Stretch
    amount: Decimal | None
    effective: dt.date
    free_until: dt.date = dt.date.min

    def owed(self, end: dt.date) -> Stretch:
        """Return the days that are not free, from the first on until `end`."""
        return Stretch(max(self.stretch.first, self.free_until), end)


def in_arrears(cycle: Cycle, prices: Sequence[Price], divisor: Divisor) -> list[Part]:
    """Return a fee owed for the days that have passed, at the price of each."""
    found = []
    for price in same_joined(prices):
        days = price.owed(price.stretch.after)
        if price.amount is not None and days.days:
            found.append(_part("fee", cycle, price, days, divisor))
    return found


def in_advance(cycle: Cycle, prices: Sequence[Price], divisor: Divisor, end: dt.date, asked: Stretch) -> list[Part]:
    """Return what falls due in the days that are `asked` for of a fee paid in advance until `end`.

    On its first day the fee is due to the end, at the price of that day. Where the price changes, what is left of the
    old one is given back, and the new one is due for the same days: the day of the change belongs to the new price.
    """
    found = []
    before: Price | None = None
    for price in same_joined(prices):
        if asked.first <= price.stretch.first < asked.after:
            if before is not None and before.amount is not None:
                left = before._replace(stretch=price.stretch).owed(end)
                if left.days:
                    found.append(_part("refund", cycle, before, left, divisor))
            if price.amount is not None and price.owed(end).days:
                found.append(_part("fee", cycle, price, price.owed(end), divisor))
        before = price
    return found


def same_joined(prices: Sequence[Price]) -> list[Price]:
    """Return the prices with those joined that follow each other and cost the same on every day."""
    found: list[Price] = []
    for price in prices:
        last = found[-1] if found else None
        first = price.stretch.first
        if last is not None and last.amount == price.amount and _alike(last.free_until, price.free_until, first):
            found[-1] = price._replace(
                stretch=Stretch(last.stretch.first, price.stretch.after), free_until=last.free_until
            )
        else:
            found.append(price)
    return found


def _alike(before: dt.date, after: dt.date, first: dt.date) -> bool:
    """Say whether the same days are free by either, from a day on."""
    return before == after or max(before, after) <= first


def _part(kind: Literal["fee", "refund"], cycle: Cycle, price: Price, days: Stretch, divisor: Divisor) -> Part:
    assert price.amount is not None, "only a price is owed"
    amount = price.amount.copy_negate() if kind == "refund" and price.amount else price.amount
    return Part(kind, amount, share(cycle, days, divisor), days, told(cycle, days, divisor), price.effective)
