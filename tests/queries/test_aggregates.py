"""`tally usage --aggregate`: every answer against plain Python, and clear words where there can be none."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from sinks.store import Store
from tally.usage import BY, By, UsageQuery
from tally.usage_aggregates import AGGREGATES, Aggregate, quotient, read_aggregate, unit_of
from tests.queries.conftest import Tally
from tests.queries.test_usage import start_of, text
from tests.store.samples import HOUR, MINUTE, NOON, SECOND, K, R, flush, kept

DAY = 24 * HOUR
START, END = NOON - 2 * DAY, NOON + 40 * DAY


def random_events(chance: random.Random) -> list[K]:
    return [
        K(
            org=chance.choice([1, 2]),
            category=chance.choice(["seat", "level"]),
            at=NOON
            + chance.choice([-9 * DAY, 0, 0, DAY, 9 * DAY])
            + chance.randrange(100) * chance.choice([1, 60]) * SECOND,
            offset=number,
            quantity=chance.choice([0, 1, 7, 2**53]),
            value=chance.choice(["", '"a"', '"b"', "7"]),
            dimensions=chance.choice(["", '{"region":"eu"}']),
        )
        for number in range(80)
    ]


def rows_of(events: Sequence[K]) -> list[R]:
    """One row an event: nothing here is about how events are folded."""
    return [
        R(
            event.org,
            event.category,
            start=event.at - event.at % MINUTE,
            quantity=event.quantity,
            dimensions=event.dimensions,
            segment=event.offset,
        )
        for event in events
    ]


def write(store: Store, events: Sequence[K]) -> None:
    store.write([replace(flush(*rows_of(events)), kept=kept(events))])


def average(events: list[K]) -> Fraction:
    return Fraction(sum(event.quantity for event in events), len(events))


PLAIN: dict[Aggregate, Callable[[list[K]], Any]] = {
    "count": len,
    "max": lambda events: max(event.quantity for event in events),
    "average": average,
    "latest": lambda events: max(events, key=lambda event: (event.at, event.offset)).quantity,
    "unique": lambda events: len({event.value for event in events if event.value}),
}


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("aggregate", sorted(PLAIN))
def test_it_answers_as_plain_python_does(store: Store, by: By, aggregate: Aggregate) -> None:
    events = random_events(random.Random(f"{by}{aggregate}"))
    write(store, events)
    for dimensions in (False, True):
        query = UsageQuery(by=by, start=START, end=END, dimensions=dimensions)
        groups: dict[tuple[Any, ...], list[K]] = {}
        for event in events:
            if START <= event.at < END:
                apart = [event.dimensions] if dimensions else []
                groups.setdefault((event.org, event.category, *apart, start_of(event.at, by)), []).append(event)
        wanted = {key: PLAIN[aggregate](some) for key, some in groups.items()}
        if aggregate == "unique":
            wanted = {key: count for key, count in wanted.items() if count}
        answer = read_aggregate(store, query, aggregate, None, MINUTE)
        found = {row[:-1]: row[-1] for row in answer.rows}
        if aggregate == "average":
            assert all(abs(Fraction(text) - wanted[key]) <= Fraction(1, 2 * 10**18) for key, text in found.items())
        else:
            assert found == wanted
        assert found.keys() == wanted.keys()
        assert answer.columns[-2:] == ("window_start", aggregate)
        assert answer.complete_to is None


@pytest.mark.parametrize("by", ["hour", "day", "month"])
def test_a_level_holds_until_the_next(store: Store, by: By) -> None:
    """Events here lie on whole seconds, so that a sum over seconds is the area."""
    events = random_events(random.Random(by))
    write(store, events)
    start, end = NOON - 2 * HOUR, NOON + 30 * HOUR
    answer = read_aggregate(
        store, UsageQuery(by=by, start=start, end=end, dimensions=False), "weighted-sum", None, MINUTE
    )
    found: dict[tuple[int, str], dict[str, Fraction]] = {}
    for org, category, unit, weighted in answer.rows:
        found.setdefault((org, category), {})[unit] = Fraction(weighted)
    series: dict[tuple[int, str], list[K]] = {}
    for event in sorted(events, key=lambda event: (event.at, event.offset)):
        series.setdefault((event.org, event.category), []).append(event)
    assert found.keys() == series.keys()
    for key, some in series.items():
        levels, last = [(event.at, event.quantity) for event in some], None
        areas: dict[str, int] = {}
        for second in range(start, end, SECOND):
            known = [level for at, level in levels if at <= second]
            if known:
                last = known[-1]
                areas[start_of(second, by)] = areas.get(start_of(second, by), 0) + last
        lengths = {text(unit_of(at, by, MINUTE)[0]): unit_of(at, by, MINUTE) for at in range(start, end, HOUR)}
        for unit, area in areas.items():
            first, after = lengths[unit]
            exact = Fraction(area * SECOND, after - first)
            assert abs(found[key][unit] - exact) <= Fraction(1, 2 * 10**18), (key, unit)
        assert found[key].keys() == areas.keys()


def test_quotients_are_exact() -> None:
    assert [
        quotient(1, 3),
        quotient(2, 3),
        quotient(10, 4),
        quotient(2**90, 1),
        quotient(0, 7),
        quotient(1, 10**20),
    ] == [
        "0.333333333333333333",
        "0.666666666666666667",
        "2.5",
        str(2**90),
        "0",
        "0",
    ]


CATALOGUE = """
categories:
  - {id: 1, name: error}
  - {id: 2, name: seat, keep: {value: user_id}}
  - {id: 3, name: level, keep: {}}
"""


@pytest.fixture
def catalogue(folder: Path) -> str:
    path = folder / "categories.yaml"
    path.write_text(CATALOGUE)
    return str(path)


def test_the_command(store: Store, tally: Tally, catalogue: str) -> None:
    write(store, [K(offset=number, value=value, quantity=number) for number, value in enumerate(["1", "2", "1"])])
    # The last of them is level 2 for half a day.
    for aggregate, wanted in zip(AGGREGATES, [3, 2, "1", 2, 2, "1"], strict=True):
        asked: tuple[str, ...] = (
            "--aggregate",
            aggregate,
            "--by",
            "day",
            "--category",
            "seat",
            "--catalogue",
            catalogue,
        )
        if aggregate == "weighted-sum":
            found = tally("usage", *asked)
            assert (found.status, found.out) == (2, "")
            assert "give --from and --to" in found.err
            asked = (*asked, "--from", "2026-11-22", "--to", "2026-11-23")
        found = tally("usage", *asked, "--json")
        assert found.status == 0, found.err
        (row,) = json.loads(found.out)["rows"]
        assert row[aggregate.replace("-", "_")] == wanted
        assert tally("usage", *asked, "--csv").out.splitlines()[1].split(",")[3] == str(wanted)
        assert str(wanted) in tally("usage", *asked).out


@pytest.mark.parametrize(
    ("category", "aggregate", "what"),
    [
        ("error", "unique", "no attribute of its events is kept"),
        ("error", "latest", "its events are not kept"),
        ("error", "weighted-sum", "its events are not kept"),
        ("level", "unique", "no attribute of its events is kept"),
        ("sea", "unique", "did you mean seat?"),
    ],
)
def test_what_cannot_be_answered_is_said(
    store: Store, tally: Tally, catalogue: str, category: str, aggregate: str, what: str
) -> None:
    write(store, [K(category="level")])
    found = tally("usage", "--category", category, "--aggregate", aggregate, "--catalogue", catalogue)
    assert (found.status, found.out) == (2, "")
    assert what in found.err
    assert tally("usage", "--category", "level", "--aggregate", "latest", "--catalogue", catalogue).status == 0
