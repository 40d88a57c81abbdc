"""Fees and their parts: stubs, trials, price changes inside a period, phases, and levels that count from their day."""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from schemas.cycle import Cycle, Interval
from schemas.money import exact
from schemas.period import Period
from tests.examples.case import (
    PERIOD,
    ZERO,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    count,
    events,
    fee,
    listed,
    number,
    numbers,
    one,
    used,
    written,
)
from tests.examples.words.changes import proration
from tests.examples.words.lengths import (
    DAY,
    INTERVALS,
    billing,
    cycle_period,
    divisor,
    interval_of,
    of_days,
    stretched,
)
from tests.examples.words.usage import day

THIRTY: Final = 30 * 86_400 * 10**6
LONGEST: Final = 366
MANY: Final = 240
"""No example counts more periods."""


def flat(words: Words, uses: Words) -> Case:
    """A fee, or the part of it that some days or a trial leave."""
    if words.has("versions"):
        return _versions(words, uses)
    amounts = [words.take(word) for word in ("amount", "recurring") if words.has(word)]
    amounts += listed(words.take("lines", []))
    once = words.take("one_time")
    if not amounts and once is None:
        raise NotUnderstood("flat: amount not given")
    terms = _terms(words)
    uses.skip("window", "quantity")  # a fee is owed whatever is used
    period, contract = _covered(words, uses)
    charges = tuple(fee(amount, **terms) for amount in amounts)
    if once is not None:
        charges = (fee(once, one_time=True), *charges)
    return Case((tuple(Bill(charges, contract=contract, period=one_) for one_ in period),))


def one_time(words: Words, uses: Words) -> Case:
    """A one-time fee, which is never prorated: how much of the period is left says nothing."""
    uses.skip("days_left", "days_in_period")
    amount = number(words.one("unit_amount", "amount"))
    with exact():
        owed = amount * number(uses.take("quantity", "1"))
    return one(Bill((fee(f"{owed:f}", one_time=True),), contract={"from": f"{PERIOD.start.date()}"}))


def _terms(words: Words) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if words.told("in_advance", True, False):
        terms["in_advance"] = True
    prorate = divisor(words)
    return {**terms, **({} if prorate is None else {"prorate": prorate})}


def _covered(words: Words, uses: Words) -> tuple[tuple[Period, ...], dict[str, Any]]:
    """Return the periods that are billed, and what the contract says so that it covers the days that are meant."""
    interval = words.take("interval")
    if interval is not None and interval not in INTERVALS:
        raise NotUnderstood(f"interval {interval!r}")
    words.told("alignment", "calendar", "anniversary")
    words.skip("anniversary")
    trial = words.take("trial_days")
    trial = None if trial is None or not count(trial) else count(trial)
    agreed: dict[str, Any] = {} if trial is None else {"trial": {"days": trial}}
    whole, days, extra = _length(uses), _billed(uses), _whole_periods(uses)
    start, named = uses.take("start"), uses.take("period")
    uses.skip("from_", "to")
    if isinstance(named, int | str) and not isinstance(named, bool) and re.fullmatch(r"\d{1,3}", str(named)):
        return _numbered(count(named), interval or "month", agreed)
    if days is None and whole is None and extra is None and start is None and trial is None:
        return (PERIOD if named is None else _within(named, interval),), agreed
    if whole is None and isinstance(named, str) and ".." in named and days is not None:
        first, after = (day(one_) for one_ in named.split(".."))
        whole = (after - first).days
        if start is not None and trial is None and (after - day(start)).days != days:
            raise NotUnderstood(f"{days} days from {start} to {after}")
    if start is not None and days is not None and whole is None:
        return _calendar(day(start), interval or "month", days, agreed)
    if start is not None and days is None and whole is None:
        first = day(start)
        period = cycle_period(interval or "month", _first_of(named, first))
        contract = {**agreed, "from": f"{first}", **billing(interval or "month", period)}
        return (Period.days(first, period.end.date()),), contract
    if days is not None and not 0 <= days <= LONGEST:
        raise NotUnderstood(f"{days} days")
    if days is not None and whole is not None and extra is None and not trial:
        whole, days = stretched(interval, whole, days)
    period = of_days(interval, whole)
    first = period.start.date() if days is None else period.end.date() - days * DAY
    if first < period.start.date():
        raise NotUnderstood(f"{days} days of {whole}")
    contract = {**agreed, "from": f"{first}", **billing(interval or interval_of(period), period)}
    before = tuple(_earlier(period, extra or 0, interval or interval_of(period)))
    if before:
        # Whole periods come before the stub: the contract ends in it instead of beginning there.
        until = period.start.date() + (period.end.date() - first)
        if not days:
            return before, {**contract, "from": f"{before[-1].start.date()}"}
        contract = {**contract, "from": f"{before[-1].start.date()}", "until": f"{until}"}
        return (*before, Period.days(period.start.date(), until)), contract
    return ((Period.days(first, period.end.date()),) if first < period.end.date() else ()), contract


def _numbered(place: int, interval: Interval, agreed: dict[str, Any]) -> tuple[tuple[Period, ...], dict[str, Any]]:
    """Return the first, second, … period of a contract."""
    if not 1 <= place <= MANY:
        raise NotUnderstood(f"period {place}")
    first = PERIOD.start.date()
    cycle = Cycle.anchored(first, interval)
    period = Period.days(*cycle.whole(first))
    for _ in range(place - 1):
        period = Period.days(*cycle.whole(period.end.date()))
    return (period,), {**agreed, "from": f"{first}", "billing": {"interval": interval, "anchor": f"{first}"}}


def _calendar(
    first: dt.date, interval: Interval, days: int, agreed: dict[str, Any]
) -> tuple[tuple[Period, ...], dict[str, Any]]:
    """Return the rest of a calendar period from a day on, of which so many days are billed once a trial is over."""
    begins = first - first.weekday() * DAY if interval == "week" else dt.date(first.year, 1, 1)
    period = cycle_period(interval, begins)
    while period.end.date() <= first:
        period = cycle_period(interval, period.end.date())
    free = count(agreed.get("trial", {}).get("days", 0))
    if max((period.end.date() - first).days - free, 0) != days:
        raise NotUnderstood(f"{days} days billed of the calendar {interval} from {first} on")
    contract = {**agreed, "from": f"{first}", **billing(interval, period)}
    return (Period.days(first, period.end.date()),), contract


def named_period(named: Any) -> Period:
    """Return a month that is named, or the one that begins where a range of days does."""
    return _within(named, None)


def _within(named: Any, interval: Any) -> Period:
    if not isinstance(named, str):
        raise NotUnderstood(f"period {named!r}")
    first = _first_of(named, PERIOD.start.date())
    return cycle_period(interval or "month", first)


def _first_of(named: Any, first: dt.date) -> dt.date:
    if named is None:
        return first
    if isinstance(named, str) and re.fullmatch(r"\d{4}-\d{2}", named):
        return day(f"{named}-01")
    if isinstance(named, str) and ".." in named:
        return day(named.split("..")[0])
    raise NotUnderstood(f"period {named!r}")


def _length(uses: Words) -> int | None:
    found = uses.any("days_in_period", "period_days", "divisor_days")
    return None if found is None else count(found)


def _billed(uses: Words) -> int | None:
    found = uses.any("days_billed", "days_left", "days", "unused_days")
    return None if found is None else count(found)


def _whole_periods(uses: Words) -> int | None:
    found = uses.any("full_months", "full_weeks", "full_periods", "full_quarters", "full_years", "weeks", "months")
    if found is not None and not 0 <= count(found) <= MANY:
        raise NotUnderstood(f"{found} periods")
    return None if found is None else count(found)


def _earlier(period: Period, how_many: int, interval: Interval) -> Iterator[Period]:
    cycle = Cycle.anchored(period.start.date(), interval)
    first = period.start.date()
    for _ in range(how_many):
        before = Period.days(*cycle.whole(first - DAY))
        yield before
        first = before.start.date()


def _versions(words: Words, uses: Words) -> Case:
    """Prices that hold from a day on."""
    versions = [Words(version, "a version") for version in listed(words.take("versions"))]
    month = _within(uses.need("period"), words.take("interval"))
    changed: list[tuple[str, tuple[Charge, ...]]] = []
    terms = _terms(words)
    charges = []
    for version in versions:
        since = version.any("effective_for_existing", "effective", "from")
        charges.append((None if since is None else day(since), fee(version.need("amount"), **terms)))
        version.done()
    if not charges or any(since is None for since, _ in charges[1:]):
        raise NotUnderstood("versions without the day from which they hold")
    changed = [(f"{since}", (charge,)) for since, charge in charges[1:]]
    return one(Bill((charges[0][1],), changed=tuple(changed), period=month))


def phases(words: Words, uses: Words) -> Case:
    """A fee that changes with the billing cycle."""
    terms = []
    base = words.take("amount")
    for phase in [Words(phase, "a phase") for phase in listed(words.need("phases"))]:
        cycles = phase.need("periods")
        amount = phase.take("amount", base)
        if amount is None:
            raise NotUnderstood("a phase: amount not given")
        change: dict[str, Any] = {"overrides": [{"charge": "charge-0", "change": {"amount": written(amount)}}]}
        if (percent := phase.take("discount_percent")) is not None:
            change["adjustments"] = [{"kind": "discount_percent", "percent": written(percent)}]
        terms.append({**({} if cycles is None else {"cycles": count(cycles)}), **change})
        phase.done()
    contract = {"from": "2026-01-01", "phases": terms}
    nth = uses.take("period")
    last = count(uses.need("periods") if nth is None else nth)
    if not 1 <= last <= MANY:
        raise NotUnderstood(f"{last} periods")
    asked = range(last) if nth is None else [last - 1]
    months = [Period.month(2026 + place // 12, place % 12 + 1) for place in asked]
    return Case((tuple(Bill((fee("0"),), contract=contract, period=month) for month in months),))


def prorated_usage(words: Words, uses: Words, charge: Charge, model: str) -> Case:
    """Levels that count from their day on; tiers are climbed by the full quantity."""
    if words.take("prorated", True) is not True:
        raise NotUnderstood("usage that is not prorated, of a part of a period")
    words.told("round", "per_line", "per line")
    charge = {**charge, "prorated": "days"}
    if uses.has("from_quantity"):
        # Seats are a fee for each: the change is that of a fee in advance.
        if model != "per_unit":
            raise NotUnderstood("a change of quantity of a price by tiers")
        unit = number(charge["price"]["unit_amount"])
        with exact():
            old, new = (f"{unit * number(uses.need(word)):f}" for word in ("from_quantity", "to_quantity"))
        return proration(Words({"old_amount": old, "new_amount": new}, "seats"), uses)
    if uses.has("days_billed"):
        whole, left = _length(uses), count(uses.take("days_billed"))
        if whole is None or not 0 <= left <= whole:
            raise NotUnderstood(f"{left} days billed of {whole or 'a period without days_in_period'}")
        whole, left = stretched(None, whole, left)
        period = of_days(None, whole)
        at = period.end - left * DAY
        usage = events([number(uses.need("quantity"))], at=[at])
        return one(Bill((charge,), (usage,), contract=billing(interval_of(period), period), period=period))
    period = of_days("month", 30)
    found = [level for full, part in _full_and_part(uses) for level in _levels(full, part, model)]
    times = [period.end - dt.timedelta(microseconds=ticks) for _, ticks in found]
    charge["prorated"] = "seconds"
    return one(Bill((charge,), (events([level for level, _ in found], at=times),), period=period))


def _full_and_part(uses: Words) -> list[tuple[Decimal, Decimal]]:
    if uses.has("full_events"):
        full, part = numbers(uses.take("full_events")), numbers(uses.need("prorated_events"))
        if len(full) != len(part):
            raise NotUnderstood(f"{len(full)} events, of which {len(part)} are prorated")
        return list(zip(full, part, strict=True))
    return [(number(uses.need("full_quantity")), number(uses.need("prorated_quantity")))]


def _levels(full: Decimal, part: Decimal, model: str) -> list[tuple[Decimal, int]]:
    """Return levels that make a full quantity, and for how many microseconds of 30 days each counts."""
    if not full:
        return [(full, 0)]
    ticks = Fraction(part) / Fraction(full) * THIRTY
    if not 0 <= ticks <= THIRTY:
        raise NotUnderstood(f"{part} of {full}, which is no part of it")
    if ticks.denominator == 1:
        return [(full, int(ticks))]
    whole = Fraction(part) * THIRTY
    if model != "volume" or whole.denominator != 1 or full != int(full):
        raise NotUnderstood(f"{part} of {full}, which is no whole number of microseconds")
    # Of a price by the tier of all units it is the same which of them count a microsecond more.
    least, more = divmod(int(whole), int(full))
    return [(Decimal(more), least + 1), (full - more, least)]


def usage_while_the_price_changes(charge: Charge) -> Case:
    """Usage charges have no part of their own when a price changes in the middle: nothing is credited or charged."""
    period = Period.month(2026, 11)
    bill = Bill((charge,), (used(ZERO),), changed=(("2026-11-16", (charge,)),), period=period)
    return one(bill)
