"""What an operator plans with: the cost of telemetry, memory, recovery after a crash, end-to-end delay.

    python -m benchmarks.operations                           all parts, about fifteen minutes on a quiet machine
    python -m benchmarks.operations --only memory recovery --json
    python -m benchmarks.operations --only delay --full 100000

Exit status 1 where a part could not be measured. Everything beside the flow has the other cores, where there are any;
the load average of the machine is printed with the figures: they are worth what the machine was quiet.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import DATA, tell
from benchmarks.inputs import Inputs, NoInput
from benchmarks.measure import RunFailed
from benchmarks.operations import delay, memory, overhead, recovery
from benchmarks.operations.figures import HEADER, Figure, Measured, load_average, markdown
from benchmarks.operations.running import Failed
from schemas.errors import TallyError
from tests.kafka.broker import NoKafka

PARTS: Final = ("overhead", "memory", "recovery", "delay")
PAGE: Final = Path(__file__).with_name("RESULTS.md")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--events", type=int, default=5_000_000, help="overhead: events of a run (5,000,000)")
    parser.add_argument("--pairs", type=int, default=5, help="overhead: pairs of runs (5)")
    parser.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[1_000_000, 2_000_000, 3_000_000],
        metavar="N",
        help="memory: so many ids, and so many rows (1, 2 and 3 million)",
    )
    parser.add_argument("--rate", type=float, default=20_000, help="recovery: events a second (20,000)")
    parser.add_argument("--horizon", type=int, default=60, metavar="S", help="recovery: dedupe horizon, seconds (60)")
    parser.add_argument("--kills", type=int, default=3, help="recovery: how often (3)")
    parser.add_argument("--seconds", type=float, default=30, help="delay: how long each load lasts (30)")
    parser.add_argument("--full", type=float, metavar="RATE", help="delay: events/s of full load (looked for)")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    parser.add_argument("--write", action="store_true", help="write benchmarks/operations/RESULTS.md")
    parser.add_argument("--data", type=Path, default=DATA, help="where inputs are kept (.cache/benchmarks)")
    return parser.parse_args(given)


def measure(part: str, work: Callable[[], list[Figure]]) -> Measured:
    """Measure a part; where it cannot be, say why."""
    before = load_average()
    figures: list[Figure] = []
    problem = ""
    try:
        figures = work()
    except (Failed, NoKafka, NoInput, RunFailed, TallyError, AssertionError) as error:
        problem = str(error) or type(error).__name__
    return Measured(part, figures, (before, load_average()), problem)


def show(measured: list[Measured], console: Console) -> None:
    """Print a table a part."""
    for one in measured:
        title = f"{one.part} (load average {one.load[0]:.2f} before, {one.load[1]:.2f} after)"
        if one.problem:
            console.print(f"{title}: NOT MEASURED: {one.problem}")
            continue
        table = Table(*HEADER, title=title, title_justify="left")
        for figure in one.figures:
            table.add_row(*figure.cells())
        console.print(table)


def main(given: list[str] | None = None) -> int:
    """Measure, print, and say whether all of it could be measured."""
    wanted = arguments(given)
    inputs = Inputs(wanted.data)
    work: dict[str, Callable[[], list[Figure]]] = {
        "overhead": lambda: overhead.measure(inputs, wanted.events, wanted.pairs, tell),
        "memory": lambda: memory.measure(wanted.counts, tell),
        "recovery": lambda: recovery.measure(inputs.folder, wanted.rate, wanted.horizon, wanted.kills, tell),
        "delay": lambda: delay.measure(inputs.folder, wanted.seconds, wanted.full, tell),
    }
    measured = [measure(part, work[part]) for part in PARTS if part in wanted.only]
    if wanted.json:
        print(json.dumps([one.as_json() for one in measured], indent=1))
    else:
        show(measured, Console(width=160))
    if wanted.write:
        command = "python -m benchmarks.operations " + shlex.join(sys.argv[1:] if given is None else given)
        PAGE.write_text(markdown(measured, command.strip()), encoding="utf-8")
    for one in measured:
        if one.problem:
            print(f"benchmarks.operations: {one.part}: {one.problem}", file=sys.stderr)
    return 1 if any(one.problem for one in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
