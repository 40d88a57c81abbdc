"""docs/CLICKHOUSE.md: its statements are read by the engine, its roles cover every table, its sums are the model's."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import StoreError
from sinks import migrations
from sinks.store import Store, open_store
from tally.capacity.inputs import defaults
from tally.capacity.model import estimate
from tests.repository.code import ROOT

TEXT = (ROOT / "docs" / "CLICKHOUSE.md").read_text(encoding="utf-8")
STATEMENTS = [part for block in re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL) for part in block.split(";\n")]
ROW = (
    "INSERT INTO usage_windows (org_id, category, window_start, topic, partition, generation, quantity, events, "
    "last_offset) VALUES (1, 'error', '{window}', 't', '0', 1, {quantity}, 1, {last})"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path / 'store'}") as made:
        made.migrate()
        made.command("SYSTEM STOP MERGES usage_windows")
        yield made


def statement(start: str) -> str:
    (found,) = [each.strip() for each in STATEMENTS if each.lstrip().startswith(start)]
    return str(found)


def test_every_statement_of_the_page_is_read_by_the_engine(store: Store) -> None:
    assert len(STATEMENTS) >= 4
    for each in STATEMENTS:
        assert store.query("SELECT formatQuery({sql:String})", {"sql": each})[0][0]
    with pytest.raises(StoreError):
        store.query("SELECT formatQuery({sql:String})", {"sql": "ALTER TABLE usage_windows MODIFY TTLS x"})


def test_each_table_has_one_role_that_writes_it() -> None:
    statements = [each for migration in migrations.known() for each in migration.statements]
    made = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", "\n".join(statements))
    told: list[str] = []
    for role in ("administrator", "`tally_writer`", "`tally_rater`"):
        (tables,) = re.findall(rf"^\| {role} \| .* \| (.*) \|$", TEXT, re.MULTILINE)
        told += re.findall(r"`(\w+)`", tables)
    assert sorted(told) == sorted(made)


def test_the_grants_are_those_of_the_page() -> None:
    granted = (ROOT / "deploy" / "clickhouse" / "access.sql").read_text(encoding="utf-8")
    for role in ("tally_writer", "tally_rater"):
        (tables,) = re.findall(rf"^\| `{role}` \| .* \| (.*) \|$", TEXT, re.MULTILINE)
        may_insert = re.findall(rf"^GRANT (?:SELECT, )?INSERT ON tally\.(\w+) TO {role};$", granted, re.MULTILINE)
        assert sorted(may_insert) == sorted(re.findall(r"`(\w+)`", tables))
    assert granted.count("USING org_id = 42 TO analyst_42") == granted.count("USING 1 TO ALL EXCEPT analyst_42") == 1


def test_the_sums_are_those_of_the_model() -> None:
    model = {one.name: str(one.value) for one in estimate(defaults()) if one.part == "clickhouse"}
    told = dict(re.findall(r"^\| ([^|]+) \| ([\d,]+) \| [^|]+ \|$", TEXT.partition("## How much")[2], re.MULTILINE))
    assert len(told) == 6
    assert {name: number.replace(",", "") for name, number in told.items()} == {name: model[name] for name in told}


def test_a_row_ages_with_all_its_versions(store: Store) -> None:
    for last, quantity in ((5, 10), (9, 30)):
        for window in ("2022-01-05 00:00:00", "2099-01-05 00:00:00"):
            store.command(ROW.format(window=window, quantity=quantity, last=last))
    aged = re.sub(r"[^\n]* TO VOLUME 'cold',\n", "", statement("ALTER TABLE usage_windows"))
    assert "DELETE" in aged
    # What is there already is aged by a mutation, which waits for merges to be allowed.
    store.command("SYSTEM START MERGES usage_windows")
    store.command(aged)
    store.command("OPTIMIZE TABLE usage_windows FINAL")
    assert store.query("SELECT toYear(window_start), quantity FROM usage") == [(2099, 30)]
    assert store.query("SELECT count() FROM usage_windows WHERE window_start < '2023-01-01'") == [(0,)]


def test_a_rollup_that_is_computed_anew_stays_right_and_a_plain_one_does_not(store: Store) -> None:
    store.command(
        "CREATE MATERIALIZED VIEW plain ENGINE = SummingMergeTree ORDER BY (org_id, day) AS SELECT org_id, "
        "toDate(window_start, 'UTC') AS day, quantity FROM usage_windows"
    )
    store.command(statement("CREATE MATERIALIZED VIEW usage_by_day"))
    for last, quantity in ((5, 10), (9, 30), (9, 30)):
        store.command(ROW.format(window="2026-11-05 00:00:00", quantity=quantity, last=last))
        truth = store.query("SELECT org_id, day, sum(quantity), sum(events) FROM usage_daily GROUP BY org_id, day")
        # Asked until it answers so: SYSTEM WAIT VIEW never returns in the embedded engine.
        store.command("SYSTEM REFRESH VIEW usage_by_day")
        deadline = time.monotonic() + 120
        while store.query("SELECT org_id, day, quantity, events FROM usage_by_day") != truth:
            assert time.monotonic() < deadline, "the rollup was not computed anew"
            time.sleep(0.05)
        assert truth[0][2] == quantity
    assert store.query("SELECT sum(quantity) FROM plain") == [(70,)]
