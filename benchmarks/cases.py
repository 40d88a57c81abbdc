"""What is measured against what: contests of cases that read the same input and must give the same answer."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from benchmarks.inputs import EVENTS_PER_SECOND, Traffic
from benchmarks.measure import Command

RUN: Final = (str(Path(sys.executable).with_name("tally")), "run")
ORACLE_EVENTS: Final = 200_000
ORACLE_EVENTS_PER_SECOND: Final = 20
"""Few events over hours: late ones, and ids that come again within the dedupe horizon and after it."""
DAY: Final = 86_400

Medium = Literal["file", "folder", "json topic", "arrow topic"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run finds its input (a path or a topic's URL), and the empty folder in which it leaves its answer."""

    source: str
    out: Path

    def store(self, name: str = "store") -> str:
        """Return the URL of an embedded store in the folder."""
        return f"chdb:{self.out / name}"


@dataclass(frozen=True, slots=True)
class Case:
    """One program that counts an input. `bar`: events a second that it is to reach."""

    name: str
    about: str
    command: Callable[[Place], Command]
    medium: Medium = "file"
    bar: int | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """Cases side by side on one kind of traffic: its `share` of the events asked for, at most `at_most`.

    The first case is the one that the others are compared with. `least_ratio` is how many times as fast as `rivals`
    it is to be. `recent`: event times near the present, as a broker's clock wants them.
    """

    name: str
    about: str
    kind: str
    cases: tuple[Case, ...]
    share: float = 1.0
    at_most: int | None = None
    parts: int = 1
    recent: bool = False
    events_per_second: int = EVENTS_PER_SECOND
    least_ratio: float | None = None
    rivals: tuple[str, ...] = ()

    def traffic(self, asked: int) -> Traffic:
        """Return its input when so many events were asked for."""
        wanted = max(1, round(asked * self.share))
        start = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * DAY)) if self.recent else ""
        return Traffic(self.kind, min(wanted, self.at_most or wanted), self.parts, start, self.events_per_second)


def _tally_file(place: Place) -> Command:
    return Command((*RUN, place.source, "--store", place.store(), "--quiet"))


def _tally_topic(place: Place) -> Command:
    return Command((*RUN, place.source, "--store", place.store(), "--quiet", "--until-end"))


def _cluster(place: Place) -> Command:
    return Command((*RUN, place.source, "--store", place.store(), "--quiet", "--processes", "2"), pinned=False)


def _pipeline(place: Place) -> Command:
    return Command.module("benchmarks.pipeline", place.source, place.out)


def _peer(name: str, *flags: str) -> Callable[[Place], Command]:
    return lambda place: Command.module(f"benchmarks.peers.{name}", place.source, place.out, *flags)


FILE: Final = Case(
    "file", "`tally run FILE` into an embedded store: one JSON event a line, dedupe on", _tally_file, bar=700_000
)

BESIDE: Final = replace(FILE, bar=None)
"""The same on a smaller input, where the time to start weighs more."""

CONTESTS: Final = (
    Contest(
        "file",
        "a file with every kind of trouble",
        "every kind of trouble",
        (FILE, Case("file-meter", "the same steps without engine and store: read, decode, meter", _pipeline)),
    ),
    Contest(
        "fold",
        "Bytewax's own windows, on a file that they can count rightly",
        "no trouble",
        (
            BESIDE,
            Case("fold-window", "`fold_window`, tuned, keyed by organisation and category", _peer("fold_window")),
            Case(
                "fold-window-one-key",
                "the same with one key, on one worker at most",
                _peer("fold_window", "--key", "one"),
            ),
            Case("duckdb", "DuckDB, `read_ndjson … GROUP BY` over the whole file, no dedupe", _peer("duckdb_scan")),
        ),
        share=0.25,
        least_ratio=12,
        rivals=("fold-window", "fold-window-one-key"),
    ),
    Contest(
        "batch",
        "a batch engine with dedupe, on a file with duplicates, conflicts and late events",
        "well-formed",
        (
            BESIDE,
            Case(
                "duckdb-dedupe",
                "DuckDB, the first event of every id",
                _peer("duckdb_scan", "--dedupe"),
            ),
        ),
    ),
    Contest(
        "oracle",
        "the plain event-by-event implementation that judges the answer",
        "every kind of trouble",
        (BESIDE, Case("oracle", "dicts and loops over `json.loads`", _peer("oracle"))),
        at_most=ORACLE_EVENTS,
        events_per_second=ORACLE_EVENTS_PER_SECOND,
    ),
    Contest(
        "kafka",
        "one partition of a real broker on the other core",
        "well-formed",
        (
            Case("kafka-json", "`tally run kafka://…`, one JSON event a message", _tally_topic, "json topic", 400_000),
            Case("kafka-arrow", "the same, Arrow batches of 1,000 events", _tally_topic, "arrow topic", 3_000_000),
            BESIDE,
        ),
        share=0.5,
        recent=True,
    ),
    Contest(
        "two",
        "two processes of one cluster against two unconnected runs side by side, two files, both cores",
        "every kind of trouble",
        (
            Case("two-cluster", "`tally run FOLDER --processes 2`", _cluster, "folder"),
            Case("two-runs", "two `tally run FILE` at once, each with its own store", _peer("side_by_side"), "folder"),
        ),
        parts=2,
        least_ratio=0.9,
        rivals=("two-runs",),
    ),
)


def chosen(names: list[str]) -> list[Contest]:
    """Return the contests that are named, or contain a case that is named (with their first case); all without names.

    A name that is both names the contest. Raises ValueError for a name that is neither.
    """
    if not names:
        return list(CONTESTS)
    named = {contest.name for contest in CONTESTS} & set(names)
    if unknown := set(names) - named - {case.name for contest in CONTESTS for case in contest.cases}:
        raise ValueError(f"no contest or case is called {', '.join(sorted(unknown))}")
    found = []
    for contest in CONTESTS:
        wanted = ({case.name for case in contest.cases} & set(names)) - named - {contest.cases[0].name}
        if contest.name in named:
            found.append(contest)
        elif wanted:
            cases = tuple(case for case in contest.cases if case is contest.cases[0] or case.name in wanted)
            found.append(replace(contest, cases=cases))
    return found
