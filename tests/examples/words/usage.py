"""How examples say what was used: a quantity at one or more moments, records, windows, groups, events."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Literal

from schemas.money import exact
from schemas.statements import CategoryUsage
from tests.examples.case import (
    PERIOD,
    ZERO,
    Bill,
    Charge,
    NotUnderstood,
    Words,
    count,
    events,
    listed,
    mapping,
    number,
    numbers,
    parts,
    text,
    used,
)

MANY: Final = 100_000
"""No example has more events."""
BEFORE: Final = ("already_billed_quantity", "already_metered", "cumulative_before", "used_before")
Span = Literal["hour", "day"]
SPANS: Final[dict[str, Span]] = {
    **dict.fromkeys(("hours", "hour_quantities", "hour_values", "hour_quantity"), "hour"),
    **dict.fromkeys(("buckets", "windows", "window_values", "window_quantities"), "hour"),
    **dict.fromkeys(("days", "day_quantities", "day_values", "day_quantity"), "day"),
}
"""Words for usage by spans of time; which span a window without a name has decides nothing."""
GROUPED: Final = ("group_values", "groups", "group_quantities")
Piece = tuple[dt.datetime, str, Decimal]


def moments(charge: Charge, uses: Words, **more: Any) -> list[Bill]:
    """Return the bills of a single charge, as its quantity was known at one or more moments."""
    bill = Bill((charge,), **more)
    return [replace(bill, uses=(used(quantity),)) for quantity in quantities(uses)]


def quantities(uses: Words) -> list[Decimal]:
    """Return the quantity at one or more moments."""
    if uses.has("cumulative_quantities"):
        if not (known := numbers(uses.take("cumulative_quantities"))):
            raise NotUnderstood("usage: no cumulative_quantities")
        return known
    with exact():
        before = uses.any(*BEFORE)
        if before is not None:
            new = [uses.take(word) for word in ("quantity", "late", "new") if uses.has(word)]
            if not new:
                raise NotUnderstood("usage: nothing beside what was billed already")
            return [number(before), number(before) + sum(map(_quantity, new), ZERO)]
        words = uses.rest()
        if len(words) != 1:
            raise NotUnderstood(f"usage: {', '.join(sorted(words)) or 'nothing'}")
        ((name, value),) = words.items()
        # A single number under any other plain word is the quantity, named by its unit: minutes, mbytes, seats.
        if re.search(r"amount|billed|day|period|fee|price|left|before", name):
            raise NotUnderstood(f"usage: {name} {value!r}")
        return [_quantity(value)]


def _quantity(value: Any) -> Decimal:
    if not isinstance(value, list):
        return number(value)
    return sum((number(one["value"] if isinstance(one, Mapping) and "value" in one else one) for one in value), ZERO)


def records(told: Any) -> CategoryUsage:
    """Return events with a day each, `MM-DD` or in full, and a value."""
    found = [Words(record, "a record") for record in listed(told)]
    at = [instant(word.need("at")) for word in found]
    values = [number(word.one("value", "quantity")) for word in found]
    for word in found:
        word.done()
    return events(values, at=at)


def day(told: Any, year: int = PERIOD.start.year) -> dt.date:
    """Return a day written as 2026-11-22 or 11-22, with or without its weekday."""
    found = re.fullmatch(r"(?:(\d{4})-)?(\d{2})-(\d{2})(?: \(\w+\))?", told if isinstance(told, str) else "")
    if found is None:
        raise NotUnderstood(f"day {told!r}")
    if not 2000 <= int(found[1] or year) < 2099:
        raise NotUnderstood(f"day {told!r}, which is out of the years 2000 to 2098")
    try:
        return dt.date(int(found[1] or year), int(found[2]), int(found[3]))
    except ValueError as error:
        raise NotUnderstood(f"day {told!r}: {error}") from error


def instant(told: Any) -> dt.datetime:
    """Return the midnight of a day, or the instant written with a time: 2026-11-22T10:00:00Z, with or without zone."""
    found = re.fullmatch(
        r"(.+?)[T ](\d{2}):(\d{2})(?::(\d{2}))?(Z|[+-]\d{2}:\d{2})?", told if isinstance(told, str) else ""
    )
    on = day(told if found is None else found[1])
    if found is None:
        return dt.datetime(on.year, on.month, on.day, tzinfo=dt.UTC)
    zone = "+00:00" if found[5] in (None, "Z") else found[5]
    try:
        return dt.datetime.fromisoformat(f"{on}T{found[2]}:{found[3]}:{found[4] or '00'}{zone}").astimezone(dt.UTC)
    except ValueError as error:
        raise NotUnderstood(f"instant {told!r}: {error}") from error


def in_spans(uses: Words) -> tuple[Span | None, CategoryUsage] | None:
    """Return usage by hours, days, windows or groups, and which span of time it is by; None where it is by none."""
    name = next((word for word in (*SPANS, *GROUPED) if uses.has(word)), None)
    if name is None:
        return None
    told = uses.take(name)
    if name in GROUPED:
        named = told.items() if isinstance(told, Mapping) else enumerate(listed(told))
        return None, parts(_grouped(dict(named), PERIOD.start))
    span = SPANS[name]
    if isinstance(told, Mapping):
        at = [(_begin(place, span), inside) for place, inside in told.items()]
    else:
        at = [(_nth(place, span), inside) for place, inside in enumerate(told if isinstance(told, list) else [told])]
    return span, parts(
        piece for begins, inside in sorted(at, key=lambda one: one[0]) for piece in _inside(inside, begins)
    )


def _nth(place: int, span: Span) -> dt.datetime:
    return PERIOD.start + place * (dt.timedelta(hours=1) if span == "hour" else dt.timedelta(days=1))


def _begin(name: Any, span: Span) -> dt.datetime:
    told = text(name)
    if found := re.fullmatch(r"(\d{1,3})(?::00)?", told):
        return _nth(int(found[1]) - (span == "day"), span)  # hours count from 0, days from 1
    return instant(told)


def _inside(told: Any, at: dt.datetime) -> Iterator[Piece]:
    if isinstance(told, Mapping):
        yield from _grouped(told, at)
    else:
        for value in told if isinstance(told, list) else [told]:
            yield at, "", number(value)


def _grouped(told: Mapping[Any, Any], at: dt.datetime) -> Iterator[Piece]:
    for name, inside in told.items():
        for value in inside if isinstance(inside, list) else [inside]:
            yield at, group({"group": str(name)}), number(value)


def percentage_events(uses: Words) -> CategoryUsage:
    """Return events: each value, or their number and sum, with or without the running totals of the first ones."""
    if not uses.has("events"):
        found = uses.one("amount", "amounts", "event_amounts", "values", "event_amount")
        return events(numbers(found) if isinstance(found, list) else [number(found)])
    told = uses.take("events")
    if isinstance(told, list):
        return events([number(one["value"] if isinstance(one, Mapping) and "value" in one else one) for one in told])
    total, how_many = number(uses.need("total")), count(told)
    running = numbers(uses.take("running_totals", []))
    if not running:
        return events([ZERO]) if not total else CategoryUsage(total, events=how_many)
    with exact():
        known = [after - before for before, after in zip([ZERO, *running], running, strict=False)]
        rest = how_many - len(known)
        if not 0 <= rest <= MANY or (rest == 0 and running[-1] != total):
            raise NotUnderstood(f"{how_many} events with {len(running)} running totals")
        # Of several events after these the sum alone is known; it says enough where neither limits nor the allowance
        # look at each of them, and the caller sees to that.
        later = [total - running[-1], *[ZERO] * (rest - 1)] if rest else []
    return events([*known, *later])


def dynamic_events(uses: Words) -> CategoryUsage:
    """Return events that carry money, each or as a sum."""
    found = uses.one("event_amounts", "amounts", "total", "amount")
    amounts = numbers(found) if isinstance(found, list) else [number(found)]
    quantity = number(uses.take("quantity", str(len(amounts))))
    rest = [Decimal(1)] * (len(amounts) - 1)
    return events([quantity - len(rest), *rest] if amounts else [], amounts=amounts)


def matrix_events(uses: Words, price: Mapping[str, Any]) -> CategoryUsage:
    """Return events with attributes: listed, one by its dimensions' values, or quantities by the only dimension's."""
    dimensions: list[str] = price["dimensions"]
    if uses.has("events"):
        found = []
        for event in listed(uses.take("events")):
            attributes = dict(mapping(event))
            quantity = next((attributes.pop(word) for word in ("value", "quantity") if word in attributes), None)
            found.append((number(quantity), group(attributes)))
    elif uses.has("quantity"):
        attributes = {name: text(uses.take(name)) for name in dimensions if uses.has(name)}
        found = [(number(uses.take("quantity")), group(attributes))]
    elif len(dimensions) == 1:
        named = {text(mapping(rule.get("match")).get(dimensions[0])) for rule in price["rules"]}
        anything = "default" in price or "*" in named
        left = uses.rest() if anything else {name: uses.take(name) for name in sorted(named) if uses.has(name)}
        found = [(number(value), group({dimensions[0]: name})) for name, value in left.items()]
    else:
        raise NotUnderstood("usage of a matrix without its dimensions")
    return events([value for value, _ in found], dimensions=[dimension for _, dimension in found])


def group(attributes: Mapping[str, Any]) -> str:
    """Return attributes as the meter groups by them; '' where there are none."""
    if not attributes:
        return ""
    return json.dumps(dict(sorted(attributes.items())), separators=(",", ":"), ensure_ascii=False, default=str)
