"""Events that are well-formed, and short ways to change and judge them."""

import json
from typing import Any

from schemas.catalogue import load_catalogue
from schemas.formats.base import Decoded, Outcome, Rejected
from schemas.formats.judge import Judge, judge
from schemas.metering import MeterSettings

CATALOGUE = load_catalogue()
ROWS = CATALOGUE.row_by_name()
AT = "2026-11-22T10:00:00.123Z"
AT_MICROS = 1_795_341_600_123_000

ABSENT: Any = object()
"""A change to this takes the field away."""

EVENTS: dict[str, dict[str, Any]] = {
    "tally": {
        "event_id": "a1",
        "org_id": 1,
        "project_id": 7,
        "category": "error",
        "quantity": 3,
        "timestamp": AT,
    },
    "sentry-outcomes": {
        "timestamp": AT,
        "outcome": 0,
        "org_id": 1,
        "project_id": 7,
        "key_id": 9,
        "reason": None,
        "event_id": None,
        "category": 1,
        "quantity": 3,
    },
    "cloudevents": {
        "specversion": "1.0",
        "type": "error",
        "source": "service-0",
        "id": "a1",
        "subject": "1",
        "time": AT,
        "data": {"quantity": 3, "project_id": 7, "method": "GET"},
    },
}

DECODED = {
    "tally": Decoded(1, "a1", 7, ROWS["error"], 3, AT_MICROS, "", None, ""),
    "sentry-outcomes": Decoded(1, None, 7, ROWS["error"], 3, AT_MICROS, "", None, ""),
    "cloudevents": Decoded(1, "9:service-0:a1", 7, ROWS["error"], 3, AT_MICROS, "", None, "service-0"),
}


class Written(str):
    """JSON text to be put in as it stands: `Written("1e2")`, `Written("NaN")`."""

    __slots__ = ()


def settings(format_name: str = "tally", *group_by: str) -> MeterSettings:
    return MeterSettings(CATALOGUE, format=format_name, group_by=group_by)


JUDGES = {name: Judge(settings(name)) for name in EVENTS}


def text_of(value: Any) -> str:
    """Return JSON text; a Written stands as it is, also inside."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{text_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def changed(format_name: str, changes: dict[str, Any]) -> bytes:
    """Return a well-formed event with some fields changed; "data.quantity" reaches inside."""
    event = json.loads(json.dumps(EVENTS[format_name]))
    for path, value in changes.items():
        *outer, last = path.split(".") if "." in path else [path]
        inside = event
        for name in outer:
            inside = inside[name]
        if value is ABSENT:
            del inside[last]
        else:
            inside[last] = value
    return text_of(event).encode()


def outcome(format_name: str, changes: dict[str, Any], *group_by: str) -> Outcome:
    value = changed(format_name, changes)
    (judged,) = judge(value, settings(format_name, *group_by))
    assert judged.raw == value
    return judged.outcome


def reason(found: Outcome) -> str:
    """Return a word for a table: the reason, or `ok`."""
    return found.reason if isinstance(found, Rejected) else "ok"
