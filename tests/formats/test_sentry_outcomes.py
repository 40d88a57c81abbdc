"""Sentry's outcomes: scenario and expectation side by side."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.formats.base import Decoded
from tests.formats.samples import ABSENT, AT, AT_MICROS, DECODED, ROWS, Written, outcome, reason

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "ok"),
    ({"timestamp": ABSENT}, "missing_field"),
    ({"outcome": ABSENT}, "missing_field"),
    ({"timestamp": None}, "wrong_type"),
    ({"outcome": None}, "wrong_type"),
    ({"outcome": "0"}, "wrong_type"),
    ({"outcome": False}, "wrong_type"),
    ({"outcome": -1}, "wrong_type"),
    ({"outcome": 256}, "wrong_type"),
    ({"outcome": Written("0.0")}, "wrong_type"),
    ({"org_id": -1}, "wrong_type"),
    ({"org_id": 2**63}, "wrong_type"),
    ({"project_id": "7"}, "wrong_type"),
    ({"key_id": "9"}, "wrong_type"),
    ({"key_id": Written("9.0")}, "wrong_type"),
    ({"reason": 1}, "wrong_type"),
    ({"event_id": 1}, "wrong_type"),
    ({"event_id": ""}, "ok"),
    ({"category": "error"}, "wrong_type"),
    ({"category": Written("1.0")}, "wrong_type"),
    ({"category": True}, "wrong_type"),
    ({"category": Written("9" * 5000)}, "wrong_type"),
    ({"category": -1}, "unknown_category"),
    ({"category": 39}, "unknown_category"),
    ({"category": 10**30}, "unknown_category"),
    ({"category": 39, "quantity": -1}, "unknown_category"),
    ({"category": 39, "timestamp": "then"}, "unknown_category"),
    ({"category": None, "quantity": -1}, "bad_quantity"),
    ({"quantity": 2**53}, "ok"),
    ({"quantity": 2**53 + 1}, "bad_quantity"),
    ({"quantity": 2**64 - 1}, "bad_quantity"),
    ({"quantity": Written("3.0")}, "bad_quantity"),
    ({"quantity": "3"}, "wrong_type"),
    ({"timestamp": "2026-11-22 10:00:00Z"}, "bad_timestamp"),
    ({"outcome": 1, "quantity": -1}, "bad_quantity"),
    ({"source": 5, "labels": {"a": [None]}}, "ok"),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_verdict(changes: dict[str, Any], expected: str) -> None:
    assert reason(outcome("sentry-outcomes", changes)) == expected


@pytest.mark.parametrize("nothing", [None, ABSENT])
def test_null_and_absent_mean_the_default(nothing: Any) -> None:
    changes = dict.fromkeys(["org_id", "project_id", "key_id", "reason", "event_id", "category", "quantity"], nothing)
    assert outcome("sentry-outcomes", changes) == Decoded(0, None, 0, ROWS["error"], 1, AT_MICROS, "", None, "")


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (0, None),
        (1, "filtered"),
        (2, "rate_limited"),
        (3, "invalid"),
        (4, "abuse"),
        (5, "client_discard"),
        (6, "cardinality_limited"),
        (7, "outcome_7"),
        (255, "outcome_255"),
    ],
)
def test_only_outcome_0_is_billable(number: int, word: str | None) -> None:
    expected = replace(DECODED["sentry-outcomes"], not_billable=word)
    assert outcome("sentry-outcomes", {"outcome": number}) == expected


def test_the_counted_error_is_no_identity_and_nothing_is_grouped() -> None:
    changes = {"event_id": "a" * 32, "attributes": {"region": "eu"}, "quantity": 0, "timestamp": AT}
    assert outcome("sentry-outcomes", changes, "region") == replace(DECODED["sentry-outcomes"], quantity=0)
