"""What must come out of generated traffic: exact totals and counts, kept as JSON beside it, and compared with.

    expected = Expected.load(expected_path(Path("events.ndjson")))
    differences = expected.compare(rows, by="day")      # rows: (org_id, category, day, quantity, events)

Every number is a whole Python integer. Nothing here asks the meter: what must be there was worked out by `simulate`.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from schemas.errors import SettingsError
from schemas.progress import Counts
from tally.generate.spec import Period

KIND: Final = "tally-expected"
VERSION: Final = 1

Moment = dt.datetime | dt.date | str | int
"""When a row's period starts: a date, an instant, the ISO text of either, or microseconds UTC."""


class Sum(NamedTuple):
    """Accepted quantity and accepted events."""

    quantity: int
    events: int


class Difference(NamedTuple):
    """A number that is not what it must be: where it is, which number, and both values."""

    place: str
    what: str
    expected: int
    actual: int

    @property
    def size(self) -> int:
        """How much too much there is."""
        return self.actual - self.expected

    def __str__(self) -> str:
        return f"{self.place}: {self.what} {self.actual:,} instead of {self.expected:,} ({self.size:+,})"


Key = tuple[int, str, dt.date]
"""Organisation, category, first day of the period."""


@dataclass(frozen=True)
class Expected:
    """Exact expectations of one or several runs of the generator.

    `usage`: accepted quantity and events by organisation, category and period, `by` day or month (UTC). `partitions`:
    what became of each partition's records and events. `late_known` is False for a topic, where lateness depends on the
    broker's clock: `late` is 0 in its counts and not compared. `about`: the spec, as plain JSON; `nbytes`: of the data.
    """

    usage: Mapping[Key, Sum]
    partitions: Mapping[str, Counts]
    by: Period = "day"
    late_known: bool = True
    nbytes: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """Return the counts of all partitions together."""
        return Counts.total(self.partitions.values())

    def totals(self) -> dict[tuple[int, str], Sum]:
        """Return accepted quantity and events by (organisation, category)."""
        totals: dict[tuple[int, str], Sum] = {}
        for (org, category, _), (quantity, events) in self.usage.items():
            before = totals.get((org, category), Sum(0, 0))
            totals[org, category] = Sum(before.quantity + quantity, before.events + events)
        return totals

    def usage_by(self, by: Period) -> Mapping[Key, Sum]:
        """Return the sums by organisation, category and day or month. Raises SettingsError for days of months."""
        if by == self.by:
            return self.usage
        if self.by == "month":
            raise SettingsError("the expectation was kept by month only; generate it with --expected-by day")
        months: dict[Key, Sum] = {}
        for (org, category, day), (quantity, events) in self.usage.items():
            key = (org, category, day.replace(day=1))
            before = months.get(key, Sum(0, 0))
            months[key] = Sum(before.quantity + quantity, before.events + events)
        return months

    def compare(self, rows: Iterable[Sequence[Any]], by: Period | Literal["total"] = "total") -> list[Difference]:
        """Compare usage rows with what must be there; rows of the same place are summed.

        A row is (org_id, category, quantity, events), or with the start of its period (see Moment) in third place
        where `by` is day or month. A place that only one side has counts as 0 on the other.
        """
        found: dict[tuple[Any, ...], Sum] = {}
        for row in rows:
            org, category, *moment, quantity, events = row
            key = (int(org), str(category), *(_day_of(at, by) for at in moment))
            before = found.get(key, Sum(0, 0))
            found[key] = Sum(before.quantity + int(quantity), before.events + int(events))
        wanted: Mapping[Any, Sum] = self.totals() if by == "total" else self.usage_by(by)
        differences = []
        for key in sorted(wanted.keys() | found.keys()):
            must, has = wanted.get(key, Sum(0, 0)), found.get(key, Sum(0, 0))
            place = f"organisation {key[0]}, {key[1]}" + (f", {by} {key[2]}" if len(key) > 2 else "")
            differences += [
                Difference(place, what, expected, actual)
                for what, expected, actual in zip(("quantity", "events"), must, has, strict=True)
                if expected != actual
            ]
        return differences

    def compare_counts(self, partitions: Mapping[str, Counts]) -> list[Difference]:
        """Compare what became of each partition's events; one that only one side has counts as empty on the other."""
        differences = []
        for name in sorted(self.partitions.keys() | partitions.keys()):
            must = flat(self.partitions.get(name, Counts()))
            has = flat(partitions.get(name, Counts()))
            differences += [
                Difference(f"partition {name}", what, must.get(what, 0), has.get(what, 0))
                for what in sorted(must.keys() | has.keys())
                if must.get(what, 0) != has.get(what, 0) and (self.late_known or what != "late")
            ]
        return differences

    def with_other(self, other: "Expected") -> "Expected":
        """Return what must be there when both were metered into one store. Partitions need different names."""
        by: Period = "day" if self.by == other.by == "day" else "month"
        usage = dict(self.usage_by(by))
        for key, (quantity, events) in other.usage_by(by).items():
            before = usage.get(key, Sum(0, 0))
            usage[key] = Sum(before.quantity + quantity, before.events + events)
        both = self.partitions.keys() & other.partitions.keys()
        if both:
            raise SettingsError(f"two expectations have a partition {min(both)!r}: compare them one by one")
        return Expected(
            usage=usage,
            partitions={**self.partitions, **other.partitions},
            by=by,
            late_known=self.late_known and other.late_known,
            nbytes=self.nbytes + other.nbytes,
            about={"of": [self.about, other.about]},
        )

    def summary(self) -> dict[str, Any]:
        """Return the counts and sizes as plain JSON."""
        counts = flat(self.counts)
        if not self.late_known:
            counts.pop("late")
        return {
            "counts": counts,
            "partitions": len(self.partitions),
            "bytes": self.nbytes,
            "organisations": len({org for org, _, _ in self.usage}),
        }

    def save(self, path: Path) -> None:
        """Write the expectation as JSON."""
        head = {
            "kind": KIND,
            "version": VERSION,
            "about": dict(self.about),
            "late": "exact" if self.late_known else "depends on the broker's clock: 0 here, and not compared",
            "bytes": self.nbytes,
            "counts": plain(self.counts),
            "partitions": {name: plain(counts) for name, counts in self.partitions.items()},
            "usage_by": self.by,
            "usage_columns": ["org_id", "category", self.by, "quantity", "events"],
        }
        text = json.dumps(head, indent=1, ensure_ascii=False)
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf-8") as out:
            # One row a line, so that a person can read it, and two runs can be compared line by line.
            out.write(text[:-2] + ',\n "usage": [')
            quoted = {category: json.dumps(category, ensure_ascii=False) for _, category, _ in self.usage}
            rows = (
                f'\n  [{org}, {quoted[category]}, "{day}", {quantity}, {events}]'
                for (org, category, day), (quantity, events) in self.usage.items()
            )
            for number, row in enumerate(rows):
                out.write(f",{row}" if number else row)
            out.write("\n ]\n}\n")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Expected":
        """Read a saved expectation. Raises SettingsError where the file is none, or of another version."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"expectation {path}: cannot be read: {error}") from error
        if not isinstance(found, dict) or found.get("kind") != KIND or found.get("version") != VERSION:
            raise SettingsError(f"expectation {path}: not a file that this version of `tally generate` wrote")
        days = {day: dt.date.fromisoformat(day) for day in {row[2] for row in found["usage"]}}
        return cls(
            usage={
                (org, category, days[day]): Sum(quantity, events)
                for org, category, day, quantity, events in found["usage"]
            },
            partitions={name: _counts(kept) for name, kept in found["partitions"].items()},
            by=found["usage_by"],
            late_known=found["late"] == "exact",
            nbytes=found["bytes"],
            about=found["about"],
        )


def expected_path(target: Path) -> Path:
    """Return where the expectation of a file or a folder lies: beside it."""
    return target.with_name(target.name + ".expected.json")


def flat(counts: Counts) -> dict[str, int]:
    """Return counts as one number a name, `rejected:REASON` and `not_billable:REASON` among them."""
    return {
        "records": counts.records,
        "events": counts.events,
        "accepted": counts.accepted,
        "late": counts.late,
        "duplicates": counts.duplicates,
        **{f"not_billable:{why}": n for why, n in sorted(counts.not_billable.items())},
        **{f"rejected:{why}": n for why, n in sorted(counts.rejected.items())},
        "quantity": counts.quantity,
    }


def plain(counts: Counts) -> dict[str, Any]:
    """Return counts as plain JSON."""
    return {
        "records": counts.records,
        "events": counts.events,
        "accepted": counts.accepted,
        "late": counts.late,
        "duplicates": counts.duplicates,
        "not_billable": dict(counts.not_billable),
        "rejected": dict(counts.rejected),
        "quantity": counts.quantity,
    }


def _counts(kept: Mapping[str, Any]) -> Counts:
    named = {"not_billable": Counter(kept["not_billable"]), "rejected": Counter(kept["rejected"])}
    return Counts(**{**kept, **named})


def _day_of(at: Moment, by: str) -> dt.date:
    """Return the first day of the period that a moment lies in."""
    if isinstance(at, int):
        at = dt.datetime.fromtimestamp(at // 1_000_000, dt.UTC)
    elif isinstance(at, str):
        at = dt.datetime.fromisoformat(at)
    if isinstance(at, dt.datetime):
        at = (at.astimezone(dt.UTC) if at.tzinfo else at).date()
    return at.replace(day=1) if by == "month" else at
