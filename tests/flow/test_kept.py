"""Kept events through the whole flow, killed at every point of a flush, against the oracle."""

import random
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests.flow.crashing import BEFORE_KEPT, POINTS
from tests.flow.processes import crashing, ok, tally
from tests.flow.traffic import write_log
from tests.flow.truth import Truth, expected, records_of_file, stored

CATALOGUE = """
categories:
  - {id: 1, name: error}
  - {id: 2, name: transaction, keep: {}}
  - {id: 4, name: attachment, keep: {value: user}}
  - {id: 12, name: span, keep: {value: user, amount: price}}
"""
SMALL_STEPS = ("--batch-bytes", "4KiB", "--flush-interval", "1us")


class Log:
    """A log, the settings that it is metered under, and the flags that say so."""

    def __init__(self, folder: Path, events: int, seed: int = 0) -> None:
        self.path = folder / "events.ndjson"
        write_log(self.path, events, seed, attributes=True)
        (folder / "categories.yaml").write_text(CATALOGUE)
        self.store = f"chdb:{folder / 'store'}"
        catalogue = load_catalogue(folder / "categories.yaml")
        self.settings = MeterSettings(catalogue, group_by=("region",))
        self.flags = ("--store", self.store, "--catalogue", str(folder / "categories.yaml"), "--group-by", "region")
        self.truth: Truth = expected(records_of_file(self.path, self.settings), self.settings)

    def found(self) -> Truth:
        with open_store(self.store, create=False) as store:
            return stored(store, LogId("events.ndjson", "events.ndjson"))


def test_every_accepted_event_is_kept_as_the_oracle_keeps_it(tmp_path: Path) -> None:
    log = Log(tmp_path, 2_000)
    ok("run", str(log.path), *log.flags)
    assert log.found() == log.truth
    kept = log.truth.kept.values()
    assert {event.category for event in kept} == {"transaction", "attachment", "span"}
    assert {bool(event.value) for event in kept if event.category == "attachment"} == {True, False}
    assert all(event.amount for event in kept if event.category == "span")
    assert {event.dimensions for event in kept} == {'{"region":"eu"}', ""}
    assert log.truth.counts.rejected["wrong_type"] > 20
    assert log.truth.counts.rejected["conflicting_duplicate"]
    assert ok("run", str(log.path), *log.flags)["total"]["events"] == 0
    reconciled = ok("reconcile", "--store", log.store)
    (law,) = [one for one in reconciled["laws"] if one["law"] == "kept"]
    assert (law["compared"], law["left"], law["right"], law["counts"]) == (3, len(kept), len(kept), {})
    recounted = ok("recount", *log.flags, "--topic", "events.ndjson", "--partition", "events.ndjson")
    laws = {one["law"]: (one["verdict"], one["right"]) for one in recounted["laws"]}
    assert laws["kept"] == ("holds", len(kept))
    assert recounted["differences"] == 0


@pytest.mark.parametrize("point", [BEFORE_KEPT, *POINTS])
def test_killed_at_a_named_point_and_started_again(tmp_path: Path, point: str) -> None:
    log = Log(tmp_path, 1_200, seed=len(point))
    chance = random.Random(point)
    run = ("run", str(log.path), *log.flags, *SMALL_STEPS)
    kills = sum(crashing(point, chance.randrange(2, 9), *run) for _ in range(4))
    assert kills >= 2
    ok(*run)
    assert log.found() == log.truth


def test_another_declaration_starts_a_generation_after_a_clean_stop_only(tmp_path: Path) -> None:
    log = Log(tmp_path, 1_500)
    run = ("run", str(log.path), *log.flags, *SMALL_STEPS)
    assert crashing("before_usage", 6, *run)  # events are kept past progress, and no rows
    (tmp_path / "categories.yaml").write_text(CATALOGUE.replace("keep: {}", "keep: {value: user}"))
    refused = tally(*run)
    assert refused.returncode == 2
    assert "stopped uncleanly" in refused.stderr
    (tmp_path / "categories.yaml").write_text(CATALOGUE)
    ok(*run)
    assert log.found() == log.truth
