"""The recipe of docs/OPERATIONS.md by which the rows of a dropped remeter are deleted, run as it stands there."""

import re
from dataclasses import replace

from sinks.store import Store
from tally.remeter.ranges import generation_of
from tally.remeter.switching import drop
from tests.remeter.steps import AT, BY, differences, remeter, take_up
from tests.remeter.test_sequences import SHORT, WIDE, log, replayed, total
from tests.repository.code import ROOT

TABLES = ("usage_windows", "kept_events", "remetered_letters", "progress")


def recipe(table: str, name: str) -> str:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```sql\n(ALTER TABLE usage_windows DELETE [^`]+)```", text)
    return str(found).replace("usage_windows", table).replace("5f3a09c1", name)


def rows(store: Store, generation: str) -> list[int]:
    return [int(store.query(f"SELECT count() FROM {table} WHERE generation {generation}")[0][0]) for table in TABLES]


def test_the_recipe_deletes_a_dropped_candidate_and_nothing_else(store: Store) -> None:
    store.command("SYSTEM START MERGES usage_windows")  # no table is altered without
    source = log((0, "a", 1), (2, "a", 5), (2, "b", 1), (2, "b", 7), (300, "c", 1))
    take_up(store, source, WIDE)
    assert replayed(store, WIDE) == ["counted", "counted"]
    name, other = remeter(store, source, SHORT), remeter(store, source, replace(WIDE, horizon_buckets=20))
    assert name != other
    mine = f"= {generation_of(name)}"
    before, others = total(store), rows(store, f"!{mine}")
    assert rows(store, mine) > [0, 0, 0, 0]
    drop(store, name, now=AT, by=BY)
    for table in TABLES:
        store.command(f"{recipe(table, name)} SETTINGS mutations_sync = 2")
    assert rows(store, mine) == [0, 0, 0, 0]
    assert rows(store, f"!{mine}") == others
    assert total(store) == before
    assert differences(store) == []
