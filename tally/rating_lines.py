"""How a rater that stays tells of its passes, on stdout: a line each, for people, or JSON for machines."""

import json
from collections import Counter
from typing import Any

from rater.render import instant
from tally.output import plain
from tally.rating_answer import Answer
from tally.rating_service import PassReport
from tally.units import SECOND, show_instant

_MILLISECOND = SECOND // 1_000


def print_line(report: PassReport) -> None:
    """Print a pass as a line for people."""
    print(line_of(report), flush=True)


def print_object(report: PassReport) -> None:
    """Print a pass as a JSON object on a line of its own."""
    print(json.dumps(plain(object_of(report)), ensure_ascii=False), flush=True)


def line_of(report: PassReport) -> str:
    """Return a pass as a line: when it began, what it rated and kept, how complete that is, how long it took."""
    began = f"{show_instant(report.began // SECOND * SECOND)}  pass {report.number}: "
    if report.why:
        return f"{began}failed ({report.result}): {report.why.splitlines()[0]}"
    if not report.months:
        return f"{began}nothing to rate; {report.seconds:.1f} s"
    kept: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for answer in report.months:
        kept.update(answer.about()["kept"])
        reasons.update(answer.reasons)
    months = ", ".join(answer.period.name for answer in report.months)
    rated = sum(answer.statements for answer in report.months)
    parts = [
        f"{months}{' (stopped)' if report.result == 'stopped' else ''}: {rated:,} organisations rated",
        f"{kept['written']:,} statements written, {kept['unchanged']:,} unchanged",
    ]
    parts += [f"{kept[name]:,} {name}" for name in ("withdrawn", "superseded") if kept[name]]
    if report.failures:
        told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        parts.append(f"{report.failures:,} FAILURES ({told})")
    complete_to = report.months[-1].known.complete_to
    parts.append("completeness not known" if complete_to is None else f"complete to {instant(complete_to)}")
    return began + "; ".join([*parts, f"{report.seconds:.1f} s"])


def object_of(report: PassReport) -> dict[str, Any]:
    """Return a pass as plain values: its result, and for each month what `tally rate --json` says of the whole."""
    return {
        "pass": report.number,
        "began": show_instant(report.began),
        "result": report.result,
        "message": report.why or None,
        "milliseconds": int(report.seconds * SECOND) // _MILLISECOND,
        "months": [_month(answer) for answer in report.months],
    }


def _month(answer: Answer) -> dict[str, Any]:
    complete_to = answer.known.complete_to
    found = answer.about()
    return {
        "period": answer.period.name,
        "complete_to": None if complete_to is None else instant(complete_to),
        "organisations": found["organisations"],
        "lines": answer.lines,
        "failures": found["failures"],
        "reasons": dict(sorted(answer.reasons.items())),
        "kept": found["kept"],
    }
