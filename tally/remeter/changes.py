"""What a remeter would change, or has changed: usage and verdicts of what it replaces, and of its candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from schemas.log import LogId
from schemas.progress import Counts, Progress
from sinks.remeters import progress_of_every_generation, read_parts
from sinks.store import Store
from tally.usage import UsageQuery

By = Literal["window", "hour", "day", "all"]

_STARTS: Final[Mapping[By, str]] = {
    "window": "window_start",
    "hour": "toStartOfHour(window_start)",
    "day": "toStartOfDay(window_start, 'UTC')",
    "all": "toDateTime(0, 'UTC')",
}

_SELECT: Final = """
SELECT org_id, toString(category), {starts} AS starts, sum(quantity_before), sum(quantity_after), sum(difference),
    sum(events_before), sum(events_after)
FROM remeter_changes WHERE {where}
GROUP BY org_id, category, starts
HAVING sum(difference) != 0 OR sum(events_before) != sum(events_after){every}
ORDER BY {order}{limit}
"""

COLUMNS: Final = (
    "org_id",
    "category",
    "window_start",
    "quantity_before",
    "quantity_after",
    "difference",
    "events_before",
    "events_after",
)

_TOTALS: Final = """
SELECT toString(category), sum(quantity_before), sum(quantity_after), sum(difference), sum(events_before),
    sum(events_after), uniqExactIf(org_id, difference != 0 OR events_before != events_after)
FROM remeter_changes WHERE {where} GROUP BY category ORDER BY toString(category)
"""


@dataclass(frozen=True)
class Verdicts:
    """What became of the events of a remeter's logs, before and after."""

    before: Counts = field(default_factory=Counts)
    after: Counts = field(default_factory=Counts)

    def rows(self) -> list[tuple[str, int, int, int]]:
        """Return name, before, after and difference of every count; reasons one by one."""
        named = [_flat(counts) for counts in (self.before, self.after)]
        names = list(dict.fromkeys([*named[0], *named[1]]))
        return [
            (name, named[0].get(name, 0), named[1].get(name, 0), named[1].get(name, 0) - named[0].get(name, 0))
            for name in names
        ]


def _flat(counts: Counts) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in counts.as_json().items():
        if isinstance(value, dict):
            found |= {f"{name}.{reason}": count for reason, count in value.items()}
        else:
            found[name] = value
    return found


def read_changes(
    store: Store, name: str, query: UsageQuery, by: By, *, unchanged: bool = False
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return rows of COLUMNS, the largest differences first, and whether the limit cut any off.

    `unchanged` has rows too that stay as they are. The windows are those of the query, by whose start they are cut.
    """
    where, parameters = _where(name, query)
    limit = "" if query.limit is None else f" LIMIT {query.limit + 1}"
    sql = _SELECT.format(
        starts=_STARTS[by],
        where=where,
        every=" OR 1" if unchanged else "",
        order="abs(sum(difference)) DESC, org_id, toString(category), starts",
        limit=limit,
    )
    rows = [(*row[:2], None if by == "all" else row[2], *map(int, row[3:])) for row in store.query(sql, parameters)]
    return rows[: query.limit], query.limit is not None and len(rows) > query.limit


def read_totals(store: Store, name: str, query: UsageQuery) -> list[tuple[Any, ...]]:
    """Return by category: quantity before, after, difference, events before, after, and organisations that differ."""
    where, parameters = _where(name, query)
    return [(row[0], *map(int, row[1:])) for row in store.query(_TOTALS.format(where=where), parameters)]


def _where(name: str, query: UsageQuery) -> tuple[str, dict[str, Any]]:
    conditions, parameters = ["remeter = {remeter:String}"], dict[str, Any](remeter=name)
    if query.orgs:
        conditions.append("org_id IN {orgs:Array(UInt64)}")
        parameters["orgs"] = list(query.orgs)
    if query.categories:
        conditions.append("category IN {categories:Array(String)}")
        parameters["categories"] = list(query.categories)
    for bound, sign, instant in (("start", ">=", query.start), ("end", "<", query.end)):
        if instant is not None:
            conditions.append(f"window_start {sign} fromUnixTimestamp64Micro({{{bound}:Int64}}, 'UTC')")
            parameters[bound] = instant
    return " AND ".join(conditions), parameters


def read_verdicts(store: Store, name: str, candidates: Sequence[Progress]) -> Verdicts:
    """Return the counts of the generations that the candidates replace, and of the candidates."""
    replaced = {(part.log, part.generation) for part in read_parts(store, name) if part.role == "replaced"}
    logs: set[LogId] = {one.log for one in candidates}
    before = [
        one.counts
        for topic in sorted({log.topic for log in logs})
        for one in progress_of_every_generation(store, topic)
        if (one.log, one.generation) in replaced
    ]
    return Verdicts(Counts.total(before), Counts.total(one.counts for one in candidates))
