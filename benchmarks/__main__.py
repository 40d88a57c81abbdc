"""The benchmarks: one command, every number from a run, every answer compared.

    python -m benchmarks                              all of it, 10 million events, about ten minutes
    python -m benchmarks --events 1000000 --only file fold
    python -m benchmarks --profile file               where the time goes, outside of any measurement

Exit status 1 where two answers differ, a case failed, or the code changed while it was measured.
"""

import argparse
import hashlib
import json
import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import report
from benchmarks.cases import CONTESTS, Contest, chosen
from benchmarks.contest import Inputted, Outcome, hold
from benchmarks.inputs import ROOT, Inputs, NoInput
from benchmarks.kafka import topics
from tests.kafka.broker import NoKafka

CODE: Final = ("schemas", "dataflows", "sinks", "tally", "benchmarks")
DATA: Final = ROOT / ".cache" / "benchmarks"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = ", ".join(f"{contest.name} ({', '.join(case.name for case in contest.cases)})" for contest in CONTESTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the largest input (10,000,000)")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of a case (3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"contests or cases: {names}")
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    parser.add_argument("--data", type=Path, default=DATA, help="where inputs are kept (.cache/benchmarks)")
    parser.add_argument("--profile", metavar="CASE", help="print where a case's time goes, and measure nothing")
    return parser.parse_args()


def tell(message: str) -> None:
    """Say how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def needs_broker(contest: Contest) -> bool:
    """Say whether a contest has a case that reads a topic."""
    return any(case.medium.endswith("topic") for case in contest.cases)


def code_digest() -> str:
    """Return a hash of the source that measured processes run."""
    sources = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def hold_all(contests: list[Contest], asked: int, runs: int, inputs: Inputs) -> list[Outcome]:
    """Hold every contest; one that cannot be held says why in its outcome."""
    outcomes: list[Outcome] = []
    for contest in contests:
        code = code_digest()
        with ExitStack() as stack:
            try:
                make_topic = stack.enter_context(topics(inputs)) if needs_broker(contest) else None
                outcomes.append(hold(contest, asked, runs, Inputted(inputs, make_topic), tell))
            except (NoKafka, NoInput) as problem:
                outcomes.append(Outcome(contest, contest.traffic(asked).events, [], str(problem)))
        if code != code_digest() and not outcomes[-1].problem:
            outcomes[-1].problem = "the code changed meanwhile: runs compiled it again, and are not of one program"
    inputs.forget_recent()
    return outcomes


def main() -> int:
    """Measure, print, and say whether every answer agreed."""
    wanted = arguments()
    try:
        contests = chosen(wanted.only)
    except ValueError as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 2
    inputs = Inputs(wanted.data)
    if wanted.profile:
        from benchmarks.profiling import profile  # noqa: PLC0415 - measured processes never see it

        return profile(wanted.profile, wanted.events, inputs)
    outcomes = hold_all(contests, wanted.events, wanted.runs, inputs)
    if wanted.json:
        print(json.dumps(report.as_json(outcomes), indent=1))
    else:
        report.show(outcomes, Console(width=160))
    if wanted.write:
        report.RESULTS.write_text(
            report.markdown(outcomes, "python -m benchmarks " + shlex.join(sys.argv[1:])), encoding="utf-8"
        )
    for outcome in outcomes:
        if not outcome.agreed:
            print(f"benchmarks: {outcome.contest.name}: {outcome.problem or 'the answers differ'}", file=sys.stderr)
    return 0 if all(outcome.agreed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
