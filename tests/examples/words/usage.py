"""How examples say what was used: a quantity at one or more moments, records, windows, groups, events."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from schemas.money import exact
from schemas.statements import CategoryUsage
from tests.examples.case import PERIOD, ZERO, Bill, Charge, NotUnderstood, Words, count, events, number, used


def moments(charge: Charge, uses: Words, **more: Any) -> list[Bill]:
    """Return the bills of a single charge, as its quantity was known at one or more moments."""
    bill = Bill((charge,), **more)
    return [replace(bill, uses=(used(quantity),)) for quantity in quantities(uses)]


def quantities(uses: Words) -> list[Decimal]:
    """Return the quantity at one or more moments."""
    if uses.has("cumulative_quantities"):
        return [number(value) for value in uses.take("cumulative_quantities")]
    with exact():
        if uses.has("already_billed_quantity"):
            before = number(uses.take("already_billed_quantity"))
            new = [uses.take(word) for word in ("quantity", "late", "new") if uses.has(word)]
            return [before, before + sum(map(_quantity, new), ZERO)]
        words = uses.rest()
        if len(words) != 1:
            raise NotUnderstood(f"usage: {', '.join(sorted(words)) or 'nothing'}")
        ((name, value),) = words.items()
        # A single number under any other plain word is the quantity, named by its unit: minutes, mbytes, seats.
        if re.search(r"amount|billed|day|period|fee", name):
            raise NotUnderstood(f"usage: {name}")
        return [_quantity(value)]


def _quantity(value: Any) -> Decimal:
    return sum(map(number, value), ZERO) if isinstance(value, list) else number(value)


def records(listed: list[Mapping[str, Any]]) -> CategoryUsage:
    """Return events with a day each, `MM-DD` or in full, and a value."""
    found = [Words(record, "a record") for record in listed]
    at = [day(word.need("at")) for word in found]
    values = [number(word.need("value")) for word in found]
    for word in found:
        word.done()
    return events(values, at=[dt.datetime(one.year, one.month, one.day, tzinfo=dt.UTC) for one in at])


def day(text: Any, year: int = PERIOD.start.year) -> dt.date:
    """Return a day written as 2026-11-22 or 11-22, with or without its weekday."""
    found = re.fullmatch(r"(?:(\d{4})-)?(\d{2})-(\d{2})(?: \(\w+\))?", text if isinstance(text, str) else "")
    if found is None:
        raise NotUnderstood(f"day {text!r}")
    try:
        return dt.date(int(found[1] or year), int(found[2]), int(found[3]))
    except ValueError as error:
        raise NotUnderstood(f"day {text!r}: {error}") from error


def percentage_events(uses: Words) -> CategoryUsage:
    """Return events: each value, or their number and sum, with or without the running totals."""
    if uses.has("amount"):
        return events([number(uses.take("amount"))])
    listed = uses.need("events")
    if isinstance(listed, list):
        return events(list(map(number, listed)))
    total, how_many = number(uses.need("total")), count(listed)
    running = [number(value) for value in uses.take("running_totals", [])]
    if running:
        values = [after - before for before, after in zip([ZERO, *running], [*running, total], strict=True)]
        if len(values) != how_many:
            raise NotUnderstood(f"{how_many} events with {len(running)} running totals")
        return events(values)
    if not total:
        return events([ZERO] * how_many)
    return CategoryUsage(total, events=how_many)


def dynamic_events(uses: Words) -> CategoryUsage:
    """Return events that carry money, each or as a sum."""
    if uses.has("event_amounts"):
        amounts = list(map(number, uses.take("event_amounts")))
    elif uses.has("total_cents"):
        amounts = [number(uses.take("total_cents")).scaleb(-2)]
    else:
        amounts = [number(uses.need("amount"))]
    quantity = number(uses.take("quantity", str(len(amounts))))
    rest = [Decimal(1)] * (len(amounts) - 1)
    return events([quantity - len(rest), *rest], amounts=amounts)


def matrix_events(uses: Words, dimensions: list[str], rules: list[Mapping[str, Any]]) -> CategoryUsage:
    """Return events with attributes: listed, one by its dimensions' values, or quantities by the only dimension's."""
    if uses.has("events"):
        found = []
        for listed in uses.take("events"):
            attributes = dict(listed)
            found.append((number(attributes.pop("value")), group(attributes)))
    elif uses.has(*dimensions, "quantity"):
        attributes = {name: uses.take(name) for name in dimensions}
        found = [(number(uses.take("quantity")), group(attributes))]
    elif len(dimensions) == 1:
        named = {rule["match"].get(dimensions[0]) for rule in rules}
        words = {name: uses.take(name) for name in sorted(named - {None, "*"}) if uses.has(name)}
        found = [(number(value), group({dimensions[0]: name})) for name, value in words.items()]
    else:
        raise NotUnderstood("usage of a matrix without its dimensions")
    return events([value for value, _ in found], dimensions=[dimension for _, dimension in found])


def group(attributes: Mapping[str, Any]) -> str:
    """Return attributes as the meter groups by them."""
    return json.dumps(dict(sorted(attributes.items())), separators=(",", ":"), ensure_ascii=False)
