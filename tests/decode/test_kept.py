"""Kept attributes through the decoder: what the contract says, for any bytes; other categories are as they were."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.decode import Decoder
from schemas.log import KeptValues
from tests.decode.reference import EXAMPLES, KEY, answered, batch_of, decoder_of, expected, settings_of
from tests.decode.test_arrow import value
from tests.decode.values import event, record

some = settings(max_examples=max(1, EXAMPLES // 2), deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2**64 - 1).map(Random)


@pytest.mark.parametrize(
    ("name", "grouped"), [("tally", False), ("tally", True), ("sentry-outcomes", False), ("cloudevents", True)]
)
@given(chance=seeds)
@some
def test_it_answers_what_the_contract_answers(name: str, grouped: bool, chance: Random) -> None:
    found = [value(chance) if chance.random() < 0.2 else chance.choice([event, record])(chance, name) for _ in range(4)]
    batch = batch_of(found, chance.choice([b"", b"\n"]))
    mine = answered(decoder_of(name, grouped, keeping=True)(batch))
    theirs = expected(batch, settings_of(name, grouped, keeping=True))
    for one, other in zip(mine, theirs, strict=False):
        assert one == other
    assert len(mine) == len(theirs)


def native(category: str, **changes: Any) -> bytes:
    whole = {"event_id": "a", "org_id": 1, "project_id": 7, "quantity": 3, "timestamp": "2026-11-22T10:00:00Z"}
    return json.dumps({**whole, "category": category, **changes}).encode()


def test_they_are_taken_and_only_what_is_kept_is_read() -> None:
    decoder = Decoder(settings_of("tally", keeping=True), KEY)
    attributes = {"region": "eu", "plan": "a", "other": "1.5", "other2": 2}
    names = ["attachment", "session", "error", "transaction", "span"]
    batch = batch_of([*(native(name, attributes=attributes) for name in names), native("transaction"), native("error")])
    events = decoder(batch)
    assert (decoder.taken, decoder.judged) == (6, 1)  # a transaction without its amount is for the contract to word
    assert events.kept == {2: KeptValues('"eu"', ""), 3: KeptValues("", "1.5"), 4: KeptValues('"a"', "2")}
    assert answered(events) == expected(batch, settings_of("tally", keeping=True))


@pytest.mark.parametrize(
    ("category", "one", "other", "same"),
    [
        ("span", {"plan": "a", "other2": "1.5"}, {"plan": "a", "other2": "1.50"}, True),
        ("span", {"plan": "a", "other2": "1.5"}, {"plan": "a", "other2": "1.6"}, False),
        ("span", {"plan": "a", "other2": "1.5"}, {"plan": "b", "other2": "1.5"}, False),
        ("span", {"plan": "1", "other2": 15}, {"plan": "11", "other2": 5}, False),
        ("span", {"plan": "a", "other2": 1, "more": 1}, {"plan": "a", "other2": 1, "more": 2}, True),
        ("error", {"region": "eu"}, {}, False),
        ("session", {"region": "eu"}, {}, True),
        ("attachment", {"region": "eu"}, {}, True),
    ],
    ids=str,
)
def test_a_repeat_must_repeat_what_is_kept(
    category: str, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    decoder = Decoder(settings_of("tally", keeping=True))
    events = decoder(batch_of([native(category, attributes=attributes) for attributes in (one, other)]))
    assert events.verdict.tolist() == [0, 0]
    assert (len(set(events.payload.tolist())) == 1) == same
