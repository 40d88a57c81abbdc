"""Generated records read back by plain json and the rules as ARCHITECTURE.md has them, for the oracle to meter."""

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

from schemas.metering import MeterSettings
from schemas.progress import Counts
from tally.generate import Sum, TrafficSpec
from tally.generate.expected import Key
from tests.oracle import Event, Outcome, Record, Rules, meter

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MISSING = object()


class Fraction:
    """A JSON number with a fraction or an exponent: never an integer, whatever its value."""


def no_constant(text: str) -> Any:
    raise ValueError(text)


def values_of(record: bytes) -> list[Any]:
    """Return the JSON values of a record's events; the word not_json for one that is none."""
    try:
        whole = read(record.decode())
        return whole if isinstance(whole, list) else [whole]
    except ValueError:
        lines = record.split(b"\n")
        return [value for line in lines for value in values_of(line)] if len(lines) > 1 else ["not_json"]


def read(text: str) -> Any:
    return json.loads(text, parse_float=lambda _: Fraction(), parse_constant=no_constant)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def event_of(value: Any, spec: TrafficSpec) -> Event:
    """Return what the oracle takes for one JSON value; reasons are asked in the closed order."""
    if isinstance(value, str) and value == "not_json":
        return Event(rejected="not_json")
    if not isinstance(value, dict):
        return Event(rejected="not_an_object")
    return {"tally": native, "sentry-outcomes": sentry, "cloudevents": cloud}[spec.format](value, spec)


def native(value: dict[str, Any], spec: TrafficSpec) -> Event:
    required = ("event_id", "org_id", "project_id", "category", "quantity", "timestamp")
    if any(name not in value for name in required):
        return Event(rejected="missing_field")
    texts = all(isinstance(value[name], str) for name in ("event_id", "category", "timestamp"))
    numbers = all(whole(value[name]) for name in ("org_id", "project_id"))
    if not texts or not numbers or not isinstance(value["quantity"], int | Fraction) or value["quantity"] is True:
        return Event(rejected="wrong_type")
    return counted(value, value["category"], spec, value["org_id"], value["event_id"], value["project_id"])


def sentry(value: dict[str, Any], spec: TrafficSpec) -> Event:
    if "timestamp" not in value or "outcome" not in value:
        return Event(rejected="missing_field")
    given = {"org_id": None, "project_id": None, "category": None, "quantity": None} | value
    numbers = [given[name] for name in ("org_id", "project_id", "category")]
    if (
        not all(number is None or whole(number) for number in numbers)
        or not whole(given["outcome"])
        or not isinstance(given["quantity"], int | Fraction | None)
        or not isinstance(given["timestamp"], str)
    ):
        return Event(rejected="wrong_type")
    names = {category.id: category.name for category in spec.meter.catalogue.categories}
    quantity = 1 if given["quantity"] is None else given["quantity"]
    category = names.get(1 if given["category"] is None else given["category"])
    words = ("filtered", "rate_limited", "invalid", "abuse", "client_discard", "cardinality_limited")
    why = words[given["outcome"] - 1] if given["outcome"] else None
    read = {"quantity": quantity, "timestamp": given["timestamp"]}
    return counted(read, category, spec, given["org_id"] or 0, None, given["project_id"] or 0, why)


def cloud(value: dict[str, Any], spec: TrafficSpec) -> Event:
    required = ("specversion", "id", "source", "type", "subject", "time")
    if any(name not in value for name in required):
        return Event(rejected="missing_field")
    data = {"quantity": 1, "project_id": 0} | value["data"]
    if (
        not all(isinstance(value[name], str) for name in required)
        or value["specversion"] != "1.0"
        or not isinstance(data["quantity"], int | Fraction)
    ):
        return Event(rejected="wrong_type")
    read = {"quantity": data["quantity"], "timestamp": value["time"]}
    identity = f"{value['source']} {value['id']}"
    return counted(read, value["type"], spec, int(value["subject"]), identity, data["project_id"])


def counted(
    value: dict[str, Any],
    category: str | None,
    spec: TrafficSpec,
    org: int,
    event_id: str | None,
    project: int,
    why: str | None = None,
) -> Event:
    if category not in spec.meter.catalogue.names:
        return Event(rejected="unknown_category")
    assert category is not None
    if isinstance(value["quantity"], Fraction) or not 0 <= value["quantity"] <= 2**53:
        return Event(rejected="bad_quantity")
    at = instant(value["timestamp"])
    if at is None:
        return Event(rejected="bad_timestamp")
    return Event(org, event_id, category, project, value["quantity"], at, not_billable=why)


def instant(text: str) -> int | None:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None or not 2000 <= at.year < 2100 else (at - EPOCH) // dt.timedelta(microseconds=1)


def records_of(path: Path, spec: TrafficSpec) -> list[Record]:
    """Return a generated file's records, for the oracle."""
    records, offset = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        assert line.endswith(b"\n")
        events = tuple(event_of(value, spec) for value in values_of(line[:-1]))
        records.append(Record(offset, None, events))
        offset += len(line)
    return records


def rules_of(settings: MeterSettings) -> Rules:
    return Rules(
        window=settings.window,
        allowed_lateness=settings.allowed_lateness,
        bucket=settings.bucket,
        horizon_buckets=settings.horizon_buckets,
        max_future=settings.max_future,
        max_age=settings.max_age,
        as_of=settings.as_of,
    )


def counts_of(out: Outcome) -> Counts:
    out.check()
    return Counts(
        records=out.counts["records"],
        events=out.counts["events"],
        accepted=out.counts["accepted"],
        late=out.counts["late"],
        duplicates=out.counts["duplicates"],
        not_billable=out.not_billable,
        rejected=out.rejected,
        quantity=out.counts["quantity"],
    )


def judged(paths: list[Path], spec: TrafficSpec) -> tuple[dict[str, Counts], dict[Key, Sum]]:
    """Return what the oracle says of generated files: counts by file, and usage by organisation, category and day."""
    counts: dict[str, Counts] = {}
    quantity: Counter[Key] = Counter()
    events: Counter[Key] = Counter()
    for path in paths:
        out = meter(records_of(path, spec), rules_of(spec.meter))
        counts[path.name] = counts_of(out)
        for (org, category, _, _, window, _), row in out.rows.items():
            key = (org, category, (EPOCH + dt.timedelta(microseconds=window)).date())
            quantity[key] += row.quantity
            events[key] += row.events
    return counts, {key: Sum(quantity[key], events[key]) for key in events}
