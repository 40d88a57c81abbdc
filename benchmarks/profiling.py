"""Where a case's time goes, outside of any measured run: once with a stopwatch around every step, once by function.

python -m benchmarks --profile file
"""

import argparse
import cProfile
import functools
import importlib
import pstats
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.cases import CONTESTS, RUN, Case, Contest, Place
from benchmarks.contest import Inputted
from benchmarks.inputs import Inputs
from benchmarks.kafka import topics
from benchmarks.measure import Command, run

STEPS: Final = (
    ("read", "dataflows.reading", "LogReading", "next_batch"),
    ("decode", "dataflows.decode", "Decoder", "__call__"),
    ("meter", "dataflows.metering", "Meters", "__call__"),
    ("meter: events", "dataflows.meter", "Meter", "add"),
    ("meter: flush", "dataflows.meter", "Meter", "flush"),
    ("write", "sinks.store", "Store", "write"),
    ("write: usage", "sinks.store", "Store", "write_usage"),
    ("write: any insert", "sinks.store", "Store", "_insert"),
    ("migrate", "sinks.store", "Store", "migrate"),
)
"""Step, module, class, method. A step with a colon is a part of the one before the colon."""
FUNCTIONS_SHOWN: Final = 25


def find(name: str) -> tuple[Contest, Case]:
    """Return the first case of that name with its contest. Raises SystemExit for an unknown name."""
    for contest in CONTESTS:
        for case in contest.cases:
            if case.name == name:
                return contest, case
    raise SystemExit(f"benchmarks: no case is called {name}")


def profile(name: str, asked: int, inputs: Inputs) -> int:
    """Profile a case and print what was found."""
    contest, case = find(name)
    if case.medium.endswith("topic"):
        with topics(inputs) as make_topic:
            return _profile(contest, case, asked, Inputted(inputs, make_topic))
    return _profile(contest, case, asked, Inputted(inputs, None))


def _profile(contest: Contest, case: Case, asked: int, inputs: Inputted) -> int:
    source = inputs.place(case, contest.traffic(asked))
    # The first run compiles what was not compiled yet, and says how long the case takes undisturbed.
    for how in ("plain", "steps", "functions"):
        with TemporaryDirectory(dir=inputs.inputs.folder, prefix="profile-") as name:
            out = Path(name)
            argv = _as_module(case.command(Place(source, out)))
            watched = Command.module("benchmarks.profiling", how, *argv)
            measured = run(watched, out / "log")
            print(f"--- {case.name}, {how}: {measured.wall:.2f} s wall, {measured.cpu:.2f} s CPU")
            if how != "plain":
                print((out / "log").read_text(encoding="utf-8").split(MARK, 1)[-1].strip())
    return 0


def _as_module(command: Command) -> tuple[str, ...]:
    """Return a command as a module of ours and its arguments."""
    if command.argv[0] == RUN[0]:
        return ("tally.cli", *command.argv[1:])
    assert command.argv[:2] == (sys.executable, "-m")
    return command.argv[2:]


NEVER: Final = (0.0, 0.0, 0)
MARK: Final = "=== profile ===\n"


class Stopwatch:
    """Wall seconds, CPU seconds (of all threads) and calls by step."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float, int]] = {}

    def around(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time taken."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start, cpu_start = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                wall, cpu, calls = self.steps.get(step, NEVER)
                taken, cpu_taken = time.perf_counter() - start, time.process_time() - cpu_start
                self.steps[step] = (wall + taken, cpu + cpu_taken, calls + 1)

        return timed

    def wrap_steps(self) -> None:
        """Put the watch around every step."""
        for step, module, owner, method in STEPS:
            found = getattr(importlib.import_module(module), owner)
            setattr(found, method, self.around(step, getattr(found, method)))


def main() -> None:
    """Run a module in this process and say where its time went."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling")
    parser.add_argument("how", choices=("plain", "steps", "functions"))
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    watch, by_function = Stopwatch(), cProfile.Profile()
    if chosen.how == "steps":
        watch.wrap_steps()
    start, cpu_start = time.perf_counter(), time.process_time()
    if chosen.how == "functions":
        by_function.enable()
    _run(chosen.module, chosen.arguments)
    by_function.disable()
    whole, cpu_whole = time.perf_counter() - start, time.process_time() - cpu_start
    sys.stdout.write(MARK)
    if chosen.how == "steps":
        for step, *_ in STEPS:
            wall, cpu, calls = watch.steps.get(step, NEVER)
            print(f"{step:<20}{wall:8.2f} s wall{cpu:8.2f} s CPU{cpu / cpu_whole:8.1%}{calls:>9,} calls")
        print(f"{'everything':<20}{whole:8.2f} s wall{cpu_whole:8.2f} s CPU")
    if chosen.how == "functions":
        pstats.Stats(by_function, stream=sys.stdout).sort_stats("tottime").print_stats(FUNCTIONS_SHOWN)


def _run(module: str, arguments: list[str]) -> None:
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code:
            raise


if __name__ == "__main__":
    main()
