"""What reconciliation answers: for each law both sides, and what was found where they are not the same.

A law compares two sides place by place. A place is named by columns (topic, partition, generation, org_id, …), its
sides are exact numbers. Nothing of the wall clock is in here but the instant that a run is given.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args

from schemas.money import EXACT

Law: TypeAlias = Literal[
    "records",  # offsets passed over >= records <= events
    "events",  # events = accepted + duplicates + not billable + rejected
    "accepted",  # accepted = sum of events over the usage rows
    "quantity",  # the quantity checksum = sum of quantity over the usage rows
    "late",  # late = sum of events over the rows of late segments
    "kept",  # events of a category that keeps them, by usage rows = kept events
    "rejected",  # rejected by reason = dead letters
    "generations",  # nothing of a generation lies at or past the start of the next one
    "ranges",  # a generation starts where the one before it ended
    "log",  # progress lies within the log, and the log is the one that was read
    "control",  # what producers say they sent = what arrived
    "views",  # the views on usage = the newest version of every usage row
    "replays",  # replayed dead letters = their usage rows
    "charges",  # usage = what the stored statements were made of
    "lines",  # a line's amount = its steps, rounded once
    "totals",  # a statement's total = the sum of its lines
    "interims",  # what interim statements billed = what the statement of their period takes off
    "rows",  # of a recount: usage rows as SQL makes them of the raw log = those of the store
    "letters",  # of a recount: rejected events = dead letters, position by position
    "verdicts",  # of a recount: how many events got which verdict = progress
]
"""Every law, in the order in which they are checked; the last three are a recount's."""

LAWS: Final[tuple[Law, ...]] = get_args(Law)

Standing: TypeAlias = Literal["difference", "in_flight", "stale", "not_checked"]
"""What an unequal place is: a difference is a fault; what is in flight is not there yet; what is stale was true once;
what was not checked could not be."""

Number: TypeAlias = int | Decimal
Place: TypeAlias = Mapping[str, str | int]

KEPT: Final = 1_000
"""Findings of one law that are kept one by one; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the sides of a law are not the same, or could not be compared (a side is None)."""

    law: Law
    standing: Standing
    place: Place
    left: Number | None
    right: Number | None
    note: str = ""

    @property
    def size(self) -> Number | None:
        """Return right − left, None where a side is not known."""
        return None if self.left is None or self.right is None else minus(self.right, self.left)

    def place_text(self) -> str:
        """Return the place as JSON that is the same for the same place."""
        return json.dumps(dict(self.place), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True)
class Checked:
    """One law, checked: how many places were compared, the sums of both sides over them, and what was found.

    `left_is` and `right_is` say what the sides are, `at_least` that the left one may be more. `skipped` says why the
    law was not asked at all ('' where it was).
    """

    law: Law
    left_is: str
    right_is: str
    places: int = 0
    left: Number = 0
    right: Number = 0
    counts: dict[Standing, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""
    at_least: bool = False

    def compare(self, place: Place, left: Number, right: Number, note: str = "", *, summed: bool = True) -> bool:
        """Count a place; where its sides are not the same it is a difference. Return whether they are.

        `summed=False` leaves its sides out of the sums: those of another unit.
        """
        if summed:
            self.add(left, right)
        else:
            self.places += 1
        if left == right:
            return True
        self.name("difference", place, left, right, note)
        return False

    def add(self, left: Number, right: Number) -> None:
        """Count a place that was compared."""
        self.places += 1
        self.left, self.right = plus(self.left, left), plus(self.right, right)

    def name(
        self, standing: Standing, place: Place, left: Number | None = None, right: Number | None = None, note: str = ""
    ) -> None:
        """Note what was found at a place."""
        self.counts[standing] = self.counts.get(standing, 0) + 1
        if len(self.findings) < KEPT:
            self.findings.append(Finding(self.law, standing, place, left, right, note))

    @property
    def differences(self) -> int:
        """How many places differ."""
        return self.counts.get("difference", 0)

    @property
    def size(self) -> Number | None:
        """Return the difference of the sums, in which those of single places may cancel out; None for `at_least`."""
        return None if self.at_least else minus(self.right, self.left)

    @property
    def sentence(self) -> str:
        """Return the law in words."""
        return f"{self.left_is} {'≥' if self.at_least else '='} {self.right_is}"

    @property
    def unlisted(self) -> int:
        """How many findings were counted and not kept."""
        return sum(self.counts.values()) - len(self.findings)

    @property
    def verdict(self) -> str:
        """Return the law's state in one word: not asked, differs, holds."""
        return "not_checked" if self.skipped else "difference" if self.differences else "holds"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A run over all laws. `at` is when it was run, in microseconds UTC; bounds are those that were asked for."""

    at: int
    checked: Sequence[Checked]
    start: int | None = None
    end: int | None = None
    topic: str | None = None

    @property
    def differences(self) -> int:
        """How many places differ, over all laws."""
        return sum(one.differences for one in self.checked)

    @property
    def run_id(self) -> str:
        """Return 16 hex digits that name what was found and when."""
        found: list[Any] = [self.at, self.start, self.end, self.topic]
        for one in self.checked:
            found += [one.law, one.places, str(one.left), str(one.right), sorted(one.counts.items()), one.skipped]
            found += [[f.standing, f.place_text(), str(f.left), str(f.right), f.note] for f in one.findings]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def plus(left: Number, right: Number) -> Number:
    """Return the exact sum; of decimals too, whatever the ambient context is."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    return EXACT.add(Decimal(left), Decimal(right))


def minus(left: Number, right: Number) -> Number:
    """Return the exact difference."""
    return plus(left, -right if isinstance(right, int) else right.copy_negate())
