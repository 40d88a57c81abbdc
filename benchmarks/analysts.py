"""How long an analyst waits: every question of docs/ANALYSTS.md over 100 million usage rows in an embedded store.

    python -m benchmarks.analysts                            100 million rows: minutes, and 6 GB of disk
    python -m benchmarks.analysts --rows 2000000 --json
    python -m benchmarks.analysts --write                    write benchmarks/ANALYSTS.md

The store is filled by ClickHouse itself with rows as flows leave them (`benchmarks.analysts_fill`): a month of minutes,
Zipf organisations, earlier versions that are not merged yet, late rows, two generations. Each question is asked in a
process of its own, three times; files are in the page cache as far as it holds them. Exit status 1 where the views do
not count exactly what was put in, or a question failed.
"""

import argparse
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import DATA, tell
from benchmarks.measure import Command, RunFailed, Spread, run
from benchmarks.operations.figures import load_average
from benchmarks.report import machine

PAGE: Final = Path(__file__).with_name("ANALYSTS.md")
ROWS: Final = 100_000_000
BYTES_A_ROW: Final = 130
"""Disk that filling needs, merges under way and statements with it."""
COLUMNS: Final = ("question", "wall, s", "range", "rows read", "rows read/s", "peak MB", "rows of answer")

READING: Final = """\
- *wall*: seconds from asking to having the whole answer, the median of the runs; *range*: the fastest and the slowest.
- *rows read*: what the engine says that it read, versions that a newer one replaces among them.
- *peak MB*: how much the process grew for the question at the most, in 10^6 bytes, engine and caches and all; the
  largest of the runs. An embedded store spills a GROUP BY or a sort to disk from 256 MiB on.
- Merges stand still meanwhile. No other load runs but what the load average tells of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its runs, as `benchmarks.analysts_ask` prints them; `problem` where it could not be asked."""

    title: str
    runs: Sequence[dict[str, Any]]
    problem: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        if not self.runs:
            return (self.title, "FAILED", *("" for _ in COLUMNS[2:]))
        wall = Spread.of([each["wall_s"] for each in self.runs])
        read, peak = self.runs[0]["rows_read"], max(each["peak_bytes"] for each in self.runs)
        shown = f"{wall.median:.2f}", f"{wall.low:.2f} to {wall.high:.2f}", f"{read:,}", f"{read / wall.median:,.0f}"
        return (self.title, *shown, f"{peak / 1e6:,.0f}", f"{self.runs[0]['rows']:,}")


@dataclass(frozen=True, slots=True)
class Measured:
    """All of it. `problem` says what the views counted wrongly."""

    filled: dict[str, Any]
    seconds: float
    questions: Sequence[Asked]
    load: tuple[float, float]
    problem: str = ""

    def about(self) -> str:
        """Say what was asked of."""
        made = self.filled
        return (
            f"{made['rows']:,} usage rows that count ({made['stored_rows']:,} stored, in {made['parts']} parts, "
            f"{made['bytes_on_disk'] / 1e6:,.0f} MB) of {made['organisations']:,} organisations, {made['events']:,} "
            f"events; {made['statements']:,} statements. Filled in {self.seconds:,.0f} s. Load average of the machine "
            f"(1 min): {self.load[0]:.2f} before, {self.load[1]:.2f} after."
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        questions = [
            {"question": one.title, "runs": one.runs, "problem": one.problem or None} for one in self.questions
        ]
        return {
            "machine": machine(),
            "filled": self.filled,
            "fill_s": self.seconds,
            "load_average": self.load,
            "problem": self.problem or None,
            "questions": questions,
        }


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.analysts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help="usage rows, about (100,000,000)")
    parser.add_argument("--runs", type=int, default=3, help="how often each question is asked (3)")
    parser.add_argument("--only", type=int, nargs="+", default=[], metavar="N", help="questions by number, from 1 on")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    parser.add_argument("--write", action="store_true", help="write benchmarks/ANALYSTS.md")
    parser.add_argument("--data", type=Path, default=DATA, help="where the store is made (.cache/benchmarks)")
    return parser.parse_args(given)


def told(folder: Path, name: str, *words: object) -> list[dict[str, Any]]:
    """Run one of our modules and return the JSON lines that it printed. Raises RunFailed."""
    log = folder / "log"
    run(Command.module(name, *words, pinned=False), log)
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def ask(folder: Path, store: Path, number: int, title: str, runs: int) -> Asked:
    """Ask one question."""
    tell(f"{number + 1}. {title}")
    try:
        return Asked(title, told(folder, "benchmarks.analysts_ask", store, number, runs))
    except RunFailed as problem:
        return Asked(title, [], str(problem))


def differences(filled: dict[str, Any], counted: dict[str, int]) -> str:
    """Say which view does not count what was put in; "" where all do."""
    wrong = [f"rows: {counted['rows']:,} of {filled['rows']:,}"] if counted["rows"] != filled["rows"] else []
    of = {"usage_daily": "events", "usage": "events_of_some", "usage_hourly": "events_of_some"}
    for view, name in of.items():
        wrong += [f"{view}: {counted[view]:,} of {filled[name]:,} events"] * (counted[view] != filled[name])
    return "; ".join(wrong)


def measure(folder: Path, rows: int, runs: int, only: Sequence[int]) -> Measured:
    """Fill a store and ask. Raises RunFailed where it cannot be filled."""
    from benchmarks.analysts_ask import asked  # noqa: PLC0415 - it imports a store's client

    before, store = load_average(), folder / "store"
    tell(f"filling a store with {rows:,} rows")
    start = time.perf_counter()
    (filled,) = told(folder, "benchmarks.analysts_fill", store, rows)
    seconds = time.perf_counter() - start
    tell(f"filled in {seconds:,.0f} s; counting with the views")
    (counted,) = told(folder, "benchmarks.analysts_ask", store, "check")
    found = [
        ask(folder, store, number, title, runs)
        for number, (title, _) in enumerate(asked())
        if not only or number + 1 in only
    ]
    return Measured(filled, seconds, found, (before, load_average()), differences(filled, counted))


def show(measured: Measured, console: Console) -> None:
    """Print the table."""
    table = Table(*COLUMNS)
    for one in measured.questions:
        table.add_row(*one.cells())
    console.print(measured.about(), highlight=False)
    console.print(table)


def markdown(measured: Measured, command: str) -> str:
    """Return the text of the page."""
    about = (
        f"`{command}` wrote this page; no number was typed. The questions are those of docs/ANALYSTS.md, as they stand "
        "there, over made-up rows that look like a flow's."
    )
    parts = [
        "# An analyst's questions, timed",
        about,
        "\n".join(f"- {name}: {value}" for name, value in machine().items()),
        measured.about(),
        "The views counted exactly what was put in."
        if not measured.problem
        else f"THE VIEWS COUNTED WRONGLY: {measured.problem}",
        READING,
        "\n".join(
            "| " + " | ".join(row) + " |"
            for row in (COLUMNS, ("---",) * len(COLUMNS), *(one.cells() for one in measured.questions))
        ),
    ]
    return "\n\n".join(parts) + "\n"


def main(given: list[str] | None = None) -> int:
    """Measure, print, and say whether all of it could be measured and was right."""
    wanted = arguments(given)
    wanted.data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(wanted.data).free
    if free < wanted.rows * BYTES_A_ROW:
        need = f"{wanted.rows:,} rows need {wanted.rows * BYTES_A_ROW / 1e9:,.1f} GB of disk while they are merged"
        print(f"benchmarks.analysts: {need}; {wanted.data} has {free / 1e9:,.1f} GB: give --rows", file=sys.stderr)
        return 2
    with TemporaryDirectory(dir=wanted.data, prefix="analysts-") as name:
        try:
            measured = measure(Path(name), wanted.rows, wanted.runs, wanted.only)
        except RunFailed as problem:
            print(f"benchmarks.analysts: {problem}", file=sys.stderr)
            return 1
    if wanted.json:
        print(json.dumps(measured.as_json(), indent=1))
    else:
        show(measured, Console(width=160))
    if wanted.write:
        words = shlex.join(sys.argv[1:] if given is None else given)
        PAGE.write_text(markdown(measured, f"python -m benchmarks.analysts {words}".strip()), encoding="utf-8")
    told_of = [measured.problem, *(f"{one.title}: {one.problem}" for one in measured.questions if one.problem)]
    for one_problem in filter(None, told_of):
        print(f"benchmarks.analysts: {one_problem}", file=sys.stderr)
    return 1 if any(told_of) else 0


if __name__ == "__main__":
    sys.exit(main())
