"""`tally status`: what it says of every log, and when it exits 1."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflows.open_rows import OpenRows
from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.progress import Counts, Mark, Progress
from schemas.usage import Flush
from sinks.store import Store, open_store
from tally.cli import run
from tally.status import rates, read_status
from tally.units import SECOND, show_instant
from tests.flow.processes import start, tally
from tests.flow.traffic import write_log
from tests.store.serving import ServerProcess

NOON = 1_795_348_800 * SECOND
NOTHING = OpenRows(load_catalogue().names).none()


def progress(partition: str, **more: Any) -> Progress:
    given: dict[str, Any] = {
        "next_offset": 90,
        "log_end": 100,
        "log_end_seen_at": NOON,
        "watermark": NOON - 60 * SECOND,
    }
    counts = Counts(records=90, events=90, accepted=80, late=3, duplicates=4, rejected=Counter({"not_json": 6}))
    return Progress(LogId("usage", partition), 1, "f", 0, mark=Mark(0, None, None, 0), counts=counts, **(given | more))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path / 'store'}") as opened:
        opened.migrate()
        yield opened


def write(store: Store, *found: Progress) -> None:
    store.write_progress([Flush(one, "tally", NOTHING, ()) for one in found])


def messages(store: Store, now: int = NOON, **limits: int) -> list[str]:
    return [problem.message for problem in read_status(store, now).problems(**limits)]


def test_an_empty_store_has_read_nothing(store: Store) -> None:
    assert messages(store) == ["nothing was read yet"]


def test_lag_age_and_completeness_of_each_log(store: Store) -> None:
    write(store, progress("0", partitions=2), progress("1", next_offset=100, partitions=2))
    found = read_status(store, NOON + 5 * SECOND)
    assert [log.lag for log in found.logs] == [10, 0]
    assert [log.complete_to for log in found.logs] == [NOON - 60 * SECOND, NOON]
    assert found.complete_to == NOON - 60 * SECOND
    assert found.total.events == 180
    assert messages(store) == []
    assert messages(store, max_lag=10) == []
    assert messages(store, max_lag=9) == ["usage/0: 10 behind the log's end, more than 9"]
    assert messages(store, NOON + 61 * SECOND, max_age=60 * SECOND) == [
        "usage/0: last flushed 61 s ago",
        "usage/1: last flushed 61 s ago",
    ]


def test_what_is_not_known_counts_as_behind_where_it_is_asked(store: Store) -> None:
    write(store, progress("0", log_end=None, log_end_seen_at=None, finite=True))
    assert messages(store) == []
    assert messages(store, max_lag=1_000) == ["usage/0: its end is not known, and so neither its lag"]
    assert messages(store, max_age=1_000) == ["usage/0: it is not known when it was last flushed"]


def test_a_log_without_an_instant_and_a_topic_without_all_partitions(store: Store) -> None:
    write(store, progress("0", watermark=None, partitions=3))
    assert messages(store) == [
        "usage: 2 of its partitions have no progress yet",
        "usage/0: it is not known to which instant its usage is complete",
    ]


def test_a_finished_file_holds_nothing_back(store: Store) -> None:
    write(store, progress("a.ndjson", next_offset=100, finite=True, watermark=None, log_end_seen_at=0))
    assert read_status(store, NOON).logs[0].finished
    assert messages(store, max_lag=0, max_age=1) == []


def test_one_topic_alone(store: Store) -> None:
    write(store, progress("0"), Progress(LogId("other", "0"), 1, "f", 0, 0, Mark(0, None, None, 0)))
    found = read_status(store, NOON, "usage")
    assert [log.progress.log for log in found.logs] == [LogId("usage", "0")]
    assert found.complete_to == NOON - 60 * SECOND
    assert read_status(store, NOON).complete_to is None


def test_rates_between_two_looks(store: Store) -> None:
    write(store, progress("0"), progress("1"))
    before = read_status(store, NOON)
    write(store, later("0", 1, 190), later("1", 2, 50))
    found = rates(before, read_status(store, NOON + 2 * SECOND))
    assert found == {LogId("usage", "0"): 50, LogId("usage", "1"): 25}


def later(partition: str, generation: int, events: int) -> Progress:
    counts = Counts(records=events, events=events, accepted=events)
    mark = Mark(0, None, None, 0)
    return Progress(LogId("usage", partition), generation, "f", 0, 96, mark, log_end=100, counts=counts)


def test_the_command_prints_a_table_or_json_and_exits_by_the_limits(
    tmp_path: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    write(store, progress("0"))
    store.close()
    arguments = ("status", "--store", f"chdb:{tmp_path / 'store'}")
    assert run(arguments) == 0
    out = capfd.readouterr().out
    assert "usage" in out
    assert "complete_to: 2026-11-22T11:59:00Z" in out
    assert run((*arguments, "--max-lag", "9", "--json")) == 1
    captured = capfd.readouterr()
    found = json.loads(captured.out)
    (log,) = found["logs"]
    assert (log["lag"], log["watermark"], log["late"], log["rejected"]) == (
        10,
        "2026-11-22T11:59:00Z",
        3,
        {"not_json": 6},
    )
    assert (found["problems"], found["lag"], found["complete_to"]) == (
        ["usage/0: 10 behind the log's end, more than 9"],
        10,
        show_instant(NOON - 60 * SECOND),
    )
    assert captured.err == "tally: usage/0: 10 behind the log's end, more than 9\n"
    assert run((*arguments, "--max-age", "10min")) in {0, 1}
    assert run((*arguments, "--max-age", "0s")) == 2


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    assert run(("status", "--store", f"chdb:{tmp_path / 'none'}")) == 2


def test_watching_a_run_shows_its_rate_and_survives_a_store_that_goes_away(tmp_path: Path) -> None:
    write_log(tmp_path / "a.ndjson", 300)
    with ServerProcess(tmp_path / "store") as server:
        assert tally("run", str(tmp_path / "a.ndjson"), "--store", server.url).returncode == 0
        flags = ("status", "--store", server.url, "--watch", "--interval", "50ms", "--json")
        watching = start(*flags)
        try:
            assert watching.stdout is not None
            assert watching.stderr is not None
            first, second = json.loads(watching.stdout.readline()), json.loads(watching.stdout.readline())
            server.kill()
            assert "does not answer" in watching.stderr.readline()
            server.start()
            # Looks go on: so many of them were not waiting in the pipe.
            for _ in range(8):
                assert json.loads(watching.stdout.readline())["total"] == first["total"]
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=60)
        finally:
            watching.kill()
            watching.communicate()
    assert watching.returncode == 0
    assert first["total"]["events"] > 250
    assert "events_per_second" not in first
    assert second["events_per_second"] == second["logs"][0]["events_per_second"] == 0
