"""The closed order of the reasons, against a plain second reading of the page that fixes it."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.formats.base import Rejected
from schemas.formats.strict_json import LongNumber, Number, decode, load
from schemas.formats.timestamps import parse_timestamp
from tests.formats.samples import JUDGES, ROWS
from tests.formats.test_contract import near_events


def integer(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def nullable(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def text(value: Any) -> bool:
    return isinstance(value, str)


def number(value: Any) -> bool:
    return isinstance(value, int | Number | LongNumber) and not isinstance(value, bool)


def scalars(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str | int | Number) for item in value.values())


identity = integer(0, 2**63 - 1)


def tally_reason(event: dict[str, Any]) -> str:
    required: dict[str, Callable[[Any], bool]] = {
        "event_id": lambda value: text(value) and len(value) <= 256,
        "org_id": identity,
        "project_id": identity,
        "category": text,
        "quantity": number,
        "timestamp": text,
    }
    optional = {"source": text, "attributes": scalars}
    if any(name not in event for name in required) or event["event_id"] == "":
        return "missing_field"
    if not all(check(event[name]) for name, check in {**required, **optional}.items() if name in event):
        return "wrong_type"
    if event["category"] not in ROWS:
        return "unknown_category"
    return last_two(event["quantity"], event["timestamp"])


def outcome_reason(event: dict[str, Any]) -> str:
    types: dict[str, Callable[[Any], bool]] = {
        "timestamp": text,
        "outcome": integer(0, 255),
        "org_id": nullable(identity),
        "project_id": nullable(identity),
        "key_id": nullable(identity),
        "reason": nullable(text),
        "event_id": nullable(text),
        "category": nullable(lambda value: type(value) is int),
        "quantity": nullable(number),
    }
    if "timestamp" not in event or "outcome" not in event:
        return "missing_field"
    if not all(check(event[name]) for name, check in types.items() if name in event):
        return "wrong_type"
    category, quantity = event.get("category"), event.get("quantity")
    if not 0 <= (1 if category is None else category) <= 38:
        return "unknown_category"
    return last_two(1 if quantity is None else quantity, event["timestamp"])


def cloudevent_reason(given_event: dict[str, Any]) -> str:
    event = {name: value for name, value in given_event.items() if value is not None}
    names = ("specversion", "id", "source", "type", "subject", "time")
    if any(name not in event or (event[name] == "" and name not in {"time", "specversion"}) for name in names):
        return "missing_field"
    data = event.get("data", {})
    fits = (
        event["specversion"] == "1.0"
        and all(text(event[name]) for name in names)
        and len(event["id"]) <= 256
        and len(event["source"]) <= 1024
        and re.fullmatch("0|[1-9][0-9]{0,18}", event["subject"]) is not None
        and int(event["subject"]) < 2**63
        and text(event.get("datacontenttype", ""))
        and text(event.get("dataschema", ""))
        and "data_base64" not in event
        and isinstance(data, dict)
        and number(data.get("quantity", 1))
        and identity(data.get("project_id", 0))
    )
    if not fits:
        return "wrong_type"
    if event["type"] not in ROWS:
        return "unknown_category"
    return last_two(data.get("quantity", 1), event["time"])


def last_two(quantity: Any, timestamp: str) -> str:
    if not integer(0, 2**53)(quantity):
        return "bad_quantity"
    return "ok" if parse_timestamp(timestamp) is not None else "bad_timestamp"


ORACLES = {"tally": tally_reason, "sentry-outcomes": outcome_reason, "cloudevents": cloudevent_reason}


@settings(max_examples=500)
@given(st.sampled_from(sorted(ORACLES)), st.data())
def test_the_reasons_are_asked_in_the_closed_order(name: str, data: st.DataObject) -> None:
    value = data.draw(near_events(name))
    (one,) = JUDGES[name](value)
    event = load(decode(value))
    assert isinstance(event, dict)
    assert (one.outcome.reason if isinstance(one.outcome, Rejected) else "ok") == ORACLES[name](event)
