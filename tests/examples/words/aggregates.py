"""Examples of aggregations: how events become one quantity."""

import datetime as dt
import re
from decimal import Decimal
from typing import Any, Final

from rater.account import Account
from schemas.errors import TallyError
from schemas.period import Period
from schemas.statements import CategoryUsage
from tests.examples.case import (
    PERIOD,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    events,
    listed,
    number,
    numbers,
    one,
    per_unit,
    text,
    written,
)
from tests.examples.words.usage import in_spans, instant

FUNCTIONS: Final = {
    **dict.fromkeys(("sum", "total"), "sum"),
    "count": "count",
    **dict.fromkeys(("max", "maximum"), "max"),
    **dict.fromkeys(("min", "minimum"), "min"),
    **dict.fromkeys(("latest", "last"), "latest"),
    **dict.fromkeys(("average", "avg", "mean"), "average"),
    **dict.fromkeys(("unique", "unique_count", "count_unique", "distinct", "count_distinct"), "unique_count"),
}
IDENTITIES: Final = ("user", "id", "event_id", "user_id", "name", "key", "value_of")


def aggregate(words: Words, uses: Words) -> Case:
    """A quantity from events; the answer is the quantity."""
    function = text(words.need("function"))
    charge: Charge = per_unit("1")
    if (multiplier := words.take("multiplier")) is not None:
        charge["convert"] = {"multiply": written(multiplier)}
    if function == "weighted_sum":
        case = weighted_sum(words, uses, charge)
        return Case(case.moments, asked="units")
    charge["aggregate"], usage = measured(function, uses, words.take("dedup"))
    return one(Bill((charge,), (usage,)), asked="units")


def measured(function: str, uses: Words, dedup: Any = None) -> tuple[Any, CategoryUsage]:
    """Return an aggregation as a price book writes it, and the usage that it is of."""
    if function not in FUNCTIONS:
        return _of_windows(function, uses)
    name = FUNCTIONS[function]
    if dedup is None:
        return name, _events(uses, name)
    if not re.fullmatch(r"(last|latest)( value)? per (event )?id", text(dedup)) or name not in ("sum", "count"):
        raise NotUnderstood(f"dedup {dedup!r} of {function}")
    # A repeated id corrects what came before.
    return {"sum": "sum_of_latest", "count": "unique_count"}[name], _events(uses, "unique_count", by_id=True)


def known(function: Any) -> None:
    """Raise NotUnderstood where a function is none of those that a quantity may have come from."""
    if text(function) != "weighted_sum" and function not in FUNCTIONS:
        _windows_of(function)


def _windows_of(function: str) -> tuple[str, bool]:
    """Return the window of whose maxima a function is the sum, and whether it is by group too."""
    told = set(re.findall(r"[a-z]+", function.lower()))
    spans = {"hour": {"hour", "hourly", "bucket", "window"}, "day": {"day", "daily"}}
    asked = [span for span, names in spans.items() if told & names]
    words = {"sum", "summed", "of", "max", "maxima", "maximum", "per", "and", "each", "group", "groups", "the"}
    words |= spans["hour"] | spans["day"]
    if not ({"sum", "summed"} & told and {"max", "maxima", "maximum"} & told) or len(asked) != 1 or told - words:
        raise NotUnderstood(f"function {function!r}")
    return asked[0], "group" in told


def _of_windows(function: str, uses: Words) -> tuple[Any, CategoryUsage]:
    """Read the sum of the maxima of windows, in whatever order it is said."""
    window, by_group = _windows_of(function)
    found = in_spans(uses)
    if found is None:
        raise NotUnderstood(f"function {function!r} without windows")
    return {"function": "sum_of_max", "window": window, "by_group": by_group}, found[1]


def _events(uses: Words, function: str, *, by_id: bool = False) -> CategoryUsage:
    if uses.has("values"):
        values = listed(uses.take("values"))
        if function == "unique_count" and not by_id:
            return events([Decimal(1)] * len(values), names=list(map(str, values)))
        return events(numbers(values), names=[str(place) for place in range(len(values))])
    found = [_event(Words(told, "an event"), function, by_id=by_id) for told in listed(uses.need("events"))]
    at = [when for _, _, when in found if when is not None]
    if at and len(at) != len(found):
        raise NotUnderstood("events of which some have a time")
    return events([value for value, *_ in found], names=[name for _, name, _ in found], at=at)


def _event(words: Words, function: str, *, by_id: bool) -> tuple[Decimal, str, dt.datetime | None]:
    at = words.any("at", "timestamp", "time")
    value = words.any("value", "quantity")
    names = {name: str(told) for name, told in words.listed(*IDENTITIES)}
    words.done()
    ids = [name for name in names if name in ("id", "event_id")]
    others = [name for name in names if name not in ids]
    chosen = (ids or others) if by_id else (others or ids)
    if function == "unique_count" and not by_id and not chosen:
        return Decimal(1), str(value), None if at is None else instant(at)
    if (by_id and not chosen) or len(chosen) > 1:
        raise NotUnderstood(f"an event by {' and '.join(names) or 'no id'}")
    quantity = Decimal(1) if value is None and function in ("count", "unique_count") else number(value)
    return quantity, names[chosen[0]] if chosen else "", None if at is None else instant(at)


def weighted_sum(words: Words, uses: Words, charge: Charge) -> Case:
    """Levels × the part of the period for which each holds; events change the level, or say it (`level`)."""
    words.told("recurring", True, False)
    values, at, levels = [], [], set()
    for told in listed(uses.need("events")):
        event = Words(told, "an event")
        at.append(instant(event.need("at")))
        levels.add(event.has("level"))
        values.append(number(event.one("value", "level", "change")))
        event.done()
    if len(levels) > 1:
        raise NotUnderstood("events that say a level, and events that change one")
    period = words.any("period", default=uses.take("period"))
    month = PERIOD if period is None and not at else _period(period or f"{min(at):%Y-%m}")
    carried = uses.take("carried_in")
    account = Account(levels={"category-0": number(carried)}) if carried is not None else Account()
    priced = {**charge, "aggregate": {"function": "weighted_sum", "changes": levels != {True}}}
    return one(Bill((priced,), (events(values, at=at),), period=month, account=account))


def _period(told: Any) -> Period:
    bounds = re.fullmatch(r"(.+?)\.\.(.+)", text(told))
    try:
        if bounds is None:
            return Period.parse(told)
        return Period.days(instant(bounds[1]).date(), instant(bounds[2]).date())
    except (ValueError, TallyError) as error:
        raise NotUnderstood(f"period {told!r}: {error}") from error
