"""Failures of rating in the store: a period that could not be rated is there by name until a rating of it succeeds.

Guarantees: a rating that knew less neither hides a failure nor makes one; a failure that stays the same is written
once, so that its time is that since which it is so. A failure concerns all statements of its organisation in its time.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.period import Period
from schemas.statements import RatingFailure
from sinks.rating_rows import FAILURE, failure_table
from sinks.store import Store

Row = Mapping[str, Any]

_COLUMNS: Final = ", ".join(
    ["org_id", "period_start", "period_end", *(f"`failures.{name}`" for name in FAILURE), "version", "rated_at"]
)
_READ: Final = f"""
SELECT {_COLUMNS}
FROM (SELECT * FROM rating_failures FINAL)
WHERE period_start < toDateTime({{end:UInt32}}, 'UTC') AND period_end > toDateTime({{start:UInt32}}, 'UTC')
    AND notEmpty(`failures.reason`)<orgs>
ORDER BY org_id, period_start, period_end
"""


class Unrated(NamedTuple):
    """A period of an organisation whose last rating failed, and since when it does."""

    org_id: int
    start: dt.datetime
    end: dt.datetime
    failures: tuple[dict[str, str], ...]
    """`reason`, `category` and `detail` of each."""
    version: int
    since: dt.datetime

    @property
    def reasons(self) -> str:
        """Return the reasons, each once."""
        return ", ".join(sorted({one["reason"] for one in self.failures}))

    def sentences(self) -> Iterator[str]:
        """Yield what failed, in words."""
        for one in self.failures:
            category = f"category {one['category']}: " if one["category"] else ""
            yield f"{category}{one['detail']} ({one['reason']})"

    def meets(self, org_id: int, period: Period) -> bool:
        """Say whether it concerns a statement of this organisation and period."""
        return self.org_id == org_id and self.start < period.end and self.end > period.start


def read_failures(
    store: Store, start: dt.datetime, end: dt.datetime, orgs: Collection[int] | None = None
) -> dict[int, list[Unrated]]:
    """Return, by organisation, what could not be rated of periods that have an instant in common with a time."""
    found: defaultdict[int, list[Unrated]] = defaultdict(list)
    sql, parameters = _question(start, end, orgs)
    for row in store.query(sql, parameters):
        found[row[0]].append(_unrated(row))
    return dict(found)


def stream_failures(store: Store, start: dt.datetime, end: dt.datetime, org_id: int | None = None) -> Iterator[Unrated]:
    """Yield the same in the order of organisation and period, in bounded memory."""
    return map(_unrated, store.stream(*_question(start, end, None if org_id is None else [org_id])))


def failed_row(org_id: int, period: Period, failures: Sequence[RatingFailure], version: int, rated_at: int) -> Row:
    """Return the row of a rating that failed; one without failures says that the period is rated."""
    return {
        "org_id": org_id,
        "period_start": period.start,
        "period_end": period.end,
        "failures": [{name: getattr(one, name) for name in FAILURE} for one in failures],
        "version": version,
        "rated_at": rated_at,
    }


def emptied(one: Unrated, version: int, rated_at: int) -> Row:
    """Return the row that says of a period that it is rated by now, or is none any more."""
    return failed_row(one.org_id, Period(one.start, one.end, ""), (), version, rated_at)


def write_failures(store: Store, rows: Sequence[Row]) -> None:
    """Write failures, each with the columns of `failed_row`."""
    store.insert("rating_failures", failure_table(rows))


def says_new(row: Row, known: Sequence[Unrated]) -> Iterator[Row]:
    """Yield what is to be written of a rating that failed, given what is known to have failed in its time."""
    version, rated_at = row["version"], row["rated_at"]
    there = [one for one in known if (one.start, one.end) == (row["period_start"], row["period_end"])]
    if not any(one.version > version or list(one.failures) == row["failures"] for one in there):
        yield row
    yield from (emptied(one, version, rated_at) for one in known if one not in there and one.version <= version)


def _question(start: dt.datetime, end: dt.datetime, orgs: Collection[int] | None) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {"start": int(start.timestamp()), "end": int(end.timestamp())}
    if orgs is not None:
        parameters["orgs"] = sorted(orgs)
    where = "" if orgs is None else " AND org_id IN {orgs:Array(UInt64)}"
    return _READ.replace("<orgs>", where), parameters


def _unrated(row: Sequence[Any]) -> Unrated:
    failures = tuple(dict(zip(FAILURE, values, strict=True)) for values in zip(*row[3:6], strict=True))
    return Unrated(row[0], row[1], row[2], failures, row[6], row[7])
