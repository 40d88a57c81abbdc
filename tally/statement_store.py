"""Keeping statements: one row an organisation, contract and period, written again only where it says something new.

Guarantees: storing the same ratings twice changes nothing; a rating that knew less (an older price book, less of the
logs) never replaces one that knew more; an organisation has one statement with lines for a period, also after it was
moved to another contract. Not guaranteed: that two books with the same revision number can be told apart by their
version, which is why the second is refused.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from rater.book import PriceBook
from schemas.errors import SettingsError
from schemas.period import Period, days_name
from schemas.statements import Statement
from sinks.store import Store
from tally.accounts import read_accounts, to_json, write_accounts
from tally.rated import Stamp
from tally.rating import Known
from tally.statement_rows import Row, statement_row

BATCH: Final = 2_000
"""Statements compared and written at a time."""

_LINE: Final = ("line_no", "category", "description", "quantity", "amount", "detail")
_STORED: Final = """
SELECT org_id, contract, period_start, period_end, currency, total, {lines}, book_hash, contract_hash, snapshot_id,
    progress_vector, toUnixTimestamp64Micro(complete_to) AS complete_to, version
FROM statements FINAL
WHERE org_id IN {{orgs:Array(UInt64)}}
    AND period_start < toDateTime({{end:UInt32}}, 'UTC') AND period_end > toDateTime({{start:UInt32}}, 'UTC')
""".format(lines=", ".join(f"`lines.{name}`" for name in _LINE))

_BOUNDS: Final = ("period_start", "period_end")
_LATER: Final = """
SELECT uniqExact(org_id)
FROM (SELECT * FROM statements FINAL)
WHERE org_id IN {orgs:Array(UInt64)} AND period_start >= toDateTime({start:UInt32}, 'UTC')
    AND notEmpty(`lines.line_no`)
"""
_KNOWN: Final = """
SELECT org_id, any(snapshot_id), any(contract), any(contract_hash), any(ifNull(complete_to >= period_end, false))
FROM (SELECT * FROM statements FINAL)
WHERE period_start = toDateTime({start:UInt32}, 'UTC') AND period_end = toDateTime({end:UInt32}, 'UTC')
    AND book_hash = {book:String} AND notEmpty(`lines.line_no`)
GROUP BY org_id
HAVING count() = 1
"""


@dataclass(slots=True)
class Outcome:
    """What became of the statements handed over.

    `superseded` were not written because the store has a later rating (a newer book, or more of the logs read);
    `withdrawn` are statements of the same time under contracts or periods that no longer hold, emptied. `later` counts
    organisations of which a later period was rated already, from an account that has changed now.
    """

    written: int = 0
    unchanged: int = 0
    superseded: int = 0
    withdrawn: int = 0
    later: int = 0


@dataclass(slots=True)
class StatementStore:
    """Takes the rows of complete statements and writes them in batches; a context manager that writes the last.

    `rated_at` (microseconds UTC) is kept with what is written; a statement that is there already keeps its own. The
    account that a statement leaves is written before it.
    """

    store: Store
    book: PriceBook
    known: Known
    rated_at: int
    outcome: Outcome = field(default_factory=Outcome)
    _waiting: list[Row] = field(default_factory=list)
    _accounts: list[Row] = field(default_factory=list)
    _starts: list[tuple[int, str, dt.datetime, dt.datetime]] = field(default_factory=list)
    """The statement that each of the accounts belongs to."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    @property
    def stamp(self) -> Stamp:
        """Return what is kept beside every statement of where it came from."""
        return Stamp(self.known.vector, self.known.complete_to, self.known.version(self.book.revision), self.rated_at)

    def add(self, statement: Statement) -> None:
        """Take one complete statement. Raises StoreError, and SettingsError for a book changed under its revision."""
        stamp = self.stamp
        self.add_row(statement_row(statement, stamp.vector, stamp.complete_to, stamp.version, stamp.rated_at))

    def add_row(self, row: Row, account: str | None = None) -> None:
        """Take the row of one complete statement, with the account (JSON) that it leaves, where there is one."""
        self._waiting.append(row)
        if account is not None:
            key = {name: row[name] for name in ("org_id", "contract", "period_end", "version")}
            self._accounts.append({**key, "account": account})
            self._starts.append(_key(row))
        if len(self._waiting) >= BATCH:
            self.flush()

    def known_before(self, period: Period) -> dict[int, tuple[str, str, str]]:
        """Return what the statements of a period were rated from: snapshot, contract and its hash, by organisation.

        Only of those that this book's rating would write again as they are: of the same book, and complete where
        the period now is.
        """
        bounds = {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}
        rows = self.store.query(_KNOWN, {**bounds, "book": self.book.content_hash})
        now = self.known.complete_to is not None and self.known.complete_to >= period.end
        return {
            int(org): (snapshot, contract, contract_hash)
            for org, snapshot, contract, contract_hash, complete in rows
            if bool(complete) == now
        }

    def flush(self) -> None:
        """Compare what was taken with what is stored, and write what is new."""
        if not self._waiting:
            return
        rows: list[Row] = []
        refused: set[tuple[int, str, dt.datetime, dt.datetime]] = set()
        for bounds, waiting in _by_period(self._waiting).items():
            stored = self._stored([row["org_id"] for row in waiting], *bounds)
            for row in waiting:
                found = self._to_write(row, stored.get(row["org_id"], []))
                if found is None:
                    refused.add(_key(row))
                rows.extend(found or ())
        # Only now that nothing is refused: an account is an argument of the next period's bill.
        pairs = zip(self._accounts, self._starts, strict=True)
        self._keep_accounts([account for account, key in pairs if key not in refused])
        self.store.write_statements(rows)
        self._waiting.clear()
        self._accounts.clear()
        self._starts.clear()

    def _keep_accounts(self, rows: list[Row]) -> None:
        """Write accounts, and count the organisations whose next period was rated already from another one."""
        for end in sorted({row["period_end"] for row in rows}):
            before = {key: to_json(account) for key, account in read_accounts(self.store, end).items()}
            changed = [
                row["org_id"]
                for row in rows
                if row["period_end"] == end and before.get((row["org_id"], row["contract"])) != row["account"]
            ]
            if changed:
                parameters = {"orgs": sorted(set(changed)), "start": int(end.timestamp())}
                self.outcome.later += int(self.store.query(_LATER, parameters)[0][0])
        write_accounts(self.store, rows)

    def _to_write(self, row: Row, stored: Sequence[Row]) -> list[Row] | None:
        """Return what is to be written of a row and the statements in its time; None where the store knows more."""
        rows: list[Row] = []
        before = next((other for other in stored if _key(other) == _key(row)), None)
        if before is not None:
            self._same_book(before)
        if before is None or before["version"] < row["version"] or _differs(before, row):
            rows.append(row)
            self.outcome.written += 1
        elif before["version"] > row["version"]:
            self.outcome.superseded += 1
            return None
        else:
            self.outcome.unchanged += 1
        for other in stored:
            if other is not before and other["lines"] and other["version"] <= row["version"]:
                bounds = {name: other[name] for name in _BOUNDS}
                emptied = {"contract": other["contract"], "total": 0, "lines": (), "contract_hash": ""}
                rows.append({**row, **bounds, **emptied})
                self.outcome.withdrawn += 1
        return rows

    def _same_book(self, before: Row) -> None:
        if before["version"] >> 64 == self.book.revision and before["book_hash"] != self.book.content_hash:
            raise SettingsError(
                f"price book {self.book.origin or self.book.name}: organisation {before['org_id']} was rated for "
                f"{_period(before)} by another content of revision {self.book.revision}: raise `revision` in the book "
                "with every change, so that the newer statement replaces the older one"
            )

    def _stored(self, orgs: list[int], start: dt.datetime, end: dt.datetime) -> dict[int, list[Row]]:
        """Return the stored statements of these organisations that have an instant of a period in common with it."""
        bounds = {"start": int(start.timestamp()), "end": int(end.timestamp())}
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self.store.query_rows(_STORED, {"orgs": orgs, **bounds}):
            columns = [row.pop(f"lines.{name}") for name in _LINE]
            row["lines"] = [dict(zip(_LINE, values, strict=True)) for values in zip(*columns, strict=True)]
            if row["complete_to"] is not None:
                row["complete_to"] = _instant(row["complete_to"])
            found[row["org_id"]].append(row)
        return found


def _key(row: Row) -> tuple[int, str, dt.datetime, dt.datetime]:
    return row["org_id"], row["contract"], row["period_start"], row["period_end"]


def _by_period(rows: Sequence[Row]) -> dict[tuple[dt.datetime, dt.datetime], list[Row]]:
    found: defaultdict[tuple[dt.datetime, dt.datetime], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["period_start"], row["period_end"]].append(row)
    return found


def _period(row: Row) -> Period:
    """Return the period of a row, named by the days that its bounds are nearest to in UTC."""
    half = dt.timedelta(hours=12)
    first, after = ((row[name] + half).date() if row[name].hour else row[name].date() for name in _BOUNDS)
    return Period(row["period_start"], row["period_end"], days_name(first, after))


def _differs(before: Row, row: Row) -> bool:
    """Say whether a row of the same version says anything else; an hour later a complete period is no news."""
    if before["version"] != row["version"]:
        return False
    at = before["complete_to"], row["complete_to"]
    complete = [when is not None and when >= row["period_end"] for when in at]
    news = at[0] != at[1] and not all(complete)
    return news or any(before[name] != row[name] for name in before if name not in {"complete_to", "version"})


def _instant(microseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
