"""A backup that copies progress first can be restored at any time; the other order loses events: reconcile tells."""

from pathlib import Path

from schemas.log import LogId
from sinks.store import open_store
from tests.flow.processes import crashing, ok, tally
from tests.flow.test_files import SMALL_STEPS, stored_in, truth_of
from tests.flow.traffic import write_log

TABLES = ("usage_windows", "dead_letters")
LOG = LogId("events.ndjson", "events.ndjson")


def back_up(url: str, folder: Path, *tables: str) -> None:
    folder.mkdir(exist_ok=True)
    with open_store(url, create=False) as store:
        for table in tables:
            store.command(f"INSERT INTO FUNCTION file('{folder / table}.native', Native) SELECT * FROM {table} FINAL")


def restore(url: str, folder: Path) -> None:
    with open_store(url) as store:
        store.migrate()
        for file in sorted(folder.iterdir()):
            store.command(f"INSERT INTO {file.stem} SELECT * FROM file('{file}', Native)")


def interrupted(path: Path, store: str) -> None:
    """Count a part of the file, and die."""
    assert crashing("before_progress", 6, "run", str(path), "--store", store, *SMALL_STEPS)


def test_progress_first_and_events_meanwhile_is_restored_to_the_last_event(tmp_path: Path) -> None:
    path, store, backup = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}", tmp_path / "backup"
    write_log(path, 1500)
    interrupted(path, store)
    back_up(store, backup, "progress")
    ok("run", str(path), "--store", store)
    back_up(store, backup, *TABLES)
    restored = f"chdb:{tmp_path / 'restored'}"
    restore(restored, backup)
    assert stored_in(restored, LOG).counts.events < truth_of(path).counts.events
    ok("run", str(path), "--store", restored)
    assert stored_in(restored, LOG) == truth_of(path)
    assert tally("reconcile", "--store", restored).returncode == 0


def test_rows_first_loses_events_and_reconcile_says_so(tmp_path: Path) -> None:
    path, store, backup = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}", tmp_path / "backup"
    write_log(path, 1500)
    interrupted(path, store)
    back_up(store, backup, *TABLES)
    ok("run", str(path), "--store", store)
    back_up(store, backup, "progress")
    restored = f"chdb:{tmp_path / 'restored'}"
    restore(restored, backup)
    ok("run", str(path), "--store", restored)
    assert stored_in(restored, LOG) != truth_of(path)
    found = tally("reconcile", "--store", restored)
    assert found.returncode == 1
    assert "rows" in found.stdout
