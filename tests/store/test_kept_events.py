"""Kept events in both kinds of store: exact, once however often they are written, before what progress covers."""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import StoreError
from schemas.log import LogId
from schemas.usage import Flush
from sinks.store import Store
from tests.store.samples import HOUR, NOON, SECOND, K, R, count, flush, kept, progress

MONTH = 31 * 24 * HOUR
COLUMNS = (
    "org_id, toString(category), toUnixTimestamp64Micro(timestamp), topic, partition, generation, offset, `index`, "
    "project_id, dimensions, quantity, value, amount"
)


def with_kept(*events: K, rows: tuple[R, ...] = (R(),), **changes: Any) -> Flush:
    return replace(flush(*rows, at=progress(**changes)), kept=kept(events))


def read(store: Store) -> list[tuple[Any, ...]]:
    return store.query(f"SELECT {COLUMNS} FROM kept_events_current ORDER BY ALL")


def test_an_event_is_stored_as_it_is(store: Store) -> None:
    huge = "99999999999999999999.999999999999999999"
    store.write(
        [
            with_kept(
                K(2**63 - 1, "seat", NOON + 1, 2**63 - 1, 2**32 - 1, 2**53, '"ü"', huge, '{"a":1}', 7),
                K(1, "pay", NOON, 3, 0, 0, "", "0.000000000000000001"),
                K(1, "pay", NOON, 3, 1, 0, "", "0"),
                generation=2,
            )
        ]
    )
    assert read(store) == [
        (1, "pay", NOON, "events", "0", 2, 3, 0, 0, "", 0, "", Decimal("1e-18")),
        (1, "pay", NOON, "events", "0", 2, 3, 1, 0, "", 0, "", Decimal(0)),
        (
            *(2**63 - 1, "seat", NOON + 1, "events", "0", 2, 2**63 - 1, 2**32 - 1, 7, '{"a":1}', 2**53, '"ü"'),
            Decimal(huge),
        ),
    ]
    store.write([with_kept(K(offset=9), log="events/1")])
    assert store.query(
        "SELECT amount, count() FROM kept_events_current WHERE category = 'seat' GROUP BY ALL ORDER BY ALL"
    ) == [
        (Decimal(huge), 1),
        (None, 1),
    ]


def test_writing_again_in_any_pieces_changes_nothing(store: Store, merged: Callable[[], None]) -> None:
    chance = random.Random(5)
    events = [
        K(chance.choice([1, 2]), chance.choice(["seat", "pay"]), NOON + chance.randrange(100) * HOUR, number, value="7")
        for number in range(60)
    ]
    store.write([with_kept(*events)])
    whole = read(store)
    assert len(whole) == 60
    for _ in range(3):
        store.write([with_kept(*chance.sample(events, 20)), with_kept(*chance.sample(events, 7))])
        assert read(store) == whole
    assert count(store, "kept_events") > 60
    merged()
    store.command("OPTIMIZE TABLE kept_events FINAL")
    assert read(store) == whole
    assert count(store, "kept_events") == 60


def test_many_months_are_several_inserts(store: Store) -> None:
    events = [K(at=NOON - number * MONTH, offset=number) for number in range(200)]
    store.write([with_kept(*events)])
    assert len(read(store)) == 200


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (K(org=-1), "org_id = -1"),
        (K(quantity=2**53 + 1), "quantity = 9007199254740993"),
        (K(at=4_102_444_800 * SECOND), "timestamp = "),
        (K(place=2**32), "index = "),
        (K(value="\ud800"), "value = "),
        (K(amount="0.0000000000000000001"), "amount = "),
        (K(amount="1" + "0" * 20), "amount = "),
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_does_not_fit_is_refused_whole(store: Store, event: K, what: str) -> None:
    with pytest.raises(StoreError, match=what):
        store.write([with_kept(K(), event)])
    assert [count(store, table) for table in ("kept_events", "usage_windows", "progress")] == [0, 0, 0]


def test_an_event_past_progress_is_an_unclean_stop(store: Store) -> None:
    log = LogId("events", "0")
    store.write([with_kept(K(offset=100))])
    assert store.rows_past_progress(log, 1, 100)
    assert not store.rows_past_progress(log, 1, 101)
    assert not store.rows_past_progress(log, 2, 0)
    assert not store.rows_past_progress(LogId("events", "1"), 1, 0)


def test_events_come_before_rows_and_progress(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inserted: list[str] = []
    insert = store._insert

    def watched(name: str, table: Any) -> None:
        inserted.append(name)
        insert(name, table)

    monkeypatch.setattr(store, "_insert", watched)
    store.write([with_kept(K()), flush()])
    assert [name for name in inserted if name != "dead_letters"] == ["kept_events", "usage_windows", "progress"]
    inserted.clear()
    store.write([flush(R(last=1))])
    assert "kept_events" not in inserted
