"""What goes wrong while a run writes: the store killed under it, a full disk, another run beside it. Never the totals.

Most runs here read standard input, so that a test decides between which lines something happens.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests.flow.processes import ok, tally
from tests.flow.running import Running, counted, only_message, run
from tests.flow.traffic import write_log
from tests.flow.truth import Truth, expected, records_of_file, stored
from tests.store.serving import ServerProcess

SETTINGS = MeterSettings(load_catalogue())
FED = LogId("fed", "0")
SMALL_STEPS = ("--batch-bytes", "4KiB", "--flush-interval", "1us")


class Fed:
    """A log in pieces for standard input. A run that was given all of a piece says how many events it counted."""

    def __init__(self, folder: Path, events: int, pieces: int) -> None:
        self.path = folder / "fed.ndjson"
        write_log(self.path, events)
        lines = self.path.read_bytes().splitlines(keepends=True)
        size = -(-len(lines) // pieces)
        self.pieces = [b"".join(lines[start : start + size]) for start in range(0, len(lines), size)]
        self.truth = expected(records_of_file(self.path, SETTINGS), SETTINGS)
        self.events: list[int] = []
        """How many events the log has up to the end of each piece."""
        for number in range(len(self.pieces)):
            part = folder / "part.ndjson"
            part.write_bytes(b"".join(self.pieces[: number + 1]))
            self.events.append(expected(records_of_file(part, SETTINGS), SETTINGS).counts.events)

    def start(self, url: str, *flags: str) -> Running:
        return run("-", "--name", "fed", "--store", url, *flags, feed=True)

    def again(self, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """Give the whole input once more."""
        with self.path.open("rb") as whole:
            return tally("run", "-", "--name", "fed", "--store", url, *flags, stdin=whole)


def in_store(url: str, log: LogId, generation: int | None = None) -> Truth:
    with open_store(url, create=False) as store:
        return stored(store, log, generation)


def test_a_store_that_is_killed_under_a_run_is_waited_for(tmp_path: Path) -> None:
    log = Fed(tmp_path, 3_000, pieces=6)
    with ServerProcess(tmp_path / "store") as server, log.start(server.url, *SMALL_STEPS) as going:
        for number, piece in enumerate(log.pieces):
            going.send(piece)
            if number % 2:
                if number == 3:  # in the middle of its writes; else before or between them
                    going.until_counted(log.events[2] + 50)
                server.kill()
                going.until(lambda line: "does not answer" in line)
                server.start()
            going.until_counted(log.events[number])
        going.close_input()
        assert going.end() == 0
        assert all("waiting since" in line for line in going.complaints)
        assert server.password not in "".join(going.said)
        assert in_store(server.url, FED) == log.truth


def test_a_run_that_is_stopped_while_its_store_is_away_says_so_and_the_next_one_is_exact(tmp_path: Path) -> None:
    log = Fed(tmp_path, 1_500, pieces=2)
    with ServerProcess(tmp_path / "store") as server:
        with log.start(server.url) as stopped:
            stopped.send(log.pieces[0])
            stopped.until_counted(log.events[0])
            server.kill()
            stopped.send(log.pieces[1])
            stopped.until(lambda line: "waiting since" in line)
            waits = len(stopped.said)
            assert stopped.end(signal.SIGTERM) == 1
            (message,) = [line for line in stopped.said[waits:] if "waiting since" not in line]
            assert message.startswith("tally: store clickhouse://")
            assert "does not answer: connection refused" in message
        server.start()
        assert log.again(server.url).returncode == 0
        assert in_store(server.url, FED) == log.truth


def test_a_run_that_is_stopped_flushes_what_it_has_read(tmp_path: Path) -> None:
    log, store_url = Fed(tmp_path, 12_000, pieces=1), f"chdb:{tmp_path / 'store'}"
    with log.start(store_url, "--flush-interval", "1h", "--batch-bytes", "64KiB") as drained:
        drained.send(log.pieces[0])
        drained.until_fed()
        assert drained.end(signal.SIGTERM) == 0
        assert [counted(line) > 0 for line in drained.said] == [True]  # one flush, the last
    with open_store(store_url, create=False) as store:
        read = store.progress()[FED].next_offset
    assert read > len(log.pieces[0]) // 2
    records = [record for record in records_of_file(log.path, SETTINGS) if record.offset < read]
    assert in_store(store_url, FED) == expected(records, SETTINGS)
    assert log.again(store_url).returncode == 0
    assert in_store(store_url, FED) == log.truth


def test_a_run_out_of_patience_with_its_store_ends(tmp_path: Path) -> None:
    log = Fed(tmp_path, 300, pieces=2)
    with ServerProcess(tmp_path / "store") as server, log.start(server.url, "--store-patience", "1s") as ended:
        ended.send(log.pieces[0])
        ended.until_counted(log.events[0])
        server.kill()
        ended.send(log.pieces[1])
        assert ended.end() == 1
        assert "does not answer" in only_message("\n".join(x for x in ended.said if "waiting since" not in x))


def test_a_cluster_waits_for_a_store_that_is_killed_under_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for number in range(2):
        write_log(folder / f"{number}.ndjson", 6_000, seed=number)
    with ServerProcess(tmp_path / "store") as server:
        with run(str(folder), "--store", server.url, "--processes", "2", *SMALL_STEPS) as going:
            for events in (1, 500):
                going.until_counted(events)
                server.kill()
                going.until(lambda line: "waiting since" in line)
                server.start()
            assert going.end() == 0
        assert all("waiting since" in line for line in going.complaints)
        for number in range(2):
            truth = expected(records_of_file(folder / f"{number}.ndjson", SETTINGS), SETTINGS)
            assert in_store(server.url, LogId("logs", f"{number}.ndjson")) == truth


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 64 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system of 64 MiB can be mounted here (it takes root)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def leave_free(disk: Path, size: int) -> None:
    """Fill the disk up to that many bytes."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - size)


@pytest.mark.parametrize("served", [False, True])
def test_a_full_disk_stops_a_run_and_once_there_is_space_the_totals_are_exact(
    tmp_path: Path, small_disk: Path, served: bool
) -> None:
    path, store = tmp_path / "events.ndjson", small_disk / "store"
    write_log(path, 6_000)
    assert tally("migrate", "--store", f"chdb:{store}").returncode == 0
    full = 0
    for free in (600_000, 400_000, 200_000):
        leave_free(small_disk, free)
        with ServerProcess(store) if served else nullcontext() as server:
            url = server.url if server else f"chdb:{store}"
            done = tally("run", str(path), "--store", url, "--quiet", *SMALL_STEPS)
            message = only_message(done.stderr)
            assert "the disk is full" in message
            assert "free some space and start again: nothing is lost" in message
            full += done.returncode == 1  # in the middle; 2 where the run could not even begin
    assert full
    (small_disk / "filler").unlink()
    ok("run", str(path), "--store", f"chdb:{store}")
    log = LogId("events.ndjson", "events.ndjson")
    assert in_store(f"chdb:{store}", log) == expected(records_of_file(path, SETTINGS), SETTINGS)


def test_two_runs_of_one_log_at_once_give_its_rows(tmp_path: Path) -> None:
    """One is slow, is taken for dead, and writes on beside its successor."""
    log = Fed(tmp_path, 2_400, pieces=6)
    with ServerProcess(tmp_path / "store") as server, log.start(server.url, *SMALL_STEPS) as zombie:
        zombie.send(log.pieces[0])
        zombie.send(log.pieces[1])
        zombie.until_counted(log.events[1])
        with log.start(server.url, *SMALL_STEPS) as successor:
            for piece in log.pieces[:3]:
                successor.send(piece)
            successor.until_counted(log.events[2] - log.events[1])
            zombie.send(log.pieces[2])
            zombie.until_counted(log.events[2])
            zombie.send(log.pieces[3])
            for piece in log.pieces[3:]:
                successor.send(piece)
            successor.close_input()
            assert successor.end() == 0
        assert in_store(server.url, FED) == log.truth
        zombie.until_counted(log.events[3])
        for piece in log.pieces[4:]:
            zombie.send(piece)
        zombie.close_input()
        assert zombie.end() == 0
        assert zombie.complaints == successor.complaints == []
        assert in_store(server.url, FED) == log.truth


def test_a_run_stops_when_another_has_started_a_newer_generation(tmp_path: Path) -> None:
    log = Fed(tmp_path, 1_200, pieces=3)
    with ServerProcess(tmp_path / "store") as server, log.start(server.url) as old:
        old.send(log.pieces[0])
        old.until_counted(log.events[0])
        before = in_store(server.url, FED, generation=1)
        with log.start(server.url, "--group-by-project") as new:
            new.send(log.pieces[0] + log.pieces[1])
            new.until_counted(log.events[1] - log.events[0])
            old.send(log.pieces[1])
            assert old.end() == 1
            assert "fed/0: another run has started generation 2" in old.only_message()
            new.send(log.pieces[2])
            new.close_input()
            assert new.end() == 0
        assert in_store(server.url, FED, generation=1).rows == before.rows
        assert in_store(server.url, FED).counts.events == log.truth.counts.events - log.events[0]


def test_a_worker_that_must_stop_ends_its_cluster_with_its_message(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    write_log(folder / "large.ndjson", 6_000)
    write_log(folder / "small.ndjson", 30)
    flags = ("--dedupe-max-bytes", "200KiB", "--dedupe-horizon", "10h", "--processes", "2")
    done = tally("run", str(folder), "--store", f"chdb:{tmp_path / 'store'}", *flags)
    assert done.returncode == 1
    why, how = done.stderr.splitlines()
    assert why.startswith("tally: dedupe index full")
    assert how.startswith("tally: ")
    assert "run it again" in how


def test_a_cluster_is_drained_while_its_workers_start(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for number in range(2):
        write_log(folder / f"{number}.ndjson", 300, seed=number)
    with run(str(folder), "--store", f"chdb:{tmp_path / 'store'}", "--processes", "2") as drained:
        drained.until(lambda line: counted(line) == 0)
        assert drained.end(signal.SIGTERM) == 0
    assert drained.complaints == []
