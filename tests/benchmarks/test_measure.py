"""What a measured process is charged with: its own CPU seconds and memory, and an end when its time is up."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.measure import Command, RunFailed, Spread, measured_core, on_cores, other_cores, run


def python(script: str, *, pinned: bool = True, **env: str) -> Command:
    return Command((sys.executable, "-c", script), env, pinned)


def test_a_run_is_pinned_to_one_core_and_this_process_is_not(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    run(python("import os; print(sorted(os.sched_getaffinity(0)))"), tmp_path / "log")
    assert (tmp_path / "log").read_text() == f"[{measured_core()}]\n"
    run(python("import os; print(sorted(os.sched_getaffinity(0)))", pinned=False), tmp_path / "log")
    assert (tmp_path / "log").read_text() == f"{sorted(before)}\n"
    assert os.sched_getaffinity(0) == before


def test_cores_come_back_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), on_cores({measured_core()}):
        raise KeyError
    assert os.sched_getaffinity(0) == before
    assert len(before) == 1 or measured_core() not in other_cores()


def test_memory_and_cpu_of_children_are_counted(tmp_path: Path) -> None:
    size = 400_000_000
    grab = f"b = bytearray({size}); b[::4096] = b'x' * len(b[::4096]); sum(range(3_000_000))"
    measured = run(
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grab!r}], check=True)"),
        tmp_path / "log",
    )
    assert measured.peak_bytes >= size
    assert 0 < measured.cpu <= measured.wall * 1.1


def test_the_environment_is_passed_on_and_a_failure_has_its_last_words(tmp_path: Path) -> None:
    command = python("import os; raise SystemExit(os.environ['WORDS'])", WORDS="out of luck")
    with pytest.raises(RunFailed, match="ended with 1: out of luck"):
        run(command, tmp_path / "log")


def test_a_spread_has_the_median_and_the_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
