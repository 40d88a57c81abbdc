"""What the benchmarks print: tables for people, JSON for machines, and benchmarks/RESULTS.md."""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.contest import Outcome, Result
from benchmarks.inputs import EVENTS_PER_SECOND, ORGS
from benchmarks.measure import Spread

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
PACKAGES: Final = ("bytewax", "chdb-core", "confluent-kafka", "duckdb", "numba", "numpy", "pyarrow")
COLUMNS: Final = (
    "case",
    "events/s",
    "range",
    "once started",
    "per CPU s",
    "peak MB",
    "answer",
    "same",
    "ratio",
    "ratio once started",
)
HASH_SHOWN: Final = 12

READING: Final = """\
- *events/s*: events divided by the wall time of the whole process, from its start to its exit, the median of the runs.
- *once started*: the same without the time that the command takes for a single event (– where that is most of it).
- *per CPU s*: events divided by CPU seconds, user and system, over all threads and processes of the command.
- *peak MB*: memory of the largest process at its peak, in 10^6 bytes.
- *answer*: SHA-256 of the usage rows (organisation, category, window start, quantity, events), sorted; *same*: whether
  all runs of all cases of the table gave it.
- *ratio*: how many times as fast the table's first case was, the median over pairs of runs made one after the other,
  and the range; *ratio once started*: the same with both starts taken off.
- A case runs as processes of its own, on one core; a broker has the other one. Compiled code was cached by an earlier
  run, files were in the page cache, topics were filled before. Cases of a table take turns."""


def machine() -> dict[str, str]:
    """Return what the numbers depend on beside the code."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that was measured as plain JSON values."""
    return {"machine": machine(), "contests": [_contest(outcome) for outcome in outcomes]}


def _contest(outcome: Outcome) -> dict[str, Any]:
    return {
        "contest": outcome.contest.name,
        "traffic": outcome.contest.kind,
        "events": outcome.events,
        "problem": outcome.problem,
        "agreed": outcome.agreed,
        "cases": [
            {
                "case": result.case.name,
                "start_s": result.start,
                "wall_s": [run.wall for run in result.runs],
                "cpu_s": [run.cpu for run in result.runs],
                "peak_bytes": [run.peak_bytes for run in result.runs],
                "answers": result.answers,
                "steps_s": result.steps,
                "events_per_s": result.rate().median if result.runs else None,
                "events_per_s_once_started": result.rate_once_started() if result.runs else None,
            }
            for result in outcome.results
        ],
    }


def rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Return a contest's table, one row a case, as text."""
    for result in outcome.results:
        if not result.runs:
            yield (result.case.name, *("–" for _ in COLUMNS[1:]))
            continue
        rate, first = result.rate(), result is outcome.results[0]
        yield (
            result.case.name,
            f"{rate.median:,.0f}",
            f"{rate.low:,.0f}–{rate.high:,.0f}",
            _number(result.rate_once_started()),
            f"{Spread.of([result.events / run.cpu for run in result.runs]).median:,.0f}",
            f"{max(run.peak_bytes for run in result.runs) / 1e6:,.0f}",
            " ".join(sorted(each[:HASH_SHOWN] for each in result.hashes())),
            "yes" if outcome.agreed else "–" if outcome.problem else "NO",
            "" if first else _ratio(outcome.ratios(result)),
            "" if first else _ratio(outcome.ratios_once_started(result)),
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _ratio(ratio: Spread | None) -> str:
    return "–" if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def bars(outcome: Outcome) -> Iterator[str]:
    """Say of every bar of a contest whether it was reached."""
    for result in outcome.results:
        if result.runs and result.case.bar:
            yield _bar(result.case.name, "events/s", result.rate().median, result.case.bar)
    rivals = [result for result in outcome.results if result.case.name in outcome.contest.rivals and result.runs]
    if rivals and outcome.contest.least_ratio:
        first = outcome.results[0].case.name
        for rival in rivals:
            ratio = outcome.ratios_once_started(rival)
            # A run that is mostly start says nothing of a stream's speed.
            if ratio is not None:
                unit = f"times as fast as {rival.case.name} once started"
                yield _bar(first, unit, ratio.median, outcome.contest.least_ratio)


def _bar(name: str, unit: str, reached: float, wanted: float) -> str:
    verdict = "reached" if reached >= wanted else "MISSED"
    shown, bar = (f"{reached:,.0f}", f"{wanted:,.0f}") if wanted >= 1_000 else (f"{reached:.2f}", f"{wanted:g}")
    return f"{name}: {shown} {unit}, bar {bar}: {verdict}"


def steps(result: Result) -> str:
    """Return where the last run's time went, for a case that says so."""
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.steps.items())
    return f"{result.case.name}, CPU of the last run: {parts}" if parts else ""


def _notes(outcome: Outcome) -> list[str]:
    told = [f"{result.case.name}: {result.case.about}" for result in outcome.results]
    told += [line for line in map(steps, outcome.results) if line]
    told += bars(outcome)
    return told + ([f"NOT RUN: {outcome.problem}"] if outcome.problem else [])


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the tables."""
    for outcome in outcomes:
        table = Table(*COLUMNS, title=f"{outcome.contest.name}: {outcome.contest.about}; {outcome.events:,} events")
        for row in rows(outcome):
            table.add_row(*row)
        console.print(table)
        for note in _notes(outcome):
            console.print(note, highlight=False)


def markdown(outcomes: Sequence[Outcome], command: str) -> str:
    """Return the text of RESULTS.md."""
    told = "\n".join(f"- {name}: {value}" for name, value in machine().items())
    about = (
        f"`{command}` wrote this page; no number was typed. Traffic is `tally generate`'s: {ORGS:,} organisations, "
        f"{EVENTS_PER_SECOND:,} events a second of event time."
    )
    parts = ["# Measured", about, told, READING]
    for outcome in outcomes:
        parts.append(f"## {outcome.contest.name}: {outcome.contest.about}\n\n{outcome.events:,} events.")
        lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows(outcome))]
        parts.append("\n".join(lines))
        parts.append("\n".join(f"- {note}" for note in _notes(outcome)))
    return "\n\n".join(parts) + "\n"
