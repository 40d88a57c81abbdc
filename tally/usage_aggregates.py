"""Usage beyond its sum, for analysts: what `tally usage --aggregate` answers.

| aggregate | of | from |
|---|---|---|
| count | events | usage rows |
| max | the largest quantity of one event | usage rows |
| average | quantity of an event: quantity / events | usage rows |
| latest | the quantity of the last event, by event time | kept events |
| unique | how many different values of the kept attribute there are; events without it have none | kept events |
| weighted-sum | levels x the part of the hour, day or month for which each held | kept events |

Kept events are there for categories whose catalogue entry says `keep`. For a weighted sum a quantity is a level that
holds until the next event of the same row; the level at the start of the range is that of the last event before it.
Quotients are exact, shown to 18 digits after the point. A view is read as it is at that moment, like all usage.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from schemas.catalogue import Catalogue
from schemas.errors import SettingsError
from schemas.money import exact, round_to, steps_in
from sinks.remeters import COUNTS
from sinks.store import Store
from tally.units import show_instant
from tally.usage import (
    SECOND,
    STARTS,
    TEXT,
    By,
    UsageAnswer,
    UsageQuery,
    check_categories,
    limited,
    second_of,
    told_apart,
    usage_sql,
)

Aggregate = Literal["count", "max", "average", "latest", "unique", "weighted-sum"]
AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)

OF_ROWS: Final[dict[Aggregate, tuple[str, ...]]] = {
    "count": ("sum(events)",),
    "max": ("max(max_quantity)",),
    "average": ("sum(quantity)", "sum(events)"),
}
"""Aggregates that usage rows answer, as values of the usage views."""

_OF_EVENTS: Final[dict[Aggregate, str]] = {
    "latest": "argMax(quantity, (timestamp, topic, partition, generation, offset, `index`))",
    "unique": "uniqExactIf(value, value != '')",
}
_SHOWN: Final[dict[Aggregate, str]] = {"latest": "true", "unique": "found > 0"}
"""Which rows there are: of a category that keeps no attribute, no values is no answer."""
_FINE: Final = Decimal(1).scaleb(-18)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def read_aggregate(
    store: Store, query: UsageQuery, aggregate: Aggregate, catalogue: Catalogue | None, window: int
) -> UsageAnswer:
    """Ask a store for an aggregate of usage; the last value of each row is it, under its own name.

    `catalogue` says which categories there are and which keep their events (None: not known); `window` is the length of
    a usage window in microseconds. Raises SettingsError for what cannot be answered, StoreMismatch where the store has
    not been migrated.
    """
    store.check_version()
    complete_to = store.complete_to()
    check_categories(store, query.categories, () if catalogue is None else catalogue.names)
    grouped = told_apart(store, query)
    answer = UsageAnswer(complete_to, (*grouped, "window_start", aggregate.replace("-", "_")), rows=iter(()))
    if aggregate in OF_ROWS:
        rows = store.stream(*usage_sql(query, grouped, OF_ROWS[aggregate]))
        if aggregate == "average":
            rows = ((*row[:-2], quotient(int(row[-2]), int(row[-1]))) for row in rows)
    else:
        _check_kept(store, query.categories, aggregate, catalogue)
        if aggregate == "weighted-sum":
            rows = _weighted(store, query, grouped, window)
        else:
            rows = store.stream(*_of_events(query, grouped, aggregate, window))
    answer.rows = limited(answer, rows, query.limit)
    return answer


def quotient(total: int, parts: int) -> str:
    """Return total / parts as a plain decimal, rounded half away from zero at 18 digits after the point."""
    with exact():
        found = steps_in(Decimal(total), _FINE * parts, "half_away") * _FINE
    text = f"{round_to(found, _FINE):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check_kept(store: Store, asked: Collection[str], aggregate: Aggregate, catalogue: Catalogue | None) -> None:
    keeps = {} if catalogue is None else {catalogue.names[row]: keep for row, keep in catalogue.keeps().items()}
    wanted = "value != ''" if aggregate == "unique" else "true"
    for name in asked:
        keep = keeps.get(name)
        declared = keep is not None and (aggregate != "unique" or keep.value is not None)
        sql = f"SELECT 1 FROM kept_events WHERE category = {{category:String}} AND {wanted} AND {COUNTS} LIMIT 1"
        if not declared and not store.query(sql, {"category": name}):
            what = "no attribute of its events is kept" if aggregate == "unique" else "its events are not kept"
            raise SettingsError(
                f"--category {name}: {what}, and totals cannot answer --aggregate {aggregate}; give it a keep entry in "
                "the category catalogue, as in keep: {value: user_id}; events are kept from then on"
            )


def _where(query: UsageQuery) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = list[str](), dict[str, Any]()
    if query.orgs:
        conditions.append("org_id IN {orgs:Array(UInt64)}")
        parameters["orgs"] = list(query.orgs)
    if query.categories:
        conditions.append("category IN {categories:Array(String)}")
        parameters["categories"] = list(query.categories)
    return conditions, parameters


def _ranged(query: UsageQuery) -> tuple[str, dict[str, Any]]:
    """Return the WHERE clause of a query on kept events: windows that start in its range, by what lies in them."""
    conditions, parameters = _where(query)
    for name, sign, bound in (("start", ">=", second_of(query.start)), ("end", "<", second_of(query.end))):
        if bound is not None:
            conditions.append(f"timestamp {sign} toDateTime64({{{name}:UInt32}}, 6, 'UTC')")
            parameters[name] = bound
    return f"WHERE {' AND '.join(conditions)} " if conditions else "", parameters


def _starts(by: By, window: int) -> str:
    if by == "window":
        return f"toStartOfInterval(toDateTime(timestamp, 'UTC'), INTERVAL {window // SECOND} SECOND)"
    return STARTS[by].format("toDateTime(timestamp, 'UTC')")


def _of_events(
    query: UsageQuery, grouped: tuple[str, ...], aggregate: Aggregate, window: int
) -> tuple[str, dict[str, Any]]:
    value, having = _OF_EVENTS[aggregate], _SHOWN[aggregate]
    where, parameters = _ranged(query)
    limit = "" if query.limit is None else f" LIMIT {int(query.limit) + 1}"
    keys, order = ", ".join(grouped), ", ".join(("org_id", "category", "starts", *grouped[2:]))
    inner = (
        f"SELECT {keys}, {_starts(query.by, window)} AS starts, {value} AS found FROM kept_events_current {where}"
        f"GROUP BY {keys}, starts HAVING {having} ORDER BY {order}{limit}"
    )
    return f"SELECT {keys}, {TEXT.format('starts')}, found FROM ({inner}) ORDER BY {order}", parameters


def _weighted(store: Store, query: UsageQuery, grouped: tuple[str, ...], window: int) -> Iterator[tuple[Any, ...]]:
    """Yield a row for every unit of time in the range in which a level is known, in the order of rows and time."""
    if query.start is None or query.end is None:
        raise SettingsError("--aggregate weighted-sum: give --from and --to, since a level holds until the next event")
    conditions, parameters = _where(query)
    conditions.append("timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')")
    # One look at the events, so that all of them count at one moment: the last before the range as a level, those
    # within it in their order, a row at a time.
    keys = ", ".join(grouped)
    sql = (
        f"SELECT {keys}, countIf(at < {{start:Int64}}), argMaxIf(quantity, place, at < {{start:Int64}}), "
        "arraySort(groupArrayIf((place, quantity), at >= {start:Int64})) "
        "FROM (SELECT *, toUnixTimestamp64Micro(timestamp) AS at, "
        "(at, toString(topic), partition, generation, offset, `index`) AS place FROM kept_events_current "
        f"WHERE {' AND '.join(conditions)}) GROUP BY {keys} ORDER BY {keys}"
    )
    for row in store.stream(sql, {**parameters, "start": query.start, "end": query.end}):
        key, (before, level, within) = row[: len(grouped)], row[len(grouped) :]
        levels = [(query.start, int(level))] if before else []
        levels += [(int(place[0]), int(quantity)) for place, quantity in within]
        for unit, area, length in _areas(levels, query.by, query.end, window):
            yield (*key, show_instant(unit), quotient(area, length))


def _areas(levels: list[tuple[int, int]], by: By, end: int, window: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, level x microseconds, length) of every unit from the first level on; instants in microseconds."""
    unit, following = unit_of(levels[0][0], by, window)
    area = 0
    for (at, level), until in zip(levels, [*(at for at, _ in levels[1:]), end], strict=True):
        since = at
        while until >= following:
            area += level * (following - since)
            yield unit, area, following - unit
            since, area = following, 0
            unit, following = unit_of(following, by, window)
        area += level * (until - since)
    if unit < end:
        yield unit, area, following - unit


def unit_of(at: int, by: By, window: int) -> tuple[int, int]:
    """Return [start, end) of the window, hour, day or month (UTC) that an instant lies in; microseconds."""
    if by == "month":
        day = (_EPOCH + dt.timedelta(microseconds=at)).date().replace(day=1)
        after = (day + dt.timedelta(days=31)).replace(day=1)
        return _midnight(day), _midnight(after)
    length = {"window": window, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}[by]
    start = at - at % length
    return start, start + length


def _midnight(day: dt.date) -> int:
    return (day - _EPOCH.date()).days * 86_400 * SECOND
