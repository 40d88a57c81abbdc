"""Statements as they were kept, read back as the documents that they were written from."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rater.render import instant, is_provisional
from rater.shown import money
from schemas.period import Period, days_name
from sinks.store import Store

_LINES: Final = ("line_no", "description", "amount", "detail")
_STORED: Final = """
SELECT {columns}
FROM (SELECT * FROM statements FINAL)
WHERE {where}
ORDER BY org_id, period_start, contract
"""
_WHOLE: Final = (
    "org_id, contract, period_start, period_end, currency, total, book_hash, contract_hash, snapshot_id, "
    "progress_vector, complete_to, version, rated_at, "
) + ", ".join(f"`lines.{name}`" for name in _LINES)
_LISTED: Final = (
    "org_id, contract, period_start, period_end, length(`lines.line_no`), total, currency, complete_to, rated_at"
)
_BOUNDS: Final = "period_start >= toDateTime({start:UInt32}, 'UTC') AND period_start < toDateTime({end:UInt32}, 'UTC')"


@dataclass(frozen=True, slots=True)
class Kept:
    """One statement from the store: its document, and how complete the usage was that it was rated from."""

    document: dict[str, Any]
    period: Period
    complete_to: dt.datetime | None


class Listed(NamedTuple):
    """One statement from the store, without its lines."""

    org_id: int
    contract: str
    period: Period
    lines: int
    total: Decimal
    currency: str
    complete_to: dt.datetime | None
    rated_at: dt.datetime

    @property
    def provisional(self) -> bool:
        """Say whether usage of the period could still change when it was rated."""
        return is_provisional(self.complete_to, self.period)


def list_statements(store: Store, month: Period, org_id: int | None = None) -> Iterator[Listed]:
    """Yield the statements whose period begins in a month, by organisation, in bounded memory.

    Those that were emptied, because their contract no longer holds, are left out.
    """
    where, parameters = _where(month, org_id)
    rows = store.stream(_STORED.format(columns=_LISTED, where=where), parameters)
    for org, contract, start, end, lines, total, currency, complete_to, rated_at in rows:
        period = _period(start, end)
        if lines and _begins_in(period, month):
            yield Listed(org, contract, period, lines, total, currency, complete_to, rated_at)


def read_statements(store: Store, month: Period, org_id: int) -> Iterator[Kept]:
    """Yield an organisation's statements whose period begins in a month; those that were emptied are left out."""
    where, parameters = _where(month, org_id)
    for row in store.query_rows(_STORED.format(columns=_WHOLE, where=where), parameters):
        kept = _kept(row)
        if kept.document["lines"] and _begins_in(kept.period, month):
            yield kept


def _where(month: Period, org_id: int | None) -> tuple[str, dict[str, int]]:
    """Return the condition and its parameters.

    A period that begins at a local midnight begins up to a day before or after the month's first in UTC, so a day more
    is looked at on both sides, and the period's own days decide.
    """
    day = 86_400
    parameters = {"start": int(month.start.timestamp()) - day, "end": int(month.end.timestamp()) + day}
    if org_id is None:
        return _BOUNDS, parameters
    return f"{_BOUNDS} AND org_id = {{org:UInt64}}", {**parameters, "org": org_id}


def _begins_in(period: Period, month: Period) -> bool:
    first = _days(period.start, period.end)[0]
    return month.start.date() <= first < month.end.date()


def _kept(row: dict[str, Any]) -> Kept:
    period = _period(row["period_start"], row["period_end"])
    columns = [row.pop(f"lines.{name}") for name in _LINES]
    lines = [
        {"line": number, "name": name, "amount": _money(amount, row["currency"]), **json.loads(detail)}
        for number, name, amount, detail in zip(*columns, strict=True)
    ]
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


def _period(start: dt.datetime, end: dt.datetime) -> Period:
    """Return the period of two instants, by the days that they are the local midnights of."""
    return Period(start, end, days_name(*_days(start, end)))


def _days(start: dt.datetime, end: dt.datetime) -> tuple[dt.date, dt.date]:
    """Return the days that begin at two instants, in a zone that is not kept with the statement.

    Ten or eleven in the morning is midnight of that day west of the date line, and of the next one east of it. It is
    east where that makes it the first of a month, and where the other instant can be nowhere else.
    """
    first, after = ((when + dt.timedelta(hours=14)).date() for when in (start, end))
    if first.day == 1 or 12 in {start.hour, end.hour} or start.minute:
        return first, after
    half = dt.timedelta(hours=12)
    return (start + half).date(), (end + half).date()
