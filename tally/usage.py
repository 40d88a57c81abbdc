"""Usage as it was counted: totals per organisation, category and time, with the instant to which they are complete.

    answer = read_usage(store, UsageQuery(orgs=(42,), by="day"), catalogue.names)
    for row in answer.rows: ...                     # in bounded memory, however many there are

Guarantees: sums are exact (Int128, Python integers); `complete_to` was read before the usage, so it is never later
than what the rows show. Not guaranteed: that usage at or past `complete_to` stays as it is.
"""

import datetime as dt
import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from schemas.errors import SettingsError
from schemas.verdicts import END_OF_TIME, MAX_ID
from sinks.remeters import COUNTS
from sinks.store import Store
from tally.units import read_instant, show_instant

By = Literal["window", "hour", "day", "month"]
BY: Final[tuple[By, ...]] = get_args(By)

SECOND: Final = 1_000_000
_LAST_SECOND: Final = 2**32 - 1
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
TEXT: Final = "formatDateTime({}, '%Y-%m-%dT%H:%i:%SZ', 'UTC')"

STARTS: Final[dict[By, str]] = {
    "window": "{}",
    "hour": "toStartOfHour({})",
    "day": "toDateTime(toDate({}, 'UTC'), 'UTC')",
    "month": "toDateTime(toStartOfMonth(toDate({}, 'UTC')), 'UTC')",
}
"""The start of the unit that an instant lies in, as a DateTime in UTC."""


SUMS: Final = ("sum(quantity)", "sum(events)", "sum(late_events)")


class _View(NamedTuple):
    """A view on usage: its column of time, the type of it, and the seconds that one row of it covers (0: a window)."""

    name: str
    time: str
    kind: str
    seconds: int


_WINDOWS: Final = _View("usage", "window_start", "toDateTime({}, 'UTC')", 0)
_HOURS: Final = _View("usage_hourly", "hour", "toDateTime({}, 'UTC')", 3_600)
_DAYS: Final = _View("usage_daily", "day", "toDate(toDateTime({}, 'UTC'), 'UTC')", 86_400)
_COARSEST: Final[dict[By, tuple[_View, ...]]] = {
    "window": (_WINDOWS,),
    "hour": (_HOURS, _WINDOWS),
    "day": (_DAYS, _HOURS, _WINDOWS),
    "month": (_DAYS, _HOURS, _WINDOWS),
}


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What is asked: windows that start in [start, end), microseconds UTC; empty and None stand for all.

    `project` and `dimensions` say whether rows are told apart by them; None means where the store has any.
    """

    by: By = "window"
    orgs: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    project: bool | None = None
    dimensions: bool | None = None
    limit: int | None = None


@dataclass
class UsageAnswer:
    """Usage rows and how complete they are.

    `columns` names the values of a row: org_id, category, [project_id, dimensions,] window_start (RFC 3339, the start
    of the window, hour, day or month), quantity, events, late_events. `rows` may be walked once; afterwards `truncated`
    says whether the limit cut rows off. `complete_to` is in microseconds UTC, None where it is not known.
    """

    complete_to: int | None
    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    truncated: bool = False

    @property
    def complete_to_text(self) -> str | None:
        """Return complete_to as RFC 3339."""
        return None if self.complete_to is None else show_instant(self.complete_to)

    def completeness(self) -> str:
        """Say in words how complete the answer is."""
        if self.complete_to is None:
            return "complete_to is not known: nothing was read yet, or a partition has not said how far it is"
        if self.complete_to >= END_OF_TIME:
            return f"complete_to {self.complete_to_text}: every log was read to its end"
        return f"complete_to {self.complete_to_text}: usage before that instant is final"


def read_usage(store: Store, query: UsageQuery, categories: Collection[str] = ()) -> UsageAnswer:
    """Ask a store for usage. `categories` are the catalogue's names: known, though nothing may have used them yet.

    Raises SettingsError for a category that neither the catalogue nor the store knows, StoreMismatch where the store
    has not been migrated.
    """
    store.check_version()
    complete_to = store.complete_to()
    check_categories(store, query.categories, categories)
    grouped = told_apart(store, query)
    sql, parameters = usage_sql(query, grouped)
    answer = UsageAnswer(complete_to, (*grouped, "window_start", "quantity", "events", "late_events"), rows=iter(()))
    answer.rows = limited(answer, store.stream(sql, parameters), query.limit)
    return answer


def told_apart(store: Store, query: UsageQuery) -> tuple[str, ...]:
    """Return the columns that rows are told apart by, beside their time."""
    project = _has(store, "project_id != 0") if query.project is None else query.project
    dimensions = _has(store, "dimensions != ''") if query.dimensions is None else query.dimensions
    return ("org_id", "category", *(["project_id"] if project else []), *(["dimensions"] if dimensions else []))


def usage_sql(
    query: UsageQuery, grouped: tuple[str, ...], values: tuple[str, ...] = SUMS
) -> tuple[str, dict[str, Any]]:
    """Return the SQL of a query, whose rows end with `values` of a view's columns, and its parameters.

    Filters name key columns only, so they may reach below FINAL.
    """
    start, end = second_of(query.start), second_of(query.end)
    view = next(
        view
        for view in _COARSEST[query.by]
        if not view.seconds or all(bound is None or bound % view.seconds == 0 for bound in (start, end))
    )
    wanted, parameters = [], dict[str, Any]()
    if query.orgs:
        wanted.append("org_id IN {orgs:Array(UInt64)}")
        parameters["orgs"] = list(query.orgs)
    if query.categories:
        wanted.append("category IN {categories:Array(String)}")
        parameters["categories"] = list(query.categories)
    for name, sign, bound in (("start", ">=", start), ("end", "<", end)):
        if bound is not None:
            wanted.append(f"{view.time} {sign} {view.kind.format(f'{{{name}:UInt32}}')}")
            parameters[name] = bound
    where = f"WHERE {' AND '.join(wanted)} " if wanted else ""
    # One row more than is shown tells whether the limit cut any off.
    limit = "" if query.limit is None else f" LIMIT {int(query.limit) + 1}"
    keys = ", ".join(grouped)
    order = ", ".join(("org_id", "category", "starts", *grouped[2:]))
    inner = (
        f"SELECT {keys}, {STARTS[query.by].format(view.time)} AS starts, "
        f"{', '.join(f'{value} AS value{number}' for number, value in enumerate(values))} FROM {view.name} {where}"
        f"GROUP BY {keys}, starts ORDER BY {order}{limit}"
    )
    outer = f"{keys}, {TEXT.format('starts')}, {', '.join(f'value{number}' for number in range(len(values)))}"
    return f"SELECT {outer} FROM ({inner}) ORDER BY {order}", parameters


def check_categories(store: Store, asked: Collection[str], catalogue: Collection[str]) -> None:
    """Raise SettingsError for a category that neither the catalogue nor the store knows, naming the nearest one."""
    unknown = [name for name in asked if name not in catalogue]
    if not unknown:
        return
    # No FINAL: a category that a row has is in the key, so every version of the row has it.
    used = {row[0] for row in store.query(f"SELECT DISTINCT category FROM usage_windows WHERE {COUNTS}")}
    for name in unknown:
        if name not in used:
            near = difflib.get_close_matches(name, {*catalogue, *used}, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "see the category catalogue for those that there are"
            raise SettingsError(f"--category {name!r}: no such category; {hint}")


def read_bound(text: str, name: str) -> int:
    """Return the microseconds of a date (its midnight UTC) or an RFC 3339 instant with a zone.

    `name` names the option in the SettingsError that anything else raises.
    """
    try:
        if _DATE.fullmatch(text.strip()):
            day = dt.date.fromisoformat(text.strip())
            return read_instant(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC))
        return read_instant(text)
    except ValueError:
        raise SettingsError(
            f"{name} {text!r}: write a date, as in 2026-11-22 (its midnight UTC), or an instant with a zone, as in "
            "2026-11-22T10:00:00Z"
        ) from None


def check_query(query: UsageQuery) -> None:
    """Raise SettingsError for bounds, organisations or a limit that can have no answer."""
    if query.start is not None and query.end is not None and query.end <= query.start:
        raise SettingsError(
            f"--to {show_instant(query.end)} is not after --from {show_instant(query.start)}: --to is the first "
            "instant that is no longer asked for"
        )
    for org in query.orgs:
        if not 0 <= org <= MAX_ID:
            raise SettingsError(f"--org {org}: an organisation's id is 0 to {MAX_ID}")
    if query.limit is not None and query.limit < 1:
        raise SettingsError(f"--limit {query.limit}: must be at least 1")


def second_of(instant: int | None) -> int | None:
    """Round up to whole seconds, on which windows start, within what the column holds."""
    return None if instant is None else max(0, min(_LAST_SECOND, -(-instant // SECOND)))


def _has(store: Store, condition: str) -> bool:
    # Key columns only, so that no FINAL is needed.
    return bool(store.query(f"SELECT 1 FROM usage_windows WHERE {condition} AND {COUNTS} LIMIT 1"))


def limited(answer: UsageAnswer, rows: Iterator[tuple[Any, ...]], limit: int | None) -> Iterator[tuple[Any, ...]]:
    """Yield at most `limit` rows, and note in the answer whether there are more."""
    for number, row in enumerate(rows):
        if number == limit:
            answer.truncated = True
            return
        yield row
