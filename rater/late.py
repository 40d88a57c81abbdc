"""Late usage: what a sealed period's truth is now, less what was posted for it, as lines of the next open statement."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from rater.sheet import nets_of
from schemas.money import exact
from schemas.prices import Step
from schemas.statements import Line, LineKind, Statement

ZERO = Decimal(0)
PAID: Final[frozenset[LineKind]] = frozenset({"credit", "prepaid", "refund", "already_invoiced", "adjustment"})
"""Kinds that say how a period was paid, or belong to another period, and not what it cost."""


def charged(lines: Iterable[Line]) -> dict[str, Decimal]:
    """Return what a period's lines charge, by charge: its truth, before anything was paid or billed ahead of it."""
    return nets_of([line for line in lines if line.kind not in PAID])


def late_adjustment(known: Statement, posted: Mapping[str, Decimal], reason: str = "late usage") -> tuple[Line, ...]:
    """Return a line for each charge whose rounded truth differs from what was posted: truth − Σ posted.

    `known` is the origin period's statement, rated from all usage known now; `posted` what was posted for that period
    so far, by charge (`posted_for`). Both are compared before payment: credit that the origin period had left pays for
    a correction where it is posted, and is burned once. With these lines, which name the origin period, Σ posted is
    the rounded truth again; asked once more, there is nothing to post.
    """
    with exact():
        truth = charged(known.lines)
        lines: list[Line] = []
        for charge in dict.fromkeys((*truth, *posted)):
            now, before = truth.get(charge, ZERO), posted.get(charge, ZERO)
            if now != before:
                lines.append(_line(charge, now, before, known, reason))
    return tuple(lines)


def posted_for(statement: Statement, adjustments: Iterable[Line] = ()) -> dict[str, Decimal]:
    """Return what was posted for a period, by charge: its sealed statement, and the adjustments posted since."""
    with exact():
        posted = charged(statement.lines)
        for line in adjustments:
            if line.kind == "adjustment" and line.part_of_period == (statement.period.start, statement.period.end):
                for charge in line.applies_to:
                    posted[charge] = posted.get(charge, ZERO) + line.amount
    return posted


def _line(charge: str, now: Decimal, before: Decimal, known: Statement, reason: str) -> Line:
    period = known.period
    origin = [line for line in known.lines if line.charge == charge]
    steps = [Step(f"all usage of {period} known now", now)]
    if before:
        steps.append(Step("posted before", -before))
    told = origin[0] if origin else known.lines[0] if known.lines else None
    return Line(
        charge=f"{charge}@{period.name}",
        name=f"{origin[0].name if origin else charge}, {period}: {reason}",
        usage={},
        quantity=ZERO,
        unit="",
        conversion="",
        steps=tuple(steps),
        exact=now - before,
        amount=now - before,
        effective=told.effective if told is not None else period.start.date(),
        kind="adjustment",
        applies_to=(charge,),
        part_of_period=(period.start, period.end),
    )
