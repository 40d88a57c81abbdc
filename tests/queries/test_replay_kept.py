"""Replayed dead letters of categories that keep their events: each is kept once, beside its usage row."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.catalogue import Catalogue, Category, Keep
from sinks.store import Store
from tests.queries.letters import CATALOGUE, SETTINGS, TERMS, keep, letter, total
from tests.queries.test_replay import outcomes
from tests.store.samples import NOON

KEEPING = replace(
    SETTINGS,
    catalogue=Catalogue(
        tuple(
            category.model_copy(update={"keep": Keep(value="user", amount="price")})
            if category.name == "widget"
            else category
            for category in (*CATALOGUE.categories, Category(id=9, name="widget"))
        )
    ),
)


def kept_events(store: Store) -> list[tuple[Any, ...]]:
    return store.query(
        "SELECT org_id, toString(category), toUnixTimestamp64Micro(timestamp), topic, partition, generation, offset, "
        "`index`, quantity, value, toString(amount) FROM kept_events_current ORDER BY offset"
    )


@pytest.mark.parametrize("crash_at", [None, "kept_events", "usage_windows", "replays"])
def test_a_replayed_letter_is_kept_as_well(store: Store, monkeypatch: pytest.MonkeyPatch, crash_at: str | None) -> None:
    """Whatever a replay stops before, the next one keeps the event once, beside its usage row."""
    priced = {"user": "ü", "price": "1.50"}
    keep(store, [letter(40, index=3, at=NOON + 1, event_id="a", attributes=priced), letter(50, event_id="b")])
    terms = replace(TERMS, settings=KEEPING)
    if crash_at is not None:
        insert, left = store._insert, [2 if crash_at == "replays" else 1]

        def failing(name: str, table: Any) -> None:
            left[0] -= name == crash_at
            if not left[0]:
                raise RuntimeError("stopped here")
            insert(name, table)

        with monkeypatch.context() as patched:
            patched.setattr(store, "_insert", failing)
            with pytest.raises(RuntimeError):
                outcomes(store, terms=terms)
    for _ in range(2):
        found = outcomes(store, terms=terms)
        assert found["0/50/0"] == "rejected"  # it carries no price
        assert kept_events(store) == [
            (1, "widget", NOON + 1, "replay:events", "0/40/3", 1, 40, 3, 3, '"ü"', "1.5"),
        ]
        assert total(store) == (3, 1)


def test_a_record_of_before_there_were_kept_events_is_read(store: Store) -> None:
    keep(store, [letter(40)])
    assert outcomes(store) == {"0/40/0": "counted"}
    ((detail,),) = store.query("SELECT detail FROM replays FINAL")
    assert not {"value", "amount"} & json.loads(detail).keys()
    assert outcomes(store, terms=replace(TERMS, settings=KEEPING)) == {"0/40/0": "already_replayed"}
    assert kept_events(store) == []
