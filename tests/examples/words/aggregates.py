"""Examples of aggregations: how events become one quantity."""

import datetime as dt
from decimal import Decimal
from typing import Any

from rater.account import Account
from schemas.period import Period
from schemas.statements import CategoryUsage
from tests.examples.case import (
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    events,
    hour,
    number,
    one,
    parts,
    per_unit,
)
from tests.examples.words.usage import day, group

FUNCTIONS = {
    "sum": "sum",
    "count": "count",
    "max": "max",
    "latest": "latest",
    "last": "latest",
    "average": "average",
    "avg": "average",
    "unique": "unique_count",
    "unique_count": "unique_count",
    "count_unique": "unique_count",
}
WINDOWED = {"max per hour, summed": False, "max per hour and group, summed": True}


def aggregate(words: Words, uses: Words) -> Case:
    """A quantity from events; the answer is the quantity."""
    function = words.need("function")
    multiplier = words.take("multiplier")
    dedup = words.take("dedup")
    charge: Charge = per_unit("1")
    if multiplier is not None:
        charge["convert"] = {"multiply": multiplier}
    if function in WINDOWED:
        charge["aggregate"] = {"function": "sum_of_max", "window": "hour", "by_group": WINDOWED[function]}
        return one(Bill((charge,), (_windows(uses),)), asked="units")
    if function not in FUNCTIONS:
        raise NotUnderstood(f"function {function!r}")
    if dedup is not None:
        if function != "sum" or "per event id" not in dedup:
            raise NotUnderstood(f"dedup {dedup!r}")
        charge["aggregate"] = "sum_of_latest"
    else:
        charge["aggregate"] = FUNCTIONS[function]
    return one(Bill((charge,), (_events(uses, function),)), asked="units")


def _events(uses: Words, function: str) -> CategoryUsage:
    if uses.has("values"):
        values = uses.take("values")
        if FUNCTIONS[function] == "unique_count":
            return events([Decimal(1)] * len(values), names=values)
        return events([number(value) for value in values], names=[str(place) for place in range(len(values))])
    found: list[tuple[Decimal, str]] = []
    for listed in uses.need("events"):
        event = Words(listed, "an event")
        name = next((event.take(word) for word in ("id", "user") if event.has(word)), "")
        found.append((number(event.need("value")), name))
        event.done()
    return events([value for value, _ in found], names=[name for _, name in found])


def _windows(uses: Words) -> CategoryUsage:
    pieces: list[tuple[dt.datetime, str, Decimal]] = []
    if uses.has("hours"):
        for at, values in uses.take("hours").items():
            pieces += [(hour(int(at)), "", number(value)) for value in values]
    else:
        for at, groups in enumerate(uses.need("buckets")):
            pieces += [(hour(at), group({"group": name}), number(value)) for name, value in groups.items()]
    return parts(pieces)


def weighted_sum(words: Words, uses: Words, charge: Charge) -> Case:
    """Levels × the part of the period for which each holds; events are changes of the level."""
    words.skip("recurring")
    month = Period.parse(words.need("period"))
    changes: list[dict[str, Any]] = uses.need("events")
    values, at = [], []
    for listed in changes:
        event = Words(listed, "an event")
        on = day(event.need("at"))
        at.append(dt.datetime(on.year, on.month, on.day, tzinfo=dt.UTC))
        values.append(number(event.need("value")))
        event.done()
    carried = uses.take("carried_in")
    account = Account(levels={"category-0": number(carried)}) if carried is not None else Account()
    priced = {**charge, "aggregate": {"function": "weighted_sum", "changes": True}}
    return one(Bill((priced,), (events(values, at=at),), period=month, account=account))
