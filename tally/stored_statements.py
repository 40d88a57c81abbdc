"""Statements as they were kept, read back as the documents that they were written from."""

import datetime as dt
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, NamedTuple

from rater.render import instant, is_provisional
from rater.shown import money
from schemas.period import Period, days_name
from sinks.store import Store
from tally.rating_failures import Unrated, read_failures, stream_failures

_LINES: Final = ("line_no", "description", "amount", "detail")
_STORED: Final = """
SELECT {columns}
FROM (SELECT * FROM {table} FINAL)
WHERE {where}
ORDER BY org_id, period_start, contract{then}
"""
_WHOLE: Final = (
    "org_id, contract, period_start, period_end, currency, total, book_hash, contract_hash, snapshot_id, "
    "progress_vector, complete_to, version, rated_at, "
) + ", ".join(f"`lines.{name}`" for name in _LINES)
_LISTED: Final = (
    "org_id, contract, period_start, period_end, length(`lines.line_no`), total, currency, complete_to, rated_at, "
    "{number}, JSONExtractString(`lines.detail`[1], 'period')"
)
_BOUNDS: Final = "period_start >= toDateTime({start:UInt32}, 'UTC') AND period_start < toDateTime({end:UInt32}, 'UTC')"


@dataclass(frozen=True, slots=True)
class Kept:
    """One statement from the store: its document, and how complete the usage was that it was rated from.

    `failed` is what could not be rated later, so that the statement still stands.
    """

    document: dict[str, Any]
    period: Period
    complete_to: dt.datetime | None
    failed: tuple[Unrated, ...] = ()


class Listed(NamedTuple):
    """One statement from the store, without its lines.

    `interim` is its number where it is an interim one. `failed` has the reasons for which a later rating failed; one
    without a contract is a period of which there is nothing else.
    """

    org_id: int
    contract: str
    period: Period
    lines: int
    total: Decimal
    currency: str
    complete_to: dt.datetime | None
    rated_at: dt.datetime
    interim: int | None = None
    failed: str = ""

    @property
    def provisional(self) -> bool:
        """Say whether usage of the period could still change when it was rated."""
        return is_provisional(self.complete_to, self.period)


def list_statements(store: Store, month: Period, org_id: int | None = None) -> Iterator[Listed]:
    """Yield the statements whose period begins in a month, by organisation, in bounded memory, interim ones with them.

    Those that were emptied, because their contract no longer holds, are left out. A period that could not be rated is
    there as well, also where it has no statement.
    """
    where, parameters = _where(month, org_id)
    streams: list[Iterator[Listed | Unrated]] = [stream_failures(store, *_around(month), org_id)]
    for interim in (False, True):
        sql = _sql(_LISTED, where, interim=interim)
        streams.append(_listed(store.stream(sql, parameters), month, interim=interim))
    for _, found in groupby(heapq.merge(*streams, key=_org), key=_org):
        yield from _with_failures(list(found), month)


def _listed(rows: Iterator[tuple[Any, ...]], month: Period, *, interim: bool) -> Iterator[Listed]:
    for org, contract, start, end, lines, total, currency, complete_to, rated_at, number, name in rows:
        period = _period(start, end, name)
        if lines and _begins_in(period, month):
            shown = number if interim else None
            yield Listed(org, contract, period, lines, total, currency, complete_to, rated_at, shown)


def _org(one: Listed | Unrated) -> int:
    return one.org_id


def _with_failures(found: Sequence[Listed | Unrated], month: Period) -> Iterator[Listed]:
    """Yield one organisation's statements with what failed later, and the periods of which there is nothing else."""
    failed = [one for one in found if isinstance(one, Unrated)]
    listed = [one for one in found if isinstance(one, Listed)]
    for one in failed:
        period = _period(one.start, one.end)
        if _begins_in(period, month) and not any(
            other.interim is None and one.meets(other.org_id, other.period) for other in listed
        ):
            listed.append(Listed(one.org_id, "", period, 0, Decimal(0), "", None, one.since, None, one.reasons))
    for statement in sorted(listed, key=lambda other: (other.period, other.contract, other.interim is None)):
        reasons = [one.reasons for one in failed if one.meets(statement.org_id, statement.period)]
        yield statement if statement.interim else statement._replace(failed=", ".join(dict.fromkeys(reasons)))


def read_statements(store: Store, month: Period, org_id: int) -> Iterator[Kept]:
    """Yield an organisation's statements whose period begins in a month; those that were emptied are left out."""
    where, parameters = _where(month, org_id)
    for row in store.query_rows(_sql(_WHOLE, where), parameters):
        kept = _kept(row)
        if kept.document["lines"] and _begins_in(kept.period, month):
            failed = read_failures(store, kept.period.start, kept.period.end, [org_id])
            yield replace(kept, failed=tuple(failed.get(org_id, ())))


def read_interim_statements(store: Store, month: Period, org_id: int) -> Iterator[Kept]:
    """Yield an organisation's interim statements of periods that begin in a month."""
    where, parameters = _where(month, org_id)
    for row in store.query_rows(_sql(f"{_WHOLE}, threshold, number", where, interim=True), parameters):
        kept = _kept(row)
        if _begins_in(kept.period, month):
            told = {"interim": row["number"], "threshold": _money(row["threshold"], row["currency"])}
            yield replace(kept, document={**told, **kept.document})


def read_unrated(store: Store, month: Period, org_id: int) -> list[Unrated]:
    """Return what could not be rated of an organisation's periods that begin in a month."""
    found = read_failures(store, *_around(month), [org_id]).get(org_id, [])
    return [one for one in found if _begins_in(_period(one.start, one.end), month)]


def _sql(columns: str, where: str, *, interim: bool = False) -> str:
    number = "number" if interim else "0"
    table = "interim_statements" if interim else "statements"
    return _STORED.format(
        columns=columns.format(number=number), table=table, where=where, then=", number" if interim else ""
    )


def _around(month: Period) -> tuple[dt.datetime, dt.datetime]:
    """Return the time in which the periods lie, or begin, that begin in a month of any zone."""
    day = dt.timedelta(days=1)
    return month.start - day, month.end + day


def _where(month: Period, org_id: int | None) -> tuple[str, dict[str, int]]:
    """Return the condition and its parameters.

    A period that begins at a local midnight begins up to a day before or after the month's first in UTC, so a day more
    is looked at on both sides, and the period's own days decide.
    """
    start, end = _around(month)
    parameters = {"start": int(start.timestamp()), "end": int(end.timestamp())}
    if org_id is None:
        return _BOUNDS, parameters
    return f"{_BOUNDS} AND org_id = {{org:UInt64}}", {**parameters, "org": org_id}


def _begins_in(period: Period, month: Period) -> bool:
    return month.start.date() <= _first_day(period.name) < month.end.date()


def _first_day(name: str) -> dt.date:
    """Return the first day of a period that is called 2026, 2026-Q4, 2026-11 or by its days."""
    year, _, rest = name[:10].partition("-")
    if rest.startswith("Q"):
        return dt.date(int(year), int(rest[1]) * 3 - 2, 1)
    month, _, day = rest.partition("-")
    return dt.date(int(year), int(month or 1), int(day or 1))


def _kept(row: dict[str, Any]) -> Kept:
    columns = [row.pop(f"lines.{name}") for name in _LINES]
    lines = [
        {"line": number, "name": name, "amount": _money(amount, row["currency"]), **json.loads(detail)}
        for number, name, amount, detail in zip(*columns, strict=True)
    ]
    names = {line.pop("period", "") for line in lines} - {""}
    period = _period(row["period_start"], row["period_end"], *names)
    plans = {line.pop("plan", "") for line in lines} - {""}
    document = {
        "org_id": row["org_id"],
        "contract": row["contract"],
        "plan": plans.pop() if len(plans) == 1 else "",
        "period": period.name,
        "period_start": instant(period.start),
        "period_end": instant(period.end),
        "currency": row["currency"],
        "total": _money(row["total"], row["currency"]),
        "lines": lines,
        "book_revision": row["version"] >> 64,
        "book_hash": row["book_hash"],
        "contract_hash": row["contract_hash"],
        "snapshot_id": row["snapshot_id"],
        "progress": json.loads(row["progress_vector"]),
        "rated_at": row["rated_at"],
    }
    return Kept(document, period, row["complete_to"])


def _money(amount: Decimal, currency: str) -> str:
    return money(amount, currency).replace(",", "")


def _period(start: dt.datetime, end: dt.datetime, name: str = "") -> Period:
    """Return the period of two instants; one without a name is called by the days that they are local midnights of."""
    return Period(start, end, name or days_name(*_days(start, end)))


def _days(start: dt.datetime, end: dt.datetime) -> tuple[dt.date, dt.date]:
    """Return the days that begin at two instants, in a zone that is not known.

    Ten or eleven in the morning is midnight of that day west of the date line, and of the next one east of it. It is
    east where that makes it the first of a month, and where the other instant can be nowhere else.
    """
    first, after = ((when + dt.timedelta(hours=14)).date() for when in (start, end))
    if first.day == 1 or 12 in {start.hour, end.hour} or start.minute:
        return first, after
    half = dt.timedelta(hours=12)
    return (start + half).date(), (end + half).date()
