"""Fees and their parts: stubs, trials, price changes inside a period, phases, and levels that count from their day."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from schemas.cycle import Cycle, Interval
from schemas.period import Period
from tests.examples.case import (
    ZERO,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    count,
    events,
    fee,
    number,
    one,
    used,
)
from tests.examples.words.usage import day

INTERVALS: Final[tuple[Interval, ...]] = ("month", "week", "quarter", "year", "half_year")
YEARS: Final = (2026, 2024)
"""A plain year and a leap year: every length that a period can have is in one of them."""
DAY: Final = dt.timedelta(days=1)


def flat(words: Words, uses: Words) -> Case:
    """A fee, or the part of it that some days or a trial leave."""
    if words.has("versions"):
        return _versions(words, uses)
    amounts = [words.take(word) for word in ("amount", "one_time", "recurring") if words.has(word)]
    amounts += words.take("lines", [])
    terms = _terms(words)
    uses.skip("window")
    period, contract = _covered(words, uses, terms)
    charges = tuple(fee(amount, **terms) for amount in amounts)
    return Case((tuple(Bill(charges, contract=contract, period=one_) for one_ in period),))


def one_time(words: Words, uses: Words) -> Case:
    """A one-time fee, which is never prorated: how much of the period is left says nothing."""
    uses.skip("days_left", "days_in_period")
    charge: Charge = {"price": {"model": "per_unit", "unit_amount": words.need("unit_amount")}}
    return one(Bill((charge,), (used(number(uses.need("quantity"))),)))


def _terms(words: Words) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if words.take("in_advance"):
        terms["in_advance"] = True
    divisor = words.take("divisor", "actual days")
    if divisor not in ("actual days", "30-day month", "seconds"):
        raise NotUnderstood(f"divisor {divisor!r}")
    if divisor != "actual days":
        terms["prorate"] = "fixed_30" if divisor == "30-day month" else "seconds"
    return terms


def _covered(words: Words, uses: Words, terms: Mapping[str, Any]) -> tuple[tuple[Period, ...], dict[str, Any]]:
    """Return the periods that are billed, and what the contract says so that it covers the days that are meant."""
    del terms
    interval = words.take("interval")
    if interval is not None and interval not in INTERVALS:
        raise NotUnderstood(f"interval {interval!r}")
    words.skip("alignment", "anniversary")
    trial = words.take("trial_days")
    agreed: dict[str, Any] = {"trial": {"days": count(trial)}} if trial is not None else {}
    whole, days = _length(uses), _billed(uses)
    extra = _whole_periods(uses)
    start = uses.take("start")
    named = uses.take("period")
    uses.skip("from_", "to")
    if days is None and whole is None and extra is None and start is None and trial is None:
        return (Period.month(2026, 11),), agreed
    if whole is None and isinstance(named, str) and ".." in named and days is not None:
        first, after = (day(one_) for one_ in named.split(".."))
        whole = (after - first).days
    if trial is not None and days is not None and whole is None:
        # Of a calendar week the days from the start on, less the trial, are billed.
        return _calendar(start, interval, agreed)
    if start is not None and days is None and whole is None:
        first = day(start)
        period = _cycle_period(interval or "month", _first_of(named, first))
        contract = {**agreed, "from": f"{first}", **_billing(interval or "month", period)}
        return (Period.days(first, period.end.date()),), contract
    period = of_days(interval, whole)
    first = period.start.date() if days is None else period.end.date() - days * DAY
    if first < period.start.date():
        raise NotUnderstood(f"{days} days of {whole}")
    contract = {**agreed, "from": f"{first}", **_billing(interval or _interval_of(period), period)}
    before = tuple(_earlier(period, extra or 0, interval or "month"))
    if before:
        # Whole periods come before the stub: the contract ends in it instead of beginning there.
        until = period.start.date() + (period.end.date() - first)
        contract = {**contract, "from": f"{before[-1].start.date()}", "until": f"{until}"}
        return (*before, Period.days(period.start.date(), until)), contract
    return (Period.days(first, period.end.date()),), contract


def _calendar(start: Any, interval: Any, agreed: dict[str, Any]) -> tuple[tuple[Period, ...], dict[str, Any]]:
    first = day(start)
    monday = first - first.weekday() * DAY
    if interval != "week":
        raise NotUnderstood("days_billed without days_in_period")
    period = Period.days(first, monday + 7 * DAY)
    return (period,), {**agreed, "from": f"{first}", "billing": {"interval": "week", "anchor": f"{monday}"}}


def _first_of(named: Any, first: dt.date) -> dt.date:
    if isinstance(named, str) and (found := re.fullmatch(r"(\d{4})-(\d{2})", named)):
        return dt.date(int(found[1]), int(found[2]), 1)
    if isinstance(named, str) and ".." in named:
        return day(named.split("..")[0])
    return first


def _cycle_period(interval: Interval, first: dt.date) -> Period:
    return Period.days(*Cycle.anchored(first, interval).whole(first))


def _billing(interval: str, period: Period) -> dict[str, Any]:
    return {"billing": {"interval": interval, "anchor": f"{period.start.date()}"}}


def _length(uses: Words) -> int | None:
    for word in ("days_in_period", "period_days", "divisor_days"):
        if uses.has(word):
            return count(uses.take(word))
    return None


def _billed(uses: Words) -> int | None:
    for word in ("days_billed", "days_left", "days"):
        if uses.has(word):
            return count(uses.take(word))
    if uses.has("unused_days"):
        return count(uses.take("unused_days"))
    return None


def _whole_periods(uses: Words) -> int | None:
    for word in ("full_months", "weeks"):
        if uses.has(word):
            return count(uses.take(word))
    return None


def _earlier(period: Period, how_many: int, interval: Interval) -> Iterator[Period]:
    cycle = Cycle.anchored(period.start.date(), interval)
    first = period.start.date()
    for _ in range(how_many):
        before = Period.days(*cycle.whole(first - DAY))
        yield before
        first = before.start.date()


def _interval_of(period: Period) -> Interval:
    days = (period.end - period.start).days
    if days == 7:
        return "week"
    return "month" if days <= 31 else "quarter" if days <= 92 else "half_year" if days <= 184 else "year"


def of_days(interval: str | None, days: int | None) -> Period:
    """Return a billing period of so many days, of an interval where one is named."""
    for kind in INTERVALS if interval is None else (interval,):
        if kind == "week":
            candidates = [Period.days(dt.date(2026, 6, 1), dt.date(2026, 6, 8))]
        else:
            step = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}[kind]
            candidates = [_months(year, month, step) for year in YEARS for month in range(6, 13)]
            candidates += [_months(year, month, step) for year in YEARS for month in range(1, 6)]
        for period in candidates:
            if days is None or (period.end - period.start).days == days:
                return period
    raise NotUnderstood(f"a {interval or 'period'} of {days} days")


def _months(year: int, month: int, how_many: int) -> Period:
    after = month + how_many - 1
    return Period.days(dt.date(year, month, 1), dt.date(year + after // 12, after % 12 + 1, 1))


def _versions(words: Words, uses: Words) -> Case:
    """Prices that hold from a day on."""
    versions = words.take("versions")
    month = Period.parse(uses.need("period"))
    (first, *later) = [Words(version, "a version") for version in versions]
    changed = []
    for version in later:
        changed.append((version.need("effective_for_existing"), (fee(version.need("amount")),)))
        version.done()
    bill = Bill((fee(first.need("amount")),), changed=tuple(changed), period=month)
    first.done()
    return one(bill)


def proration(words: Words, uses: Words) -> Case:
    """A fee in advance changes inside its period: what is left of the old one is credited, of the new one charged."""
    words.skip("round", "in_advance", "interval")
    for told in ("event", "changed_on_day", "change_at", "period", "period_start", "period_end"):
        uses.skip(told)
    if uses.has("already_paid_old"):
        uses.take("already_paid_old")
    changes = _changes(words)
    prorate: dict[str, Any] = {}
    if words.take("unit") == "second" or uses.has("seconds_left"):
        prorate = {"prorate": "seconds"}
    if (divisor := words.take("divisor")) == "30-day month":
        prorate = {"prorate": "fixed_30"}
    elif divisor is not None:
        raise NotUnderstood(f"divisor {divisor!r}")
    whole, left = _left(words, uses)
    period = of_days(None, whole)
    old = tuple(fee(amount, in_advance=True, **prorate) for amount, _ in changes)
    new = tuple(fee(amount, in_advance=True, **prorate) for _, amount in changes)
    contract = _billing(_interval_of(period), period)
    before = Bill(old, contract=contract, period=period)
    after = before
    if left:
        since = period.end.date() - left * DAY
        since = max(since, period.start.date())
        after = Bill(old, changed=((f"{since}", new),), contract=contract, period=period)
    bills = [after]
    if (advance := words.take("next_period_advance")) is not None:
        bills.append(Bill((fee(advance, in_advance=True),), period=Period.month(2027, 3)))
    return Case(((before,), tuple(bills)))


def _changes(words: Words) -> list[tuple[str, str]]:
    """Return old and new amounts: of one fee, or of several, added and removed ones among them."""
    if words.has("old_amount"):
        return [(words.take("old_amount"), words.need("new_amount"))]
    changes = [tuple(pair.split("→")) for pair in words.take("matched", [])]
    if (removed := words.take("removed")) is not None:
        changes.append((removed, "0"))
    if (added := words.take("added")) is not None:
        changes.append(("0", added))
    if not changes or any(len(change) != 2 for change in changes):
        raise NotUnderstood("a change without amounts")
    return [(before, after) for before, after in changes]


def _left(words: Words, uses: Words) -> tuple[int, int]:
    """Return the days of the period and those that are left of it."""
    source = uses if uses.has("days_left") else words
    fraction = words.take("fraction_left") or uses.take("fraction_left")
    if fraction is not None:
        return _days_of(Fraction(fraction))
    if uses.has("seconds_left"):
        left, whole = Fraction(count(uses.take("seconds_left")), 86_400), count(uses.need("seconds_in_period"))
        if left.denominator != 1 or whole % 86_400:
            raise NotUnderstood("a change inside a day")
        return whole // 86_400, int(left)
    left_days = count(source.need("days_left"))
    whole_days = source.take("days_in_period")
    return (30 if whole_days is None else count(whole_days)), left_days


def _days_of(fraction: Fraction) -> tuple[int, int]:
    for days in (30, 28, 31, 29, 91, 90, 92, 365, 366, 7):
        if (days * fraction).denominator == 1:
            return days, int(days * fraction)
    raise NotUnderstood(f"a fraction of {fraction} of a period")


def phases(words: Words, uses: Words) -> Case:
    """A fee that changes with the billing cycle."""
    listed = [Words(phase, "a phase") for phase in words.need("phases")]
    terms = []
    for phase in listed:
        cycles = phase.need("periods")
        change = {"overrides": [{"charge": "charge-0", "change": {"amount": phase.need("amount")}}]}
        terms.append({**({} if cycles is None else {"cycles": cycles}), **change})
        phase.done()
    contract = {"from": "2026-01-01", "phases": terms}
    how_many = count(uses.need("periods"))
    months = [Period.month(2026 + place // 12, place % 12 + 1) for place in range(how_many)]
    return Case((tuple(Bill((fee("0"),), contract=contract, period=month) for month in months),))


def prorated_usage(words: Words, uses: Words, charge: Charge, model: str) -> Case:
    """Levels that count from their day on; tiers are climbed by the full quantity."""
    words.skip("prorated", "round")
    charge = {**charge, "prorated": "days"}
    if uses.has("from_quantity"):
        # Seats are a fee for each: the change is that of a fee in advance.
        if model != "per_unit":
            raise NotUnderstood("a change of quantity of a price by tiers")
        unit = number(charge["price"]["unit_amount"])
        old, new = (str(unit * number(uses.take(word))) for word in ("from_quantity", "to_quantity"))
        return proration(Words({"old_amount": old, "new_amount": new}, "seats"), uses)
    if uses.has("days_billed"):
        period = of_days(None, _length(uses))
        at = period.end - count(uses.take("days_billed")) * DAY
        return one(Bill((charge,), (events([number(uses.need("quantity"))], at=[at]),), period=period))
    period = of_days("month", 30)
    found = [_levels(full, part) for full, part in _full_and_part(uses)]
    times = [period.end - dt.timedelta(seconds=seconds) for _, seconds in found]
    charge["prorated"] = "seconds"
    return one(Bill((charge,), (events([level for level, _ in found], at=times),), period=period))


def _full_and_part(uses: Words) -> list[tuple[Decimal, Decimal]]:
    if uses.has("full_events"):
        full, part = uses.take("full_events"), uses.need("prorated_events")
        return [(number(one_), number(other)) for one_, other in zip(full, part, strict=True)]
    return [(number(uses.need("full_quantity")), number(uses.need("prorated_quantity")))]


def _levels(full: Decimal, part: Decimal) -> tuple[Decimal, int]:
    seconds = Fraction(part) / Fraction(full) * 30 * 86_400
    if seconds.denominator != 1:
        raise NotUnderstood(f"{part} of {full}, which is no whole number of seconds")
    return full, int(seconds)


def usage_while_the_price_changes(charge: Charge) -> Case:
    """Usage charges have no part of their own when a price changes in the middle: nothing is credited or charged."""
    period = Period.month(2026, 11)
    bill = Bill((charge,), (used(ZERO),), changed=(("2026-11-16", (charge,)),), period=period)
    return one(bill)


def stub(days: Any, whole: Any) -> tuple[Period, dict[str, Any]]:
    """Return the last so many days of a period of so many, and the contract that begins with them."""
    period = of_days(None, count(whole))
    first = period.end.date() - count(days) * DAY
    return Period.days(first, period.end.date()), {"from": f"{first}", **_billing(_interval_of(period), period)}
