"""How long a run that was asked to stop waits for its store."""

import json
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dataflows.reading import Control
from schemas.catalogue import load_catalogue
from schemas.errors import StoreUnavailable, TallyError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.usage import Flush
from sinks.retry import Retrying
from sinks.store import open_store
from tally import cluster
from tally.draining import GRACE, HUNG, Draining
from tally.settings import load_settings
from tests.flow.processes import tally
from tests.flow.running import run, until
from tests.flow.traffic import write_log
from tests.flow.truth import expected, records_of_file, stored
from tests.store.serving import ServerProcess


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def away() -> None:
    raise StoreUnavailable("store x does not answer")


def test_a_wait_ends_ten_seconds_after_the_stop() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    stopped = 0.0

    def on_wait(_: str) -> None:
        nonlocal stopped
        if clock.now > 150 and not control.stop_requested:
            control.request_stop()
            stopped = clock.now

    retrying = Retrying(patience=None, on_wait=on_wait, should_stop=draining.over, sleep=clock.sleep, clock=clock)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        retrying.run(away, what="writing")
    assert GRACE == 10
    assert stopped > 150
    assert stopped + GRACE <= clock.now <= stopped + GRACE + 0.2


def test_a_store_that_comes_back_in_time_is_written_to() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    control.request_stop()
    left = [1, 1, 1]

    def back_soon() -> str:
        if left:
            left.pop()
            away()
        return "written"

    retrying = Retrying(patience=None, should_stop=draining.over, sleep=clock.sleep, clock=clock)
    assert retrying.run(back_soon, what="writing") == "written"
    assert clock.now < 100 + GRACE


def test_a_failure_ends_a_wait_at_once() -> None:
    control = Control()
    draining = Draining(control, clock=Clock())
    assert not draining.over()
    control.fail(TallyError("elsewhere"))
    assert draining.over()


def test_a_stop_that_came_before_counts_from_the_beginning() -> None:
    clock, control = Clock(), Control()
    control.request_stop()
    draining = Draining(control, clock=clock)
    assert not draining.over()
    clock.now += GRACE
    assert draining.over()


def test_only_a_call_that_stays_out_long_after_the_stop_counts_as_hung() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    seen = []

    def write(_: Sequence[Flush]) -> None:
        clock.now += 60
        control.request_stop()
        seen.append(draining.hung())
        clock.now += GRACE + HUNG - 0.1
        seen.append(draining.hung())
        clock.now += 0.2
        seen.append(draining.hung())

    draining.writing(write)(())
    assert seen == [False, False, True]
    assert not draining.hung()


def test_a_hung_call_is_given_up_with_a_message() -> None:
    control, left, gone = Control(), list[TallyError](), threading.Event()

    def leave(error: TallyError) -> None:
        left.append(error)
        gone.set()

    draining = Draining(control, watch_calls=True, grace=-HUNG, leave=leave)

    def write(_: Sequence[Flush]) -> None:
        control.request_stop()
        gone.wait(60)

    draining.writing(write)(())
    assert gone.is_set()
    assert isinstance(left[0], StoreUnavailable)


def test_a_run_whose_store_is_frozen_gives_up_in_time_and_loses_nothing(tmp_path: Path) -> None:
    """A store that is gone is in tests/flow/test_faults.py; this one takes the connection and says nothing."""
    write_log(tmp_path / "fed.ndjson", 400)
    lines = (tmp_path / "fed.ndjson").read_bytes().splitlines(keepends=True)
    with ServerProcess(tmp_path / "store") as server:
        flags = ("-", "--name", "fed", "--store", server.url)
        with run(*flags, feed=True) as stopped:
            stopped.send(b"".join(lines[:200]))
            stopped.until_counted(150)
            server.freeze()
            stopped.send(b"".join(lines[200:]))
            began = time.monotonic()
            assert stopped.end(signal.SIGTERM) == 1
            assert GRACE < time.monotonic() - began < GRACE + HUNG + 8
            assert "the store has not answered for 12 s" in stopped.said[-1]
        server.thaw()
        with (tmp_path / "fed.ndjson").open("rb") as again:
            assert tally("run", *flags, stdin=again).returncode == 0
        with open_store(server.url, create=False) as store:
            settings = MeterSettings(load_catalogue())
            truth = expected(records_of_file(tmp_path / "fed.ndjson", settings), settings)
            assert stored(store, LogId("fed", "0")) == truth


def catches(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a handler for a signal."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) & 1 << (number - 1))


def test_a_stop_while_standard_input_is_silent_ends_the_run_at_once(tmp_path: Path) -> None:
    write_log(tmp_path / "fed.ndjson", 200)
    content = (tmp_path / "fed.ndjson").read_bytes()
    flags = ("-", "--name", "fed", "--store", f"chdb:{tmp_path / 'store'}", "--json")
    with run(*flags, feed=True) as stopped:
        stopped.send(content[:100])  # less than a run looks at before it begins
        stopped.until_fed()
        until(lambda: catches(stopped.process.pid, signal.SIGTERM))
        assert stopped.end(signal.SIGTERM) == 0
    assert stopped.complaints == []
    assert json.loads(stopped.out)["total"]["events"] == 0
    with (tmp_path / "fed.ndjson").open("rb") as again:
        assert tally("run", *flags, stdin=again).returncode == 0
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as store:
        settings = MeterSettings(load_catalogue())
        truth = expected(records_of_file(tmp_path / "fed.ndjson", settings), settings)
        assert stored(store, LogId("fed", "0")) == truth


def test_a_cluster_whose_store_is_gone_at_the_last_summary_says_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_log(tmp_path / "logs" / f"{name}.ndjson", 100)
    wait = cluster._wait
    with ServerProcess(tmp_path / "store") as server:

        def wait_and_lose_the_store(*arguments: Any) -> None:
            wait(*arguments)
            server.kill()

        monkeypatch.setattr(cluster, "_wait", wait_and_lose_the_store)
        flags = {"sources": [str(tmp_path / "logs")], "store": server.url}
        with pytest.raises(StoreUnavailable, match="only the summary is missing") as stopped:
            cluster.run_cluster(load_settings(**flags), flags, 2, quiet=True, every=1_000_000)
        assert stopped.value.exit_status == 1
        server.start()
        with open_store(server.url, create=False) as store:
            settings = MeterSettings(load_catalogue())
            for name in ("a.ndjson", "b.ndjson"):
                truth = expected(records_of_file(tmp_path / "logs" / name, settings), settings)
                assert stored(store, LogId("logs", name)) == truth


@pytest.mark.slow
def test_a_cluster_whose_store_is_frozen_gives_up_in_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_log(tmp_path / "logs" / f"{name}.ndjson", 20_000)
    with ServerProcess(tmp_path / "store") as server:
        flags = (str(tmp_path / "logs"), "--store", server.url, "--processes", "2", "--batch-bytes", "4KiB")
        with run(*flags) as stopped:
            stopped.until_counted(1000)
            server.freeze()
            began = time.monotonic()
            assert stopped.end(signal.SIGTERM) == 1
            assert time.monotonic() - began < GRACE + HUNG + 10
        assert "the store has not answered for 12 s" in "\n".join(stopped.said)
        server.thaw()
        assert tally("run", *flags).returncode == 0
        with open_store(server.url, create=False) as store:
            settings = MeterSettings(load_catalogue())
            for name in ("a.ndjson", "b.ndjson"):
                truth = expected(records_of_file(tmp_path / "logs" / name, settings), settings)
                assert stored(store, LogId("logs", name)) == truth
