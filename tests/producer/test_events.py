"""Events are checked by the native format's rules, and every packing carries them unchanged."""

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats.base import Decoded, Rejected
from schemas.formats.canonical import dimensions_of
from schemas.formats.judge import judge
from schemas.formats.strict_json import Number
from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP
from tally.producer import UsageEvent, new_event_id
from tally.producer.events import JsonWriter, check, instant, read_json
from tally.producer.packing import Columns, Lines, Tally, fits_arrow, unpack
from tests.producer.strategies import EVENTS
from tests.producer.topics import CATALOGUE, MINUTE, NOW, SETTINGS, decoded

EVENT = UsageEvent("id", 1, "error", 3, NOW)
WRITE = JsonWriter("relay é")


def as_decoded(event: UsageEvent, group_by: tuple[str, ...]) -> Decoded:
    """What the contract must make of an event."""
    found = {
        name: Number(repr(value)) if isinstance(value, float) else value
        for name, value in (event.attributes or {}).items()
    }
    return Decoded(
        org_id=event.org_id,
        event_id=event.event_id,
        project_id=event.project_id,
        category=CATALOGUE.names.index(event.category),
        quantity=event.quantity,
        timestamp=event.timestamp,
        dimensions=dimensions_of(found, group_by),
        not_billable=None,
        source="relay é",
    )


@given(EVENTS)
def test_what_is_taken_decodes_to_itself(event: UsageEvent) -> None:
    check(event, None)
    check(event, CATALOGUE.names)
    names = tuple(sorted(event.attributes or ()))
    settings = replace(SETTINGS, group_by=names)
    (judged,) = judge(WRITE(event), settings)
    assert judged.outcome == as_decoded(event, names)
    assert same(read_json(WRITE(event)), event)


@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_a_batch_decodes_to_its_events_and_comes_back(some: list[UsageEvent]) -> None:
    lines, rest = Lines(), list(some)
    for event in some:
        lines.add(event, WRITE(event))
    assert len(lines.value()) <= lines.size
    assert all(same(a, b) for a, b in zip(unpack(lines.value()), some, strict=True))
    assert lines.tally == tally_of(some)
    assert decoded(lines.value()) == [as_decoded(event, ()) for event in some]
    while rest:
        columns, taken = Columns("relay é"), list[UsageEvent]()
        while rest and (not taken or columns.takes(rest[0])):
            event = rest.pop(0)
            if fits_arrow(event):
                columns.add(event, WRITE(event) if event.attributes else b"")
                taken.append(event)
        if not taken:
            continue
        value = columns.value()
        assert len(value) <= columns.size
        assert columns.tally == tally_of(taken)
        assert all(same(a, b) for a, b in zip(unpack(value), taken, strict=True))
        names = tuple(sorted({name for event in taken for name in event.attributes or ()}))
        found = [judged.outcome for judged in judge(value, replace(SETTINGS, group_by=names))]
        assert found == [as_decoded(event, names) for event in taken]


def same(found: UsageEvent, event: UsageEvent) -> bool:
    """Say whether an event came back; that there were no attributes may be said in two ways."""
    return found._replace(attributes=found.attributes or {}) == event._replace(attributes=event.attributes or {})


def tally_of(some: list[UsageEvent]) -> Tally:
    tally: Tally = {}
    for event in some:
        key = (event.category, event.timestamp // MINUTE * MINUTE)
        before = tally.get(key, (0, 0))
        tally[key] = (before[0] + 1, before[1] + event.quantity)
    return tally


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_id": ""}, "event_id: 0 characters"),
        ({"event_id": "x" * 257}, "event_id: 257 characters"),
        ({"event_id": 5}, "event_id: found 5; expected a string"),
        ({"event_id": "\ud800"}, "event_id: .*surrogate"),
        ({"org_id": -1}, "org_id: found -1"),
        ({"org_id": MAX_ID + 1}, "org_id: found"),
        ({"org_id": True}, "org_id: found True"),
        ({"project_id": 1.0}, "project_id: found 1.0"),
        ({"quantity": -1}, "quantity: found -1"),
        ({"quantity": MAX_QUANTITY + 1}, "quantity: found"),
        ({"quantity": 1.5}, "quantity: found 1.5"),
        ({"quantity": "1"}, "quantity: found '1'"),
        ({"category": "Error"}, "category: found 'Error'; expected a category's name"),
        ({"category": 2}, "category: found 2"),
        ({"timestamp": MIN_TIMESTAMP - 1}, "timestamp: .* outside the years 2000 to 2099"),
        ({"timestamp": END_OF_TIME}, "timestamp: .* outside"),
        ({"timestamp": "2026-11-22T10:00:00Z"}, "timestamp: found '2026"),
        ({"attributes": {"a": None}}, "attributes.a: found None"),
        ({"attributes": {"a": [1]}}, r"attributes.a: found \[1\]"),
        ({"attributes": {1: "a"}}, "attributes: the name 1 is no string"),
        ({"attributes": {"a": float("nan")}}, "attributes.a: nan"),
        ({"attributes": {"a": 10**255}}, "attributes.a: an integer of more than 255 digits"),
        ({"attributes": {"a": "\udfff"}}, "attributes.a: .*surrogate"),
        ({"attributes": ["a"]}, r"attributes: found \['a'\]; expected a mapping"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(EVENT._replace(**change), None)


def test_a_category_is_one_of_the_catalogue_where_there_is_one() -> None:
    event = EVENT._replace(category="gigabytes")
    check(event, None)
    with pytest.raises(ValueError, match="category: found 'gigabytes'; expected a category of the catalogue"):
        check(event, CATALOGUE.names)


@given(EVENTS, st.sampled_from(UsageEvent._fields), st.none() | st.booleans() | st.text(max_size=3) | st.floats())
def test_what_passes_is_never_rejected_by_its_form(event: UsageEvent, field: str, value: Any) -> None:
    """Whatever stands in a field: refused here, or well-formed there."""
    changed = event._replace(**{field: value})
    try:
        check(changed, CATALOGUE.names)
    except ValueError:
        return
    assert not isinstance(judge(WRITE(changed), SETTINGS)[0].outcome, Rejected)


@pytest.mark.parametrize(
    "given_as",
    [
        NOW,
        "2026-11-22T10:00:00Z",
        "2026-11-22T11:00:00.000000+01:00",
        dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 22, 11, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    ],
)
def test_an_instant_in_each_form(given_as: dt.datetime | str | int) -> None:
    assert instant(given_as) == NOW


@pytest.mark.parametrize(
    "given_as",
    [
        NOW // 1_000_000,
        NOW // 1_000,
        NOW * 1_000,
        1.5,
        True,
        None,
        "2026-11-22T10:00:00",
        "yesterday",
        dt.datetime(2026, 11, 22, 10),  # noqa: DTZ001 - that is the point
        dt.date(2026, 11, 22),
    ],
)
def test_what_is_no_instant_is_refused(given_as: Any) -> None:
    with pytest.raises(ValueError, match=r"timestamp: |no time zone"):
        instant(given_as)


def test_new_ids_differ_and_sort_by_their_time() -> None:
    ids = [new_event_id(now) for now in range(2_000)] + [new_event_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert ids[:2_000] == sorted(ids[:2_000])
    for one in map(uuid.UUID, ids):
        assert (one.version, one.variant) == (7, uuid.RFC_4122)
