"""The native format: scenario and expectation side by side."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.formats.base import Rejected
from tests.formats.samples import ABSENT, AT_MICROS, DECODED, ROWS, Written, outcome, reason

BIG = Written("9" * 5000)

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "ok"),
    # presence, over every field before any type
    ({"event_id": ABSENT}, "missing_field"),
    ({"org_id": ABSENT}, "missing_field"),
    ({"project_id": ABSENT}, "missing_field"),
    ({"category": ABSENT}, "missing_field"),
    ({"quantity": ABSENT}, "missing_field"),
    ({"timestamp": ABSENT}, "missing_field"),
    ({"event_id": ""}, "missing_field"),
    ({"event_id": 5, "timestamp": ABSENT}, "missing_field"),
    ({"quantity": -1, "org_id": "1", "event_id": ""}, "missing_field"),
    # types
    ({"event_id": 5}, "wrong_type"),
    ({"event_id": None}, "wrong_type"),
    ({"event_id": "x" * 256}, "ok"),
    ({"event_id": "x" * 257}, "wrong_type"),
    ({"event_id": "é" * 256}, "ok"),
    ({"event_id": " "}, "ok"),
    ({"org_id": 0}, "ok"),
    ({"org_id": 2**63 - 1}, "ok"),
    ({"org_id": 2**63}, "wrong_type"),
    ({"org_id": -1}, "wrong_type"),
    ({"org_id": Written("-0")}, "ok"),
    ({"org_id": "1"}, "wrong_type"),
    ({"org_id": True}, "wrong_type"),
    ({"org_id": None}, "wrong_type"),
    ({"org_id": Written("1.0")}, "wrong_type"),
    ({"org_id": Written("1e0")}, "wrong_type"),
    ({"org_id": BIG}, "wrong_type"),
    ({"project_id": [7]}, "wrong_type"),
    ({"project_id": 2**63}, "wrong_type"),
    ({"category": 1}, "wrong_type"),
    ({"category": None}, "wrong_type"),
    ({"quantity": "3"}, "wrong_type"),
    ({"quantity": True}, "wrong_type"),
    ({"quantity": None}, "wrong_type"),
    ({"quantity": [3]}, "wrong_type"),
    ({"timestamp": 1_795_341_600}, "wrong_type"),
    ({"timestamp": None}, "wrong_type"),
    ({"source": 1}, "wrong_type"),
    ({"source": None}, "wrong_type"),
    ({"source": ""}, "ok"),
    ({"attributes": None}, "wrong_type"),
    ({"attributes": []}, "wrong_type"),
    ({"attributes": {"a": None}}, "wrong_type"),
    ({"attributes": {"a": {}}}, "wrong_type"),
    ({"attributes": {"a": []}}, "wrong_type"),
    ({"attributes": {"a": BIG}}, "wrong_type"),
    ({"attributes": {"a": Written("1." + "0" * 255)}}, "wrong_type"),
    ({"attributes": {"a": Written("1." + "0" * 254)}}, "ok"),
    ({"attributes": {"a": Written("1e" + "9" * 254)}}, "ok"),
    ({"attributes": {"a": "x" * 100_000, "b": 1, "c": Written("1.5"), "d": True}}, "ok"),
    ({"attributes": {"quantity": Written("-1.5")}}, "ok"),
    ({"quantity": -1, "category": "nope", "source": 1}, "wrong_type"),
    # the catalogue
    ({"category": "nope"}, "unknown_category"),
    ({"category": ""}, "unknown_category"),
    ({"category": "Error"}, "unknown_category"),
    ({"category": "nope", "quantity": -1, "timestamp": "then"}, "unknown_category"),
    ({"category": "nope", "timestamp": "then"}, "unknown_category"),
    # quantity
    ({"quantity": 0}, "ok"),
    ({"quantity": 2**53}, "ok"),
    ({"quantity": 2**53 + 1}, "bad_quantity"),
    ({"quantity": -1}, "bad_quantity"),
    ({"quantity": Written("3.0")}, "bad_quantity"),
    ({"quantity": Written("3e0")}, "bad_quantity"),
    ({"quantity": Written("-0")}, "ok"),
    ({"quantity": BIG}, "bad_quantity"),
    ({"quantity": Written("1e999999999999")}, "bad_quantity"),
    ({"quantity": Written("1." + "0" * 5000)}, "bad_quantity"),
    ({"quantity": -1, "timestamp": "then"}, "bad_quantity"),
    # timestamp
    ({"timestamp": ""}, "bad_timestamp"),
    ({"timestamp": "2026-11-22T10:00:00"}, "bad_timestamp"),
    ({"timestamp": "1999-12-31T23:59:59Z"}, "bad_timestamp"),
    ({"timestamp": "2026-11-22T11:00:00.123+01:00"}, "ok"),
    # what is not read
    ({"other": {"deep": [1, None]}}, "ok"),
    ({"other": BIG}, "ok"),
    # JSON
    ({"other": Written("NaN")}, "not_json"),
    ({"quantity": Written("Infinity")}, "not_json"),
    ({"quantity": Written("01")}, "not_json"),
    ({"quantity": Written("+1")}, "not_json"),
    ({"quantity": Written("1.")}, "not_json"),
    ({"attributes": {"a": Written(r'"\ud83d"')}}, "not_json"),
    ({"attributes": {"a": Written(r'"\ud83d\ude00"')}}, "ok"),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_verdict(changes: dict[str, Any], expected: str) -> None:
    assert reason(outcome("tally", changes)) == expected


def test_every_field_arrives() -> None:
    changes = {"source": "relay-4", "attributes": {"region": "eu", "plan": "b"}, "category": "span"}
    assert outcome("tally", changes, "region", "zone") == replace(
        DECODED["tally"], source="relay-4", category=ROWS["span"], dimensions='{"region":"eu"}'
    )


def test_zone_and_fraction_are_applied() -> None:
    found = outcome("tally", {"timestamp": "2026-11-22T15:30:00.123456789+05:30"})
    assert found == replace(DECODED["tally"], timestamp=AT_MICROS + 456)


GROUPS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"attributes": {}}, ""),
    ({"attributes": {"other": 1}}, ""),
    ({"attributes": {"region": "eu"}}, '{"region":"eu"}'),
    ({"attributes": {"region": ""}}, '{"region":""}'),
    ({"attributes": {"tier": 1, "region": "eu", "other": 2}}, '{"region":"eu","tier":1}'),
    ({"attributes": {"tier": Written("1e2")}}, '{"tier":100}'),
    ({"attributes": {"tier": Written("100.00")}}, '{"tier":100}'),
    ({"attributes": {"tier": "100"}}, '{"tier":"100"}'),
    ({"attributes": {"tier": True, "region": False}}, '{"region":false,"tier":true}'),
    ({"attributes": {"tier": Written("1" + "0" * 200)}}, '{"tier":1e200}'),
    ({"attributes": {"region": 'é\n"\\\u2028'}}, '{"region":"é\\n\\"\\\\\u2028"}'),
    ({"attributes": Written('{"tier":1,"tier":2}')}, '{"tier":2}'),
]


@pytest.mark.parametrize(("changes", "expected"), GROUPS)
def test_grouped_attributes(changes: dict[str, Any], expected: str) -> None:
    assert outcome("tally", changes, "tier", "region", "region") == replace(DECODED["tally"], dimensions=expected)


DETAILS: list[tuple[dict[str, Any], str]] = [
    ({"org_id": ABSENT}, "org_id: is missing; expected the organisation's number, an integer from 0 to"),
    ({"org_id": "1"}, 'org_id: found "1"; expected the organisation\'s number'),
    ({"org_id": {"a": 1}}, "org_id: found an object; expected"),
    ({"quantity": Written("1.5")}, "quantity: found 1.5; expected units of the category"),
    ({"quantity": BIG}, f"quantity: found {'9' * 60}… (5000 characters); expected units"),
    ({"timestamp": "then"}, 'timestamp: found "then"; expected when it happened'),
    ({"category": "nöpe"}, 'category: found "n\\u00f6pe"; expected a category of the catalogue'),
    ({"attributes": {"a\n": []}}, "attributes.a\n: found an array; expected an object of strings".replace("\n", "\\n")),
]


@pytest.mark.parametrize(("changes", "expected"), DETAILS)
def test_detail_says_field_found_and_expected(changes: dict[str, Any], expected: str) -> None:
    found = outcome("tally", changes)
    assert isinstance(found, Rejected)
    assert found.detail.startswith(expected)
    assert len(found.detail) < 300
    assert found.detail.replace("…", "").isascii()
    assert found.detail.isprintable()


def test_a_detail_never_repeats_a_long_value() -> None:
    for changes in ({"category": "x" * 10**6}, {"timestamp": "\x7f" * 10**6}, {"attributes": {"k" * 10**6: None}}):
        found = outcome("tally", changes)
        assert isinstance(found, Rejected)
        assert len(found.detail) < 400


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    first_wrong = {"quantity": Written('-5,"quantity":3')}
    last_wrong = {"quantity": Written('3,"quantity":-5')}
    assert outcome("tally", first_wrong) == DECODED["tally"]
    assert reason(outcome("tally", last_wrong)) == "bad_quantity"
