"""The queries of a period's usage: totals by part, and kept events, each with a hash of every row that was read."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from schemas.errors import SettingsError
from schemas.period import Period

HASH: Final = 1 << 128

Grain = Literal["total", "window", "quarter", "hour", "day"]
"""How long a part of the usage is. Every zone's hours and days are whole quarters of an hour, and so windows."""

_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_QUARTER: Final = dt.timedelta(minutes=15)


class Need(NamedTuple):
    """What a category's prices ask for beside its total.

    Parts by time (`grain`; hours and days are those of `zone`) and, with `dimensions`, by grouped attributes; with
    `events` every event by itself, which only a category whose catalogue entry says `keep` has.
    """

    grain: Grain = "total"
    dimensions: bool = False
    events: bool = False
    zone: str = "UTC"

    @property
    def in_parts(self) -> bool:
        """Say whether parts are asked for."""
        return self.grain != "total" or self.dimensions


# The hash is of what makes a row the row that it is, its key and its version; the sum (modulo 2^128) has no order, so
# neither merges nor threads change it. Sums are Int128: Int64 would wrap without a word. The groups come in the table's
# own order, so that the engine hands over one organisation and category after the other instead of holding them all.
# It sorts them once more all the same: on disk from 64 MiB on, merged in small blocks, since as many as there are parts
# of the sort are held at a time. (A ratio that is not 0 would win over the bytes.)
_IN_BOUNDS: Final = (
    "max_bytes_before_external_sort = 67108864, max_bytes_ratio_before_external_sort = 0, max_block_size = 8192"
)
_USAGE: Final = """
SELECT
    org_id,
    toString(category) AS name,
    <part> AS part,
    <dimensions> AS grouped,
    sum(toInt128(quantity)) AS total,
    sum(toInt128(events)) AS total_events,
    max(max_quantity) AS largest,
    toUnixTimestamp(min(window_start)) AS first_window,
    toUnixTimestamp(max(window_start)) AS last_window,
    <generations> AS generations,
    count() AS read_rows,
    sum(reinterpretAsUInt128(sipHash128Reference(
        org_id, toString(category), toUnixTimestamp(window_start), project_id, dimensions,
        toString(topic), partition, generation, segment, last_offset))) AS read_hash
FROM active_windows
WHERE window_start >= toDateTime({start:UInt32}, 'UTC') AND window_start < toDateTime({end:UInt32}, 'UTC')<org>
GROUP BY org_id, category, part, grouped
ORDER BY org_id, category
SETTINGS optimize_aggregation_in_order = 1, <in_bounds>
""".replace("<in_bounds>", _IN_BOUNDS)

# Events by generation of a log, where the category's events are asked for: those that were kept are held to it.
_GENERATIONS: Final = (
    "sumMapIf([toString((toString(topic), partition, generation))], [toInt128(events)], "
    "category IN {with_events:Array(String)})"
)

_KEPT: Final = """
SELECT
    org_id,
    toString(category),
    toUnixTimestamp64Micro(timestamp),
    quantity,
    value,
    amount,
    dimensions,
    toString((toString(topic), partition, generation)),
    reinterpretAsUInt128(sipHash128Reference(
        'kept', org_id, toString(category), toUnixTimestamp64Micro(timestamp), toString(topic), partition, generation,
        offset, `index`))
FROM kept_events_current
WHERE category IN {categories:Array(String)} AND timestamp >= toDateTime64({start:UInt32}, 6, 'UTC')
    AND timestamp < toDateTime64({end:UInt32}, 6, 'UTC')<org>
ORDER BY org_id, category, timestamp, topic, partition, generation, offset, `index`
SETTINGS <in_bounds>
""".replace("<in_bounds>", _IN_BOUNDS)

_GRAINS: Final[dict[Grain, str]] = {
    "window": "toUnixTimestamp(window_start)",
    "quarter": "intDiv(toUnixTimestamp(window_start), 900) * 900",
    "hour": "toUnixTimestamp(toStartOfHour(window_start, '{zone}'))",
    "day": "toUnixTimestamp(toStartOfDay(window_start, '{zone}'))",
}


def usage_sql(
    period: Period, needs: Mapping[str, Need], bounds: Sequence[dt.datetime], org_id: int | None
) -> tuple[str, dict[str, Any]]:
    """Return the query of usage rows: org, category, part's start, dimensions, sums, windows, and what names the rows.

    Before what names the rows come generations and their events, ([names], [events]); 0 where no events are asked for.
    `bounds` are the period's start and the cuts in it, ascending.
    """
    parameters = _parameters(period, org_id)
    branches: dict[str, list[str]] = {}
    for category, need in sorted(needs.items()):
        if need.grain != "total":
            branches.setdefault(_GRAINS[need.grain].format(zone=_checked(need.zone)), []).append(category)
    part = "{start:UInt32}"
    if branches:
        asked = []
        for number, (starts, categories) in enumerate(branches.items()):
            parameters[f"parts{number}"] = categories
            asked.append(f"category IN {{parts{number}:Array(String)}}, toUInt32({starts})")
        part = f"greatest(multiIf({', '.join(asked)}, {{start:UInt32}}), {{start:UInt32}})"
    if len(bounds) > 1:
        parameters["cuts"] = [int(bound.timestamp()) for bound in bounds]
        cut = "arrayMax(arrayMap(c -> if(c <= toUnixTimestamp(window_start), c, 0), {cuts:Array(UInt32)}))"
        part = f"greatest({part}, toUInt32({cut}))"
    grouped = sorted(category for category, need in needs.items() if need.dimensions)
    dimensions = "''"
    if grouped:
        parameters["grouped"] = grouped
        dimensions = "if(category IN {grouped:Array(String)}, dimensions, '')"
    generations = "0"  # an empty tuple would take as long to read as half of all else in a row
    if any(need.events for need in needs.values()):
        parameters["with_events"] = sorted(category for category, need in needs.items() if need.events)
        generations = _GENERATIONS
    sql = _USAGE.replace("<part>", part).replace("<dimensions>", dimensions).replace("<org>", _org(org_id))
    return sql.replace("<generations>", generations), parameters


def kept_sql(period: Period, categories: Sequence[str], org_id: int | None) -> tuple[str, dict[str, Any]]:
    """Return the query of kept events, in the order of organisation, category, event time and position.

    A generation's name is that of the query of usage rows.
    """
    return _KEPT.replace("<org>", _org(org_id)), {**_parameters(period, org_id), "categories": list(categories)}


def part_start(at: dt.datetime, grain: Grain, zone: dt.tzinfo, window: dt.timedelta, start: dt.datetime) -> dt.datetime:
    """Return the start of the part that an instant of a period is in, as the query of usage rows has it."""
    if grain in {"window", "quarter"}:
        return at - (at - _EPOCH) % (window if grain == "window" else _QUARTER)
    if grain == "total":
        return start
    local = at.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    return max(start, (local if grain == "hour" else local.replace(hour=0, fold=0)).astimezone(dt.UTC))


def latest_cut(at: dt.datetime, bounds: Sequence[dt.datetime]) -> dt.datetime:
    """Return the last of the bounds, the first of which is at or before the instant, that the instant has reached."""
    return max(bound for bound in bounds if bound <= at)


def snapshot_id(rows: int, summed_hash: int) -> str:
    """Return the name of the usage rows that were read: how many, and the sum of their hashes."""
    return f"{rows}-{summed_hash:032x}"


def _parameters(period: Period, org_id: int | None) -> dict[str, Any]:
    bounds = {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}
    return bounds if org_id is None else {**bounds, "org": org_id}


def _org(org_id: int | None) -> str:
    return "" if org_id is None else " AND org_id = {org:UInt64}"


def _checked(zone: str) -> str:
    """Return a zone's name, which goes into the query as it stands; raises SettingsError for one that there is not."""
    try:
        if _ZONE.fullmatch(zone):
            return ZoneInfo(zone).key
    except (KeyError, OSError, ValueError):
        pass
    raise SettingsError(f"time zone {zone!r}: there is no such zone; write a name such as Europe/Vienna")
