"""Fees that change inside their period."""

import re
from fractions import Fraction
from typing import Any

from schemas.period import Period
from tests.examples.case import Bill, Case, NotUnderstood, Words, count, fee, listed, text, written
from tests.examples.words.lengths import DAY, billing, days_of, divisor, interval_of, of_days, stretched
from tests.examples.words.usage import day


def proration(words: Words, uses: Words) -> Case:
    """A fee in advance changes inside its period: what is left of the old one is credited, of the new one charged."""
    words.told("round", "per_line", "per line")
    words.skip("in_advance", "interval")
    changes = _changes(words)
    prorate: dict[str, Any] = {}
    if words.told("unit", "second", "seconds", "day", "days") in ("second", "seconds") or uses.has("seconds_left"):
        prorate = {"prorate": "seconds"}
    if (told_divisor := divisor(words)) is not None:
        prorate = {"prorate": told_divisor}
    whole, left = _left(words, uses)
    for told in ("event", "changed_on_day", "change_at", "period", "period_start", "period_end", "already_paid_old"):
        uses.skip(told)
    period = of_days(None, whole)
    if not 0 <= left <= whole:
        raise NotUnderstood(f"{left} days left of {whole}")
    old = tuple(fee(amount, in_advance=True, **prorate) for amount, _ in changes)
    new = tuple(fee(amount, in_advance=True, **prorate) for _, amount in changes)
    contract = billing(interval_of(period), period)
    before = Bill(old, contract=contract, period=period)
    after = before
    if left:
        since = period.end.date() - left * DAY
        after = Bill(old, changed=((f"{since}", new),), contract=contract, period=period)
    bills = [after]
    if (advance := words.take("next_period_advance")) is not None:
        bills.append(Bill((fee(advance, in_advance=True),), period=Period.month(2027, 3)))
    return Case(((before,), tuple(bills)))


def _changes(words: Words) -> list[tuple[str, str]]:
    """Return old and new amounts: of one fee, or of several, added and removed ones among them."""
    if words.has("old_amount"):
        return [(written(words.take("old_amount")), written(words.need("new_amount")))]
    changes = [re.split(r" ?(?:→|->) ?", text(pair)) for pair in listed(words.take("matched", []))]
    for word in ("removed", "added"):
        value = words.take(word)
        amounts = value if isinstance(value, list) else [] if value is None else [value]
        changes += [[amount, "0"] if word == "removed" else ["0", amount] for amount in amounts]
    if not changes or any(len(change) != 2 for change in changes):
        raise NotUnderstood("a change without amounts")
    return [(written(before), written(after)) for before, after in changes]


def _left(words: Words, uses: Words) -> tuple[int, int]:
    """Return the days of the period and those that are left of it."""
    fraction = words.any("fraction_left", default=uses.take("fraction_left"))
    if fraction is not None:
        return days_of(_fraction(fraction))
    if uses.has("seconds_left"):
        left, whole = count(uses.take("seconds_left")), count(uses.need("seconds_in_period"))
        if whole <= 0:
            raise NotUnderstood(f"{whole} seconds in the period")
        days = Fraction(left, 86_400), Fraction(whole, 86_400)
        if days[0].denominator == 1 and days[1].denominator == 1:
            return stretched(None, int(days[1]), int(days[0]))
        return days_of(days[0] / days[1])
    source = uses if uses.has("days_left") else words
    if source.has("days_left"):
        left, told = count(source.take("days_left")), source.take("days_in_period")
        return (30, left) if told is None else stretched(None, count(told), left)
    return _left_by_dates(uses)


def _left_by_dates(uses: Words) -> tuple[int, int]:
    """Return the days of a period whose end is the day after it, as ends on the same day of a later month are."""
    at = day(uses.need("change_at"))
    named = uses.take("period")
    bounds = named.split("..") if isinstance(named, str) else [uses.need("period_start"), uses.need("period_end")]
    if len(bounds) != 2:
        raise NotUnderstood(f"period {named!r}")
    first, after = map(day, bounds)
    if first.day != after.day or not first <= at <= after:
        raise NotUnderstood(
            f"a change on {at} of the period from {first} to {after}, of which the last day is not clear"
        )
    return stretched(None, (after - first).days, (after - at).days)


def _fraction(told: Any) -> Fraction:
    try:
        return Fraction(text(told))
    except (ValueError, ZeroDivisionError) as error:
        raise NotUnderstood(f"fraction {told!r}") from error
