"""The whole flow over files into a real store, undisturbed and killed at every named point, against the oracle."""

import random
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests.flow.crashing import POINTS
from tests.flow.processes import crashing, ok, tally
from tests.flow.traffic import write_log
from tests.flow.truth import Truth, expected, records_of_file, stored

SETTINGS = MeterSettings(load_catalogue())
SMALL_STEPS = ("--batch-bytes", "4KiB", "--flush-interval", "1us")
"""Many batches, and a flush after each."""


def truth_of(path: Path) -> Truth:
    return expected(records_of_file(path, SETTINGS), SETTINGS)


def stored_in(url: str, log: LogId) -> Truth:
    with open_store(url, create=False) as store:
        return stored(store, log)


def test_a_file_is_counted_as_the_oracle_counts_it(tmp_path: Path) -> None:
    path, store = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}"
    write_log(path, 3000)
    summary = ok("run", str(path), "--store", store)
    truth = truth_of(path)
    assert stored_in(store, LogId("events.ndjson", "events.ndjson")) == truth
    assert summary["total"]["accepted"] == truth.counts.accepted
    assert summary["complete_to"] == "2100-01-01T00:00:00Z"
    assert truth.counts.late
    assert truth.counts.duplicates
    assert truth.counts.rejected["conflicting_duplicate"]


def test_batches_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    write_log(path, 2000)
    stores = [f"chdb:{tmp_path / name}" for name in ("one", "many")]
    ok("run", str(path), "--store", stores[0])
    ok("run", str(path), "--store", stores[1], *SMALL_STEPS)
    log = LogId("events.ndjson", "events.ndjson")
    assert stored_in(stores[0], log) == stored_in(stores[1], log) == truth_of(path)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_and_started_again(tmp_path: Path, point: str) -> None:
    path, store = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}"
    write_log(path, 1500, seed=POINTS.index(point))
    chance = random.Random(point)
    kills = sum(
        crashing(point, chance.randrange(2, 9), "run", str(path), "--store", store, *SMALL_STEPS) for _ in range(5)
    )
    assert kills >= 3
    ok("run", str(path), "--store", store, *SMALL_STEPS)
    assert stored_in(store, LogId("events.ndjson", "events.ndjson")) == truth_of(path)


def test_a_folder_is_one_topic_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    folder, store = tmp_path / "traffic", f"chdb:{tmp_path / 'store'}"
    for number in range(4):
        write_log(folder / "day" / f"{number}.ndjson", 500, seed=number)
    first = ok("run", str(folder), "--store", store)
    second = ok("run", str(folder), "--store", store)
    assert first["total"]["events"]
    assert second["total"]["events"] == 0
    assert second["finished_before"] == 4
    for number in range(4):
        log = LogId("traffic", f"day/{number}.ndjson")
        assert stored_in(store, log) == truth_of(folder / "day" / f"{number}.ndjson")


def test_two_processes_share_an_embedded_store(tmp_path: Path) -> None:
    folder, store = tmp_path / "traffic", f"chdb:{tmp_path / 'store'}"
    for number in range(5):
        write_log(folder / f"{number}.ndjson", 800, seed=number)
    summary = ok("run", str(folder), "--store", store, "--processes", "2", *SMALL_STEPS)
    truths = {number: truth_of(folder / f"{number}.ndjson") for number in range(5)}
    assert summary["total"]["accepted"] == sum(truth.counts.accepted for truth in truths.values())
    for number, truth in truths.items():
        assert stored_in(store, LogId("traffic", f"{number}.ndjson")) == truth


def test_changed_settings_after_an_unclean_stop_are_refused(tmp_path: Path) -> None:
    path, store = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}"
    write_log(path, 1500)
    assert crashing("before_progress", 6, "run", str(path), "--store", store, *SMALL_STEPS)
    refused = tally("run", str(path), "--store", store, "--window", "5min")
    assert refused.returncode == 2
    assert "stopped uncleanly" in refused.stderr
    assert refused.stderr.count("\n") == 1
    ok("run", str(path), "--store", store)
    assert stored_in(store, LogId("events.ndjson", "events.ndjson")) == truth_of(path)


def test_a_full_index_stops_with_a_message_and_loses_nothing(tmp_path: Path) -> None:
    path, store = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}"
    write_log(path, 6000)
    stopped = tally("run", str(path), "--store", store, "--dedupe-max-bytes", "200KiB", "--dedupe-horizon", "10h")
    assert stopped.returncode == 1
    assert "dedupe_max_bytes" in stopped.stderr
    assert "panicked" not in stopped.stderr
    ok("run", str(path), "--store", store, "--dedupe-horizon", "10h")
    settings = MeterSettings(load_catalogue(), horizon_buckets=600)
    truth = expected(records_of_file(path, settings), settings)
    assert stored_in(store, LogId("events.ndjson", "events.ndjson")) == truth
