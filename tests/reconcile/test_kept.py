"""The law of kept events: each accepted event of a category that keeps them is there, once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.differences import Checked, Finding
from sinks.store import Store, open_store
from tally.reconcile.asking import Asked
from tests.reconcile.stores import check, delete
from tests.store.samples import MINUTE, NOON, K, R, flush, kept, progress


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(f"chdb:{tmp_path / 'store'}") as opened:
        opened.migrate()
        yield opened


def write(
    store: Store,
    rows: Sequence[R],
    events: Sequence[K],
    log: str = "events/0",
    keeps: Sequence[str] = ("seat",),
    **at: Any,
) -> None:
    found = progress(log, source={"kept": list(keeps)} if keeps else {}, **at)
    store.write([replace(flush(*rows, at=found), kept=kept(events))])


def law(store: Store, topic: str | None = None) -> Checked:
    (found,) = [one for one in check(store, Asked(topic=topic)).checked if one.law == "kept"]
    return found


def only(found: Checked, standing: str = "difference") -> Finding:
    assert found.counts == {standing: 1}, found
    return found.findings[0]


EVENTS = [K(offset=number, at=NOON + number * MINUTE) for number in range(5)]
ROWS = [
    R(category="seat", events=2, last=1),
    R(category="seat", window=1, events=3, last=4),
    R(category="error", events=9, last=4),
]


def test_it_holds_where_every_event_is_kept(store: Store) -> None:
    assert law(store).places == 0
    write(store, ROWS, EVENTS)
    write(store, ROWS, EVENTS)  # written twice
    write(store, ROWS, (), log="other/0", keeps=())
    found = law(store)
    assert (found.places, found.left, found.right, found.counts) == (1, 5, 5, {})
    assert law(store, topic="other").places == 0


def test_a_lost_event_is_found(store: Store) -> None:
    write(store, ROWS, EVENTS)
    delete(store, "kept_events", "offset = 3")
    found = only(law(store))
    assert (found.left, found.right) == (5, 4)
    assert found.place == {"topic": "events", "partition": "0", "generation": 1, "category": "seat"}


def test_all_of_them_lost_is_found(store: Store) -> None:
    write(store, ROWS, EVENTS)
    delete(store, "kept_events", "true")
    assert (only(law(store)).left, only(law(store)).right) == (5, 0)


def test_one_too_many_is_found(store: Store) -> None:
    write(store, ROWS, [*EVENTS, K(offset=2, place=1)])
    assert (only(law(store)).left, only(law(store)).right) == (5, 6)


def test_a_category_that_nobody_keeps_has_none(store: Store) -> None:
    write(store, ROWS, [*EVENTS, K(category="error", offset=4)])
    found = only(law(store))
    assert (found.place["category"], found.left, found.right) == ("error", 9, 1)
    assert "do not keep" in found.note


def test_generations_are_held_to_what_each_declared(store: Store) -> None:
    write(store, ROWS, (), keeps=(), next_offset=5)
    later = [R(category="seat", window=2, events=1, last=7)]
    write(store, later, [K(offset=7)], generation=2, start_offset=5)
    found = law(store)
    assert (found.places, found.left, found.right, found.counts) == (1, 1, 1, {})


def test_what_lies_past_progress_is_in_flight(store: Store) -> None:
    write(store, ROWS[:1], EVENTS[:2], next_offset=2)
    write_usage(store, [], EVENTS[2:3])  # before any of its rows
    assert only(law(store), "in_flight").right == 3
    write_usage(store, ROWS, EVENTS)
    assert (only(law(store), "in_flight").left, only(law(store), "in_flight").right) == (5, 5)
    delete(store, "kept_events", "offset = 0")
    assert only(law(store)).right == 4


def write_usage(store: Store, rows: Sequence[R], events: Sequence[K]) -> None:
    store.write_usage([replace(flush(*rows, at=progress(next_offset=100)), kept=kept(events))])


def test_a_replayed_letter_is_held_to_its_row(store: Store) -> None:
    row, event = R(category="seat", events=1, last=40), K(offset=40)
    at = progress("replay:events/0/40/0")
    store.write_usage([replace(flush(row, at=at), kept=kept([event]))])
    # A letter of a time at which nobody kept its category.
    store.write_usage([flush(row, at=progress("replay:events/0/41/0"))])
    found = law(store)
    assert (found.places, found.left, found.right, found.counts) == (1, 1, 1, {})
    delete(store, "usage_windows", "partition = '0/40/0'")
    assert (only(law(store)).left, only(law(store)).right) == (0, 1)
