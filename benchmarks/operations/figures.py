"""What was measured, as figures: a name, the values of all runs, their unit, and what they were measured with."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.measure import Spread
from benchmarks.report import machine

HEADER: Final = ("what", "median", "range", "unit", "runs", "how")


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, at least once. `digits` after the point are shown; `how` says under which conditions."""

    name: str
    values: Sequence[float]
    unit: str
    how: str = ""
    digits: int = 1

    @property
    def spread(self) -> Spread:
        """Return the median and the range."""
        return Spread.of(self.values)

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        spread = self.spread
        shown = [f"{value:,.{self.digits}f}" for value in (spread.median, spread.low, spread.high)]
        between = f"{shown[1]} to {shown[2]}" if len(self.values) > 1 else ""
        return (self.name, shown[0], between, self.unit, str(len(self.values)), self.how)


@dataclass(frozen=True, slots=True)
class Measured:
    """One part's figures, and the machine's load average (1 min) as it began and ended; `problem` where it failed."""

    part: str
    figures: Sequence[Figure]
    load: tuple[float, float]
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "part": self.part,
            "load_average": self.load,
            "problem": self.problem or None,
            "figures": [
                {"what": one.name, "values": list(one.values), "unit": one.unit, "how": one.how} for one in self.figures
            ],
        }


def load_average() -> float:
    """Return how many processes wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def markdown(measured: Sequence[Measured], command: str) -> str:
    """Return the page of all parts."""
    return "\n".join(_lines(measured, command)) + "\n"


def _lines(measured: Sequence[Measured], command: str) -> Iterator[str]:
    yield "# Operating figures"
    yield ""
    yield f"`{command}` wrote this page; no number was typed. OPERATIONS.md says what they mean for an operator."
    yield ""
    yield from (f"- {name}: {value}" for name, value in machine().items())
    for one in measured:
        yield ""
        yield f"## {one.part}"
        yield ""
        yield f"Load average of the machine (1 min): {one.load[0]:.2f} before, {one.load[1]:.2f} after."
        if one.problem:
            yield ""
            yield f"NOT MEASURED: {one.problem}"
        if one.figures:
            yield ""
            yield f"| {' | '.join(HEADER)} |"
            yield f"|{' --- |' * len(HEADER)}"
            yield from (f"| {' | '.join(figure.cells())} |" for figure in one.figures)
