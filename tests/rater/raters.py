"""`tally rate --every` as a real process beside its test: passes are waited for, never slept for."""

import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

import tally as package
from schemas.usage import Flush
from sinks.store import open_store
from tests.flow.processes import tally
from tests.flow.running import DEADLINE, Running
from tests.store.samples import NOON, R, progress, usage
from tests.store.serving import ServerProcess

QUICK: Final = ("--period", "2026-11", "--every", "50ms", "--json")
DATA: Final = Path(package.__file__).with_name("data")
_numbers = itertools.count()
MANY: Final = 6_000
"""Organisations that are written in three batches."""

Pass = dict[str, Any]


class Rater(Running):
    """A rater whose passes, JSON objects on stdout, are read as they come."""

    def __init__(self, *arguments: str, module: str = "tally.cli") -> None:
        self.passes: list[Pass] = []
        self._ended: queue.Queue[Pass | None] = queue.Queue()
        super().__init__(["rate", *arguments], module=module)

    def _take(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._ended.put(json.loads(line))
        self._ended.put(None)

    def until_pass(self, done: Callable[[Pass], bool] = lambda _: True) -> Pass:
        """Return the next pass for which `done` is true. Fails where the process ends before."""
        while True:
            found = self._ended.get(timeout=DEADLINE)
            assert found is not None, f"ended ({self.process.wait(DEADLINE)}) before it: {self.passes}"
            self.passes.append(found)
            if done(found):
                return found


def wrote(found: Pass) -> int:
    """Return the statements that a pass has written."""
    return sum(month["kept"]["written"] for month in found["months"])


def unchanged(found: Pass) -> bool:
    """Say whether a pass found nothing new."""
    return bool(found["result"] == "rated") and wrote(found) == 0


def fill(url: str, rows: Sequence[R], next_offset: int = 100) -> None:
    """Write usage, and progress up to an offset; the tables are made where they are not there."""
    with open_store(url) as store:
        store.migrate()
        found = progress(next_offset=next_offset, log_end=next_offset, log_end_seen_at=NOON)
        store.write([Flush(found, "tally", usage(rows), ())])


def many(url: str) -> None:
    """Write usage of MANY organisations."""
    fill(url, [R(org, quantity=50_000 + 7 * org) for org in range(100, 100 + MANY)])


def statements(url: str, what: str = "* EXCEPT rated_at") -> list[dict[str, Any]]:
    """Return the statements that are stored, without the time at which each was rated."""
    with open_store(url, create=False) as store:
        return store.query_rows(f"SELECT {what} FROM statements FINAL ORDER BY org_id, contract, period_start")


def once(url: str) -> None:
    """Rate by a single pass."""
    done = tally("rate", "--period", "2026-11", "--store", url)
    assert done.returncode == 0, done.stderr


@contextmanager
def held_in_a_pass(url: str, folder: Path, rated: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a rater, and give it back in the midst of its first pass: so many are rated, and not all of them.

    It says after each organisation how far it is, on a pipe that nobody empties any more: it cannot run on ahead.
    """
    arguments = ["rate", *QUICK, "--store", url, "--progress-every", "1us"]
    with (folder / "passes.ndjson").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tally.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ.copy(),
        )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(rb": ([\d,]+) rated", line)
            if found and int(found[1].replace(b",", b"")) >= rated:
                break
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE)
        if process.stderr is not None:
            process.stderr.close()


def drain(process: subprocess.Popen[bytes]) -> None:
    """Let a held rater run on: from now on somebody reads what it says."""
    assert process.stderr is not None
    threading.Thread(target=process.stderr.read, daemon=True).start()


def passes(folder: Path) -> list[Pass]:
    """Return the passes that a held rater has told of so far."""
    whole = (folder / "passes.ndjson").read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a held rater a signal, let it run on, and return its exit status."""
    process.send_signal(number)
    drain(process)
    return process.wait(DEADLINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("rated") / "store") as running:
        yield running


@pytest.fixture
def url(server: ServerProcess) -> str:
    """A store of its own on the server."""
    return f"{server.url.rpartition('/')[0]}/rated_{next(_numbers)}"


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book and contracts of the test's own, that may be replaced."""
    for variable, name in (("TALLY_BOOK", "prices.yaml"), ("TALLY_CONTRACTS", "contracts.yaml")):
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path / "prices.yaml"
