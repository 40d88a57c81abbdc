"""Run a contest: every case in turn, several times over, each run a process of its own, every answer hashed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.cases import Case, Contest, Place
from benchmarks.inputs import Inputs, Traffic
from benchmarks.kafka import TopicMaker
from benchmarks.measure import Measurement, RunFailed, Spread, run

WARM_UP_EVENTS: Final = 20_000
"""Enough to compile and cache every kernel that the measured run will use."""

Tell = Callable[[str], None]


def say_nothing(message: str) -> None:
    """Take a message and drop it."""
    del message


@dataclass
class Result:
    """What the runs of one case gave. `start` are the seconds that the same command takes for a single event."""

    case: Case
    events: int
    runs: list[Measurement] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)

    def rate(self) -> Spread:
        """Return events a second over the whole life of the process."""
        return Spread.of([self.events / run.wall for run in self.runs])

    def walls_once_started(self) -> list[float] | None:
        """Return each run's wall seconds less the start, measured apart; None where that is most of a run."""
        start = min(self.start, default=0.0)
        walls = [run.wall - start for run in self.runs]
        return walls if all(wall > start for wall in walls) else None

    def rate_once_started(self) -> float | None:
        """Return events a second with the start taken off."""
        walls = self.walls_once_started()
        return None if walls is None else self.events / Spread.of(walls).median

    def hashes(self) -> set[str]:
        """Return the hashes of all answers: one, where the runs agree."""
        return {answer["sha256"] for answer in self.answers}


@dataclass
class Outcome:
    """A contest's results. `problem` says why it was not, or not wholly, run."""

    contest: Contest
    events: int
    results: list[Result]
    problem: str = ""

    @property
    def agreed(self) -> bool:
        """Say whether all runs of all cases gave one answer."""
        return not self.problem and len(set.union(*(result.hashes() for result in self.results))) == 1

    def ratios(self, result: Result) -> Spread:
        """Return how many times as fast the first case was, from runs that were made one after the other."""
        pairs = zip(self.results[0].runs, result.runs, strict=True)
        return Spread.of([other.wall / first.wall for first, other in pairs])

    def ratios_once_started(self, result: Result) -> Spread | None:
        """Return the same with both starts taken off."""
        firsts, others = self.results[0].walls_once_started(), result.walls_once_started()
        if firsts is None or others is None:
            return None
        return Spread.of([other / first for first, other in zip(firsts, others, strict=True)])


class Inputted:
    """Finds a case's input, wherever it lies."""

    def __init__(self, inputs: Inputs, topics: TopicMaker | None) -> None:
        self.inputs = inputs
        self.topics = topics

    def place(self, case: Case, traffic: Traffic) -> str:
        """Return where a case reads this traffic."""
        if case.medium.endswith("topic"):
            assert self.topics is not None, "a Kafka case without a broker"
            return self.topics(traffic, case.medium)
        return str(self.inputs.file(traffic))


def hold(
    contest: Contest, asked: int, runs: int, inputs: Inputted, tell: Tell = say_nothing, *, warm_up: bool = True
) -> Outcome:
    """Run every case of a contest `runs` times, alternately, so that the machine's drift meets all alike.

    `warm_up=False` is for tests, which look at the answers and not at the speed.
    """
    traffic = contest.traffic(asked)
    events = traffic.events
    outcome = Outcome(contest, events, [Result(case, events) for case in contest.cases])
    try:
        for result in outcome.results:
            if warm_up:
                _warm_up(traffic, result, inputs)
                _read_once(inputs.place(result.case, traffic))
                tell(f"{contest.name}/{result.case.name}: starts in {min(result.start):.2f} s; input ready")
        for number in range(runs):
            for result in outcome.results:
                measured = _run(result, inputs.place(result.case, traffic), inputs.inputs.folder)
                result.runs.append(measured)
                tell(
                    f"{contest.name}/{result.case.name}: run {number + 1} of {runs}: "
                    f"{events / measured.wall:,.0f} events/s, answer {result.answers[-1]['sha256'][:12]}"
                )
    except RunFailed as failure:
        outcome.problem = str(failure)
    return outcome


def _warm_up(traffic: Traffic, result: Result, inputs: Inputted) -> None:
    """Compile and cache what the case compiles, and measure how long it takes to start."""
    few = inputs.place(result.case, replace(traffic, events=min(WARM_UP_EVENTS, result.events)))
    one = inputs.place(result.case, replace(traffic, events=traffic.parts))
    for source in (few, one, one):
        with _folder(inputs.inputs.folder) as folder:
            measured = run(result.case.command(Place(source, folder)), folder / "log")
        if source == one:
            result.start.append(measured.wall)


def _run(result: Result, source: str, data: Path) -> Measurement:
    with _folder(data) as folder:
        measured = run(result.case.command(Place(source, folder)), folder / "log")
        result.answers.append(answer(folder))
        steps = folder / "steps.json"
        if steps.exists():
            result.steps = json.loads(steps.read_text(encoding="utf-8"))
    return measured


def answer(folder: Path) -> dict[str, Any]:
    """Return the summary of the answer in a folder, made in a process of its own: this one must stay small."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.answers", str(folder)], check=False, capture_output=True, text=True
    )
    if ran.returncode:
        raise RunFailed(f"the answer could not be read: {ran.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@contextmanager
def _folder(data: Path) -> Iterator[Path]:
    with TemporaryDirectory(dir=data, prefix="run-") as name:
        yield Path(name)


def _read_once(source: str) -> None:
    """Bring a file into the page cache: what is measured is counting, not the disk."""
    path = Path(source)
    for part in sorted(path.iterdir()) if path.is_dir() else [path] * path.is_file():
        with part.open("rb") as file:
            while file.read(1 << 24):
                pass
