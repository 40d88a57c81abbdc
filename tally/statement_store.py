"""Keeping statements: one row an organisation, contract and period, written again only where it says something new.

Guarantees: storing the same ratings twice changes nothing; a rating that knew less (an older price book, less of the
logs) never replaces one that knew more; an organisation has one statement with lines for a period, also after it was
moved to another contract; a rating that failed is there by name beside the statement of the one before. Not
guaranteed: that two books with the same revision number can be told apart by their version, which is why the second is
refused.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, TypeVar

from rater.book import Contracts, PriceBook
from schemas.errors import SettingsError
from schemas.period import Period, days_name
from schemas.statements import Statement
from sinks.store import Store
from tally.absent import Billed, Wanted, accounts_left, failures_left, statements_left
from tally.accounts import read_accounts, to_json, write_accounts
from tally.interims import Due, Interim, write_due
from tally.known_before import KnownBefore, known_before
from tally.packed_rows import Row, write_rows
from tally.rated import Rated, Stamp
from tally.rating import Known
from tally.rating_failures import Unrated, emptied, failed_row, read_failures, says_new, write_failures
from tally.statement_rows import statement_row
from tally.usage_sql import snapshot_id

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


@dataclass(slots=True)
class Outcome:
    """What became of the statements handed over.

    `superseded` were not written because the store has a later rating (a newer book, or more of the logs read);
    `withdrawn` are statements of the same time under contracts or periods that no longer hold, emptied. `later` counts
    organisations of which a later period was rated already, from an account that has changed now. `interims` were
    written; `overtaken` is not kept, since another rating wrote interim statements meanwhile.
    """

    written: int = 0
    unchanged: int = 0
    superseded: int = 0
    withdrawn: int = 0
    later: int = 0
    interims: int = 0
    overtaken: int = 0


Verdict = Literal["written", "unchanged", "superseded"]


class _Taken(NamedTuple):
    """A complete statement to keep. `made_with` is None where nobody looked at interim statements."""

    row: Row
    account: str | None = None
    interim: Row | None = None
    made_with: tuple[Interim, ...] | None = None


class _Decided(NamedTuple):
    """What is to be written of a statement: rows of `statements`, and of `rating_failures`."""

    taken: _Taken
    verdict: Verdict
    rows: Sequence[Row]
    healed: Sequence[Row]


@dataclass(slots=True)
class StatementStore:
    """Takes ratings and writes them in batches; a context manager that writes the last.

    `rated_at` (microseconds UTC) is kept with what is written; a statement that is there already keeps its own. The
    account that a statement leaves is written after it.
    """

    store: Store
    book: PriceBook
    known: Known
    rated_at: int
    outcome: Outcome = field(default_factory=Outcome)
    _waiting: list[_Taken] = field(default_factory=list)
    _failed: list[Row] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    @property
    def stamp(self) -> Stamp:
        """Return what is kept beside every statement of where it came from."""
        return Stamp(self.known.vector, self.known.complete_to, self.known.version(self.book.revision), self.rated_at)

    def keep(self, rated: Rated) -> None:
        """Take one rating as it comes: its statement where it is complete, what failed of it where it is not."""
        if rated.row is not None:
            self._waiting.append(_Taken(rated.row, rated.account, rated.interim, rated.made_with))
        elif rated.failures:
            version = self.stamp.version
            self._failed.append(failed_row(rated.org_id, rated.period, rated.failures, version, self.rated_at))
        if len(self._waiting) + len(self._failed) >= BATCH:
            self.flush()

    def add(self, statement: Statement) -> None:
        """Take one complete statement. Raises StoreError, and SettingsError for a book changed under its revision."""
        stamp = self.stamp
        self.add_row(statement_row(statement, stamp.vector, stamp.complete_to, stamp.version, stamp.rated_at))

    def add_row(self, row: Row, account: str | None = None) -> None:
        """Take the row of one complete statement, with the account (JSON) that it leaves, where there is one."""
        self._waiting.append(_Taken(row, account))
        if len(self._waiting) + len(self._failed) >= BATCH:
            self.flush()

    def known_before(self, period: Period) -> KnownBefore:
        """Return what statements of a period were rated from: those that this book would write again as they are."""
        complete = self.known.complete_to is not None and self.known.complete_to >= period.end
        return known_before(self.store, period, self.book.content_hash, complete=complete)

    def flush(self) -> None:
        """Compare what was taken with what is stored, and write what is new."""
        decided: list[_Decided] = []
        failures: list[Row] = []
        waiting, failing = _by_period(self._waiting, _row_of), _by_period(self._failed, _same)
        for bounds in dict.fromkeys([*waiting, *failing]):
            taken, failed = waiting.get(bounds, []), failing.get(bounds, [])
            orgs = [row["org_id"] for row in (*map(_row_of, taken), *failed)]
            stored, unrated = self._stored(orgs, *bounds), read_failures(self.store, *bounds, orgs)
            for one in taken:
                org = one.row["org_id"]
                decided.append(self._decide(one, stored.get(org, ()), unrated.get(org, ())))
            for row in failed:
                if not any(other["version"] > row["version"] for other in stored.get(row["org_id"], ())):
                    failures += says_new(row, unrated.get(row["org_id"], ()))
        # Only now that nothing is refused. What was billed before goes first: the statement says that it was.
        kept = [one for one in self._write_interims(decided) if self._count(one)]
        write_rows(self.store, [row for one in kept for row in one.rows])
        write_failures(self.store, [*failures, *(row for one in kept for row in one.healed)])
        # Last: after a crash before it the next rating finds the account of before, and says whose later periods were
        # rated from that.
        self._keep_accounts(
            [_account(one.taken.row, one.taken.account) for one in kept if one.taken.account is not None]
        )
        self._waiting.clear()
        self._failed.clear()

    def settle_absent(self, contracts: Contracts, month: Period, wanted: Wanted) -> None:
        """Empty what is left of those whose usage was taken back whole, and whom no rating comes to any more.

        `wanted` says of a period whether it is rated now: the others are left as they are.
        """
        version = self.stamp.version
        failed = [one for one in failures_left(self.store, contracts, month, wanted) if one.version <= version]
        write_failures(self.store, [emptied(one, version, self.rated_at) for one in failed])
        billed = [one for one in statements_left(self.store, contracts, month, wanted) if one.version <= version]
        for _, same in groupby(billed, key=lambda one: (one.start, one.end)):
            ones = list(same)
            # Accounts first: whoever is emptied already is not found again after a crash.
            left = list(accounts_left(self.store, self.book, contracts, ones))
            for place in range(0, len(left), BATCH):
                some = left[place : place + BATCH]
                self._keep_accounts([_account(self._nothing(one), account) for one, account in some])
            for place in range(0, len(ones), BATCH):
                write_rows(self.store, [self._nothing(one) for one in ones[place : place + BATCH]])
        self.outcome.withdrawn += len(billed)

    def _nothing(self, billed: Billed) -> Row:
        stamp = self.stamp
        return {
            "org_id": billed.org_id,
            "contract": billed.contract,
            "period_start": billed.start,
            "period_end": billed.end,
            "currency": billed.currency,
            "total": 0,
            "lines": (),
            "book_hash": self.book.content_hash,
            "contract_hash": "",
            "snapshot_id": snapshot_id(0, 0),
            "progress_vector": stamp.vector,
            "complete_to": stamp.complete_to,
            "version": stamp.version,
            "rated_at": stamp.rated_at,
        }

    def _write_interims(self, decided: Sequence[_Decided]) -> list[_Decided]:
        """Write interim statements, and return the ratings that were made with those that there are now."""
        kept: list[_Decided] = []
        for bounds, ones in _by_period(decided, lambda one: one.taken.row).items():
            due = [
                Due(one.taken.row["org_id"], one.taken.interim, one.taken.made_with)
                for one in ones
                if one.verdict != "superseded" and one.taken.made_with is not None
            ]
            overtaken = write_due(self.store, *bounds, due)
            self.outcome.overtaken += len(overtaken)
            kept += [one for one in ones if one.taken.row["org_id"] not in overtaken]
        return kept

    def _count(self, one: _Decided) -> bool:
        """Count what becomes of a rating; say whether it is what the store is to say."""
        self.outcome.written += one.verdict == "written"
        self.outcome.unchanged += one.verdict == "unchanged"
        self.outcome.superseded += one.verdict == "superseded"
        self.outcome.withdrawn += len(one.rows) - (one.verdict == "written")
        self.outcome.interims += one.taken.interim is not None and one.verdict != "superseded"
        return one.verdict != "superseded"

    def _keep_accounts(self, rows: list[Row]) -> None:
        """Write accounts, and count the organisations whose next period was rated already from another one."""
        for end in sorted({row["period_end"] for row in rows}):
            orgs = [row["org_id"] for row in rows if row["period_end"] == end]
            before = {key: to_json(account) for key, account in read_accounts(self.store, end, orgs).items()}
            changed = [
                row["org_id"]
                for row in rows
                if row["period_end"] == end and before.get((row["org_id"], row["contract"])) != row["account"]
            ]
            if changed:
                parameters = {"orgs": sorted(set(changed)), "start": int(end.timestamp())}
                self.outcome.later += int(self.store.query(_LATER, parameters)[0][0])
        write_accounts(self.store, rows)

    def _decide(self, taken: _Taken, stored: Sequence[Row], unrated: Sequence[Unrated]) -> _Decided:
        """Return what is to be written of a rating: its row, the statements in its time emptied, what failed healed."""
        row, rows = taken.row, list[Row]()
        before = next((other for other in stored if _key(other) == _key(row)), None)
        if before is not None:
            self._same_book(before)
        if before is None or before["version"] < row["version"] or _differs(before, row):
            rows.append(row)
        elif before["version"] > row["version"]:
            return _Decided(taken, "superseded", (), ())
        if any(other["lines"] and other["version"] > row["version"] for other in stored):
            # Under another contract or of another period, by one that knew more: both would be billed.
            return _Decided(taken, "superseded", (), ())
        verdict: Verdict = "written" if rows else "unchanged"
        for other in stored:
            if other is not before and other["lines"] and other["version"] <= row["version"]:
                bounds = {name: other[name] for name in _BOUNDS}
                nothing = {"contract": other["contract"], "total": 0, "lines": (), "contract_hash": ""}
                rows.append({**row, **bounds, **nothing})
        healed = [emptied(one, row["version"], self.rated_at) for one in unrated if one.version <= row["version"]]
        return _Decided(taken, verdict, rows, healed)

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


def _row_of(taken: _Taken) -> Row:
    return taken.row


def _same(row: Row) -> Row:
    return row


def _account(row: Row, account: str) -> Row:
    return {**{name: row[name] for name in ("org_id", "contract", "period_end", "version")}, "account": account}


T = TypeVar("T")


def _by_period(ones: Iterable[T], row_of: Callable[[T], Row]) -> dict[tuple[dt.datetime, dt.datetime], list[T]]:
    found: defaultdict[tuple[dt.datetime, dt.datetime], list[T]] = defaultdict(list)
    for one in ones:
        row = row_of(one)
        found[row["period_start"], row["period_end"]].append(one)
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
