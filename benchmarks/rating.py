"""How fast usage is rated: statement lines a CPU second in memory, and organisations end to end in the embedded store.

    python -m benchmarks.rating                                    all of it, 20,000 organisations
    python -m benchmarks.rating --only lines --json
    python -m benchmarks.rating --organisations 1000000            the full one, for a quiet machine

The store has usage of 10 categories for every organisation; `tally rate` then rates the month and keeps a statement of
10 lines for each. Measured are whole processes, with their start: in one process, in two, once more where nothing has
changed, and with a stopwatch around the steps; then `tally simulate` of the same usage under a book with other prices,
in one process and in two. Exit status 1 where two of them came to different answers, or a run failed. The load average
of the machine is printed with the figures: they are worth what the machine was quiet.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console

from benchmarks.__main__ import DATA, tell
from benchmarks.measure import Command, Measurement, RunFailed, run
from benchmarks.operations.__main__ import show
from benchmarks.operations.figures import Figure, Measured, load_average, markdown

PARTS: Final = ("lines", "store", "simulate")
WORK: Final = "benchmarks.rating_work"
BOOK: Final = Path(__file__).parents[1] / "tally" / "data" / "prices.yaml"
CONTRACT: Final = 'contracts: [{org_id: "*", id: list-price, plan: business, currency: USD, from: 2020-01-01}]\n'
CATEGORIES: Final = 10
RAISED: Final = (("revision: 1", "revision: 2"), ("0.0011125", "0.0013"), ("0.000004", "0.0000045"), ("0.3125", "0.29"))
"""What the other book of a simulation has instead: a dearer first tier of two charges, a cheaper third one."""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rating", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--statements", type=int, default=4_000, metavar="N", help="lines: so many each run (4,000)")
    parser.add_argument("--organisations", type=int, default=20_000, metavar="N", help="store: so many (20,000)")
    parser.add_argument("--rows", type=int, default=1, help="store: usage rows of a category and organisation (1)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="store: the second run's processes (2)")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a page of what was measured")
    parser.add_argument("--data", type=Path, default=DATA, help="where stores are made (.cache/benchmarks)")
    return parser.parse_args(given)


def lines(folder: Path, statements: int) -> list[Figure]:
    """Measure rating in memory."""
    tell("lines: rating in memory")
    measured = json.loads(_told(Command.module(WORK, "lines", statements), folder))
    how = "CPU time of one process, usage totals in memory"
    return [Figure(one["what"], one["values"], "lines/s", how, digits=0) for one in measured]


class Different(Exception):
    """Two ways of rating left different statements."""


def store(folder: Path, organisations: int, rows: int, processes: int) -> list[Figure]:
    """Measure `tally rate` on an embedded store. Raises RunFailed and Different."""
    filled, figures = _filled(folder, organisations, rows)
    answers: dict[str, Any] = {}
    for name, count in (("one process", 1), (f"{processes} processes", processes)):
        tell(f"store: rating in {name}")
        place = folder / "rated"
        shutil.copytree(filled, place, symlinks=True)
        figures += _figures(name, organisations, _rate(place, folder, count))
        answers[name] = json.loads(_told(Command.module(WORK, "answer", place, pinned=False), folder))
        if count == 1:
            tell("store: rating again, with nothing changed")
            figures += _figures("once more, nothing changed", organisations, _rate(place, folder, 1))
        shutil.rmtree(place)
    tell("store: rating step by step")
    figures += _steps(filled, folder)
    answers["step by step"] = json.loads(_told(Command.module(WORK, "answer", filled, pinned=False), folder))
    first = answers["one process"]
    if first["statements"] != organisations or any(found != first for found in answers.values()):
        raise Different(f"statements of {organisations:,} organisations differ: {json.dumps(answers)}")
    told = f"{first['statements']:,} statements, hash {first['hash']}, the same in every run"
    return [*figures, Figure("statement lines", [first["lines"]], "lines", told, digits=0)]


def _filled(folder: Path, organisations: int, rows: int) -> tuple[Path, list[Figure]]:
    """Return a store with usage, and how long it took to fill it where that was not done before."""
    filled = folder / "filled"
    if filled.exists():
        return filled, []
    (folder / "contracts.yaml").write_text(CONTRACT, encoding="utf-8")
    tell(f"store: filling it for {organisations:,} organisations")
    filling = run(Command.module(WORK, "fill", filled, organisations, rows, pinned=False), folder / "log")
    told = f"{organisations * CATEGORIES * rows:,} usage rows, as a flow writes them"
    return filled, [Figure("filling the store", [filling.wall], "s", told)]


def simulate(folder: Path, organisations: int, rows: int, processes: int) -> list[Figure]:
    """Measure `tally simulate` on an embedded store. Raises RunFailed and Different."""
    filled, figures = _filled(folder, organisations, rows)
    text = BOOK.read_text(encoding="utf-8")
    for price, other in RAISED:
        assert price in text, f"{BOOK} has {price}, which the other book changes"
        text = text.replace(price, other)
    (folder / "other.yaml").write_text(text, encoding="utf-8")
    told: set[str] = set()
    for name, count in (("one process", 1), (f"{processes} processes", processes)):
        tell(f"simulate: both books in {name}")
        figures += _figures(f"simulate in {name}", organisations, _simulate(filled, folder, count))
        told.add((folder / "log").read_text(encoding="utf-8"))
    if len(told) > 1:
        raise Different(f"a simulation of {organisations:,} organisations differs: {sorted(told)}")
    more = next((line for line in told.pop().splitlines() if line.endswith(" pay more")), "nobody pays more")
    return [*figures, Figure("organisations compared", [organisations], "", f"{more}; the same in every run", digits=0)]


def _simulate(place: Path, folder: Path, processes: int) -> Measurement:
    sides = ("--book", folder / "other.yaml", "--against", BOOK, "--against-contracts", folder / "contracts.yaml")
    command = ("simulate", "--period", "2026-11", "--store", f"chdb:{place}", *sides, "--processes", processes)
    return run(Command.module("tally.cli", *map(str, command), pinned=False), folder / "log")


def _command(place: Path, *more: object) -> tuple[str, ...]:
    given = ("--store", f"chdb:{place}", "--book", BOOK, "--contracts", place.parent / "contracts.yaml")
    return tuple(map(str, ("rate", "--period", "2026-11", *given, *more)))


def _rate(place: Path, folder: Path, processes: int) -> Measurement:
    command = _command(place, "--processes", processes)
    return run(Command.module("tally.cli", *command, pinned=False), folder / "log")


def _figures(name: str, organisations: int, measured: Measurement) -> list[Figure]:
    peak = "memory of the largest process at its peak, 10^6 bytes"
    return [
        Figure(f"{name}: organisations", [organisations / measured.wall], "1/s", f"{measured.wall:.1f} s wall", 0),
        Figure(f"{name}: CPU", [measured.cpu], "s", "all processes and threads, ClickHouse's too"),
        Figure(f"{name}: peak memory", [measured.peak_bytes / 1e6], "MB", peak, 0),
    ]


def _steps(place: Path, folder: Path) -> list[Figure]:
    out = folder / "steps.json"
    run(Command.module(WORK, "steps", out, "--", *_command(place), pinned=False), folder / "log")
    seconds: dict[str, float] = json.loads(out.read_text(encoding="utf-8"))
    whole = sum(seconds.values())
    how = "of the wall time of one process, with a stopwatch that costs time itself; {:.2f} s"
    return [Figure(f"share: {step}", [100 * taken / whole], "%", how.format(taken)) for step, taken in seconds.items()]


def _told(command: Command, folder: Path) -> str:
    """Return the last line that a command printed."""
    log = folder / "log"
    run(command, log)
    return log.read_text(encoding="utf-8").strip().splitlines()[-1]


def measure(part: str, work: Callable[[], list[Figure]]) -> Measured:
    """Measure a part; where it cannot be, say why."""
    before = load_average()
    try:
        return Measured(part, work(), (before, load_average()))
    except (RunFailed, Different) as error:
        return Measured(part, [], (before, load_average()), str(error))


def main(given: list[str] | None = None) -> int:
    """Measure, print, and say whether all of it could be measured."""
    wanted = arguments(given)
    wanted.data.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=wanted.data, prefix="rating-") as name:
        folder = Path(name)
        work: dict[str, Callable[[], list[Figure]]] = {
            "lines": lambda: lines(folder, wanted.statements),
            "store": lambda: store(folder, wanted.organisations, wanted.rows, wanted.processes),
            "simulate": lambda: simulate(folder, wanted.organisations, wanted.rows, wanted.processes),
        }
        measured = [measure(part, work[part]) for part in PARTS if part in wanted.only]
    if wanted.json:
        print(json.dumps([one.as_json() for one in measured], indent=1))
    else:
        show(measured, Console(width=160))
    if wanted.write:
        command = "python -m benchmarks.rating"
        wanted.write.write_text(markdown(measured, command), encoding="utf-8")
    for one in measured:
        if one.problem:
            print(f"benchmarks.rating: {one.part}: {one.problem}", file=sys.stderr)
    return 1 if any(one.problem for one in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
