"""CloudEvents: scenario and expectation side by side."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.formats.base import Decoded
from schemas.formats.judge import judge
from tests.formats.samples import ABSENT, DECODED, ROWS, Written, changed, outcome, reason, settings

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "ok"),
    *[
        ({name: nothing}, "missing_field")
        for name in ("specversion", "type", "source", "id", "subject", "time")
        for nothing in (ABSENT, None)
    ],
    *[({name: ""}, "missing_field") for name in ("type", "source", "id", "subject")],
    ({"specversion": ""}, "wrong_type"),
    ({"specversion": "0.3"}, "wrong_type"),
    ({"specversion": Written("1.0")}, "wrong_type"),
    ({"id": 1}, "wrong_type"),
    ({"id": "x" * 257}, "wrong_type"),
    ({"source": "x" * 1024}, "ok"),
    ({"source": "x" * 1025}, "wrong_type"),
    ({"subject": "customer-1"}, "wrong_type"),
    ({"subject": 1}, "wrong_type"),
    ({"subject": "0"}, "ok"),
    ({"subject": "01"}, "wrong_type"),
    ({"subject": "+1"}, "wrong_type"),
    ({"subject": "-1"}, "wrong_type"),
    ({"subject": " 1"}, "wrong_type"),
    ({"subject": "1\n"}, "wrong_type"),
    ({"subject": "١"}, "wrong_type"),
    ({"subject": str(2**63 - 1)}, "ok"),
    ({"subject": str(2**63)}, "wrong_type"),
    ({"subject": "9" * 5000}, "wrong_type"),
    ({"time": ""}, "bad_timestamp"),
    ({"time": "2026-11-22"}, "bad_timestamp"),
    ({"time": 1}, "wrong_type"),
    ({"type": "prompt"}, "unknown_category"),
    ({"type": "prompt", "time": "then", "data.quantity": -1}, "unknown_category"),
    ({"type": "prompt", "time": "then"}, "unknown_category"),
    ({"datacontenttype": None, "dataschema": None}, "ok"),
    ({"datacontenttype": "application/json", "dataschema": "https://example.com/s"}, "ok"),
    ({"datacontenttype": 1}, "wrong_type"),
    ({"data": "text"}, "wrong_type"),
    ({"data": [1]}, "wrong_type"),
    ({"data": 3}, "wrong_type"),
    ({"data": ABSENT, "data_base64": "AA=="}, "wrong_type"),
    ({"data_base64": None}, "ok"),
    ({"data.quantity": "12"}, "wrong_type"),
    ({"data.quantity": None}, "wrong_type"),
    ({"data.quantity": -1}, "bad_quantity"),
    ({"data.quantity": Written("1.0")}, "bad_quantity"),
    ({"data.quantity": 2**53 + 1}, "bad_quantity"),
    ({"data.quantity": -1, "time": "then"}, "bad_quantity"),
    ({"data.project_id": None}, "wrong_type"),
    ({"data.project_id": -1}, "wrong_type"),
    ({"data.other": {"deep": [None]}}, "ok"),
    ({"quantity": -1}, "ok"),
    ({"traceparent": 1, "comexampleextension": None}, "ok"),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_verdict(changes: dict[str, Any], expected: str) -> None:
    assert reason(outcome("cloudevents", changes)) == expected


@pytest.mark.parametrize("data", [ABSENT, None, {}])
def test_without_data_an_event_counts_one(data: Any) -> None:
    assert outcome("cloudevents", {"data": data}) == replace(DECODED["cloudevents"], quantity=1, project_id=0)


GROUPS: list[tuple[Any, str]] = [
    ({"method": "GET", "route": "/hello"}, '{"method":"GET","route":"/hello"}'),
    ({"method": "GET", "route": None}, '{"method":"GET"}'),
    ({"method": Written("1.50"), "other": {}}, '{"method":1.5}'),
    ({"quantity": 2}, ""),
    ({"method": {}}, "wrong_type"),
    ({"route": []}, "wrong_type"),
    ({"route": Written("1" * 5000)}, "wrong_type"),
    ({"route": [], "quantity": -1}, "wrong_type"),
]


@pytest.mark.parametrize(("data", "expected"), GROUPS)
def test_members_of_data_group_usage(data: Any, expected: str) -> None:
    found = outcome("cloudevents", {"data": data}, "method", "route", "quantity")
    assert (found.dimensions if isinstance(found, Decoded) else found.reason) == expected


def test_an_ungroupable_member_is_asked_after_presence_and_before_the_catalogue() -> None:
    data: dict[str, Any] = {"data": {"method": []}}
    assert reason(outcome("cloudevents", {**data, "id": ABSENT}, "method")) == "missing_field"
    assert reason(outcome("cloudevents", {**data, "type": "prompt"}, "method")) == "wrong_type"
    assert reason(outcome("cloudevents", {**data, "time": "then"}, "method")) == "wrong_type"


def test_source_and_id_together_are_the_identity() -> None:
    found = [
        outcome("cloudevents", {"source": source, "id": name})
        for source, name in [("a", "b:c"), ("a:b", "c"), ("a", "b"), ("a:", "b"), ("1:a", "b")]
    ]
    assert len({one.event_id for one in found if isinstance(one, Decoded)}) == len(found)


def test_a_batch_is_an_array() -> None:
    one, two = changed("cloudevents", {}), changed("cloudevents", {"type": "span"})
    judged = judge(b"[" + one + b", " + two + b"]", settings("cloudevents"))
    assert [found.raw for found in judged] == [one, two]
    assert [found.outcome for found in judged] == [
        DECODED["cloudevents"],
        replace(DECODED["cloudevents"], category=ROWS["span"]),
    ]
