"""Keeping statements: one row an organisation, contract and period, written again only where it says something new.

Guarantees: storing the same ratings twice changes nothing; a rating that knew less (an older price book, less of the
logs) never replaces one that knew more; an organisation has one statement with lines for a period, also after it was
moved to another contract. Not guaranteed: that two books with the same revision number can be told apart by their
version, which is why the second is refused.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from rater.book import PriceBook
from rater.render import is_provisional, line_document
from schemas.errors import SettingsError
from schemas.period import Period
from schemas.statements import Statement
from sinks.store import Store
from tally.rating import Known

BATCH: Final = 2_000
"""Statements compared and written at a time."""

_LINE: Final = ("line_no", "category", "description", "quantity", "amount", "detail")
_STORED: Final = """
SELECT org_id, contract, currency, total, {lines}, book_hash, contract_hash, snapshot_id, progress_vector,
    toUnixTimestamp64Micro(complete_to) AS complete_to, version
FROM statements FINAL
WHERE org_id IN {{orgs:Array(UInt64)}}
    AND period_start = toDateTime({{start:UInt32}}, 'UTC') AND period_end = toDateTime({{end:UInt32}}, 'UTC')
""".format(lines=", ".join(f"`lines.{name}`" for name in _LINE))

Row = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """What became of the statements handed over.

    `superseded` were not written because the store has a later rating (a newer book, or more of the logs read);
    `withdrawn` are statements under contracts that no longer hold, emptied.
    """

    written: int = 0
    unchanged: int = 0
    superseded: int = 0
    withdrawn: int = 0


@dataclass(slots=True)
class StatementStore:
    """Takes complete statements of one period and writes them in batches; a context manager that writes the last.

    `rated_at` (microseconds UTC) is kept with what is written; a statement that is there already keeps its own.
    """

    store: Store
    book: PriceBook
    period: Period
    known: Known
    rated_at: int
    outcome: Outcome = field(default_factory=Outcome)
    _waiting: list[Statement] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    def add(self, statement: Statement) -> None:
        """Take one complete statement. Raises StoreError, and SettingsError for a book changed under its revision."""
        assert statement.period == self.period, "one store of statements is for one period"
        self._waiting.append(statement)
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Compare what was taken with what is stored, and write what is new."""
        if not self._waiting:
            return
        stored = self._stored([statement.org_id for statement in self._waiting])
        rows: list[Row] = []
        for statement in self._waiting:
            rows.extend(self._to_write(statement, stored.get(statement.org_id, {})))
        self.store.write_statements(rows)
        self._waiting.clear()

    def _to_write(self, statement: Statement, stored: Mapping[str, Row]) -> list[Row]:
        rows: list[Row] = []
        row = self._row(statement)
        before = stored.get(statement.contract)
        if before is not None:
            self._same_book(before)
        if before is None or before["version"] < row["version"] or self._differs(before, row):
            rows.append(row)
            self.outcome.written += 1
        elif before["version"] > row["version"]:
            self.outcome.superseded += 1
        else:
            self.outcome.unchanged += 1
        for contract, other in stored.items():
            if contract != statement.contract and other["lines"] and other["version"] <= row["version"]:
                rows.append({**row, "contract": contract, "total": 0, "lines": (), "contract_hash": ""})
                self.outcome.withdrawn += 1
        return rows

    def _same_book(self, before: Row) -> None:
        if before["version"] >> 64 == self.book.revision and before["book_hash"] != self.book.content_hash:
            raise SettingsError(
                f"price book {self.book.origin or self.book.name}: organisation {before['org_id']} was rated for "
                f"{self.period} by another content of revision {self.book.revision}: raise `revision` in the book "
                "with every change, so that the newer statement replaces the older one"
            )

    def _differs(self, before: Row, row: Row) -> bool:
        """Say whether a row of the same version says anything else; an hour later a complete period is no news."""
        if before["version"] != row["version"]:
            return False
        at = before["complete_to"], row["complete_to"]
        complete = [not is_provisional(when, self.period) for when in at]
        news = at[0] != at[1] and not all(complete)
        return news or any(before[name] != row[name] for name in before if name not in {"complete_to", "version"})

    def _row(self, statement: Statement) -> Row:
        lines = [
            {
                "line_no": number,
                "category": line.categories,
                "description": line.name,
                "quantity": line.quantity,
                "amount": line.amount,
                "detail": json.dumps(line_document(line), ensure_ascii=False, separators=(",", ":")),
            }
            for number, line in enumerate(statement.lines, 1)
        ]
        return {
            "org_id": statement.org_id,
            "contract": statement.contract,
            "period_start": statement.period.start,
            "period_end": statement.period.end,
            "currency": statement.currency,
            "total": statement.total,
            "lines": lines,
            "book_hash": statement.book_hash,
            "contract_hash": statement.contract_hash,
            "snapshot_id": statement.snapshot_id,
            "progress_vector": self.known.vector,
            "complete_to": self.known.complete_to,
            "version": self.known.version(self.book.revision),
            "rated_at": self.rated_at,
        }

    def _stored(self, orgs: list[int]) -> dict[int, dict[str, Row]]:
        """Return the stored statements of these organisations, by organisation and contract."""
        bounds = {"start": int(self.period.start.timestamp()), "end": int(self.period.end.timestamp())}
        found: defaultdict[int, dict[str, Row]] = defaultdict(dict)
        for row in self.store.query_rows(_STORED, {"orgs": orgs, **bounds}):
            columns = [row.pop(f"lines.{name}") for name in _LINE]
            row["lines"] = [dict(zip(_LINE, values, strict=True)) for values in zip(*columns, strict=True)]
            if row["complete_to"] is not None:
                row["complete_to"] = _instant(row["complete_to"])
            found[row["org_id"]][row["contract"]] = row
        return found


def _instant(microseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)
