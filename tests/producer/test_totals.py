"""However reports are delivered, repeated and lost, the newest of each key add up to what was acknowledged."""

import itertools
import json
from collections import Counter
from random import Random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.controls import ControlInstance, ControlTotal, NotAReport, Report, from_wire, json_schema, to_wire
from tally.producer.totals import Totals
from tests.producer.topics import MINUTE, NOW, Minutes, summed

Cell = tuple[str, int, int, int]
"""A category, a minute, events and quantity that were acknowledged."""
Step = Cell | bool | None
"""Something is acknowledged; the answer to a report, whether it has arrived; a report is made."""

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["error", "span"]), st.integers(0, 3), st.integers(1, 5), st.integers(0, 2**60)),
        st.booleans(),
        st.none(),
    ),
    max_size=60,
)


def totals(most: int = 1_000) -> Totals:
    names = itertools.count()
    return Totals("usage", "relay", lambda: f"life-{next(names)}", NOW, most=most)


@given(STEPS, st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_newest_reports_add_up(steps: list[Step], most: int, chance: Random) -> None:
    made = totals(most)
    log: list[Report] = []
    acknowledged, quantities = Minutes(), Minutes()
    for step in steps:
        if isinstance(step, tuple):
            category, minute, events, quantity = step
            key = ("relay", category, NOW + minute * MINUTE)
            made.add({key[1:]: (events, quantity)})
            acknowledged[key] += events
            quantities[key] += quantity
        elif step is None:
            made.publish(NOW)
        elif made.open:
            publish = chance.choice(made.open)
            report = publish.reports[publish.left - 1]
            if step:
                log.append(report)
            made.answered(publish, report, None if step else "lost")
        for key, number in summed(log).events.items():  # never more than was acknowledged
            assert number <= acknowledged[key]
    made.publish(NOW, closing=True)
    while made.open:
        for publish in list(made.open):
            for report in publish.reports[: publish.left][::-1]:
                log += [report, report]  # read twice
                made.answered(publish, report, None)
        made.publish(NOW)
    assert not made.due
    found = summed(log)
    assert found.events == acknowledged
    assert found.quantities == +quantities
    assert all(one.closed for one in found.instances)
    assert sum(one.events for one in found.instances) == acknowledged.total()
    assert sum(one.quantity for one in found.instances) == quantities.total()


def test_an_instance_is_announced_before_it_has_sent_anything_and_only_what_changed_is_told() -> None:
    made = totals()
    (own,) = made.publish(NOW).reports  # type: ignore[union-attr]
    assert isinstance(own, ControlInstance)
    assert (own.events, own.closed) == (0, False)
    assert made.publish(NOW) is None
    made.add({("error", NOW): (1, 2)})
    made.add({("span", NOW): (1, 2)})
    assert len(made.publish(NOW).reports) == 3  # type: ignore[union-attr]
    made.add({("span", NOW): (1, 2)})
    total, own = made.publish(NOW).reports  # type: ignore[union-attr]
    assert isinstance(total, ControlTotal)
    assert (total.category, total.events, total.quantity, total.sequence) == ("span", 2, 4, 3)
    assert (own.events, own.quantity) == (3, 6)
    made.beat()
    assert len(made.publish(NOW).reports) == 1  # type: ignore[union-attr]


def test_an_instance_ends_before_it_holds_too_much() -> None:
    made = totals(most=10)
    ended = Counter[str]()
    for n in range(100):
        made.add({("error", NOW + n * MINUTE): (1, 1)})
        for report in made.publish(NOW).reports:  # type: ignore[union-attr]
            if isinstance(report, ControlInstance) and report.closed:
                ended[report.instance] = report.events
    assert len(ended) == 10
    assert set(ended.values()) == {10}


REPORTS: list[Report] = [
    ControlTotal(
        topic="usage",
        source="rélay",
        instance="0193",
        sequence=7,
        category="error",
        minute=NOW,
        events=5,
        quantity=2**100,
        sent_at=NOW + 1,
    ),
    ControlInstance(
        topic="usage",
        source="relay",
        instance="0193",
        sequence=7,
        started_at=NOW - 5,
        closed=True,
        events=5,
        quantity=9,
        sent_at=NOW,
    ),
]


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_read_as_it_was_written_and_fits_the_schema(report: Report) -> None:
    assert from_wire(to_wire(report)) == report
    assert from_wire(to_wire(report).replace(b'"version":1', b'"new":{},"version":1')) == report
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(to_wire(report)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"events":5', b'"events":-1', "total.events: "),
        (b'"events":5', b'"events":5.0', "total.events: "),
        (b'"events":5', b'"events":true', "total.events: "),
        (b'"events":5,', b"", "total.events: Field required"),
        (b'"version":1', b'"version":2', "total.version: "),
        (b'"total"', b'"sum"', "'sum'"),
        (b"10:00:00Z", b"10:00:01Z", "not on a whole minute"),
        (b"2026-11-22T10:00:00Z", b"1795341600", "not an RFC 3339 instant"),
        (b"}", b"", "Invalid JSON"),
        (b"error", b"\xff", "Invalid JSON"),
    ],
)
def test_what_is_no_report_says_why(old: bytes, new: bytes, said: str) -> None:
    value = to_wire(REPORTS[0])
    assert old in value
    with pytest.raises(NotAReport, match=said):
        from_wire(value.replace(old, new))


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b"{}", b"\xff\xfe"])
def test_other_values_are_no_reports(value: bytes) -> None:
    with pytest.raises(NotAReport):
        from_wire(value)
