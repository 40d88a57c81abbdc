"""Processes that share work: a signal to the group is the parent's to answer, and none outlives its parent."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from schemas.errors import RatingError
from tally.processes import answers, started
from tests.flow.running import until

STOPS = {signal.SIGINT, signal.SIGTERM}
PARENT = """
import os, time
from tally.processes import started
from tests.rater.test_processes import nothing

if __name__ == "__main__":
    with started(2, nothing) as pool:
        pids = set()
        while len(pids) < 2:
            pids |= {future.result() for future in [pool.submit(os.getpid) for _ in range(8)]}
        print(*pids, flush=True)
        time.sleep(600)
"""


def nothing() -> None:
    """Prepare nothing."""


def blocked(_: object) -> set[signal.Signals]:
    """Return the signals that this process does not hear."""
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def kill_oneself(_: object) -> None:
    """End as whoever is out of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_signals_that_ask_to_stop_are_the_parents() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with started(1, nothing) as pool:
        pid = pool.submit(os.getpid).result()
        for number in STOPS:
            os.kill(pid, number)
        assert pool.submit(blocked, None).result() >= STOPS
        assert pool.submit(os.getpid).result() == pid
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_process_that_is_killed_under_its_work_is_told() -> None:
    with started(2, nothing) as pool, pytest.raises(RatingError, match="one of 2 processes ended under its work"):
        list(answers(pool, 2, range(1_000), list, kill_oneself))


def test_none_outlives_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.kill()
    until(lambda: not any(map(runs, children)))


def runs(pid: int) -> bool:
    """Say whether a process is there and no mere remains of one, which whoever adopted it has yet to take away."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    return False
