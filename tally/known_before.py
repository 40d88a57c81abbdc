"""What is kept of a period already, and what it was rated from: read beside the usage, in its order."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from schemas.period import Period
from sinks.store import Store

# Without a GROUP BY: in the table's own order rows come as they are merged, and nothing grows with the organisations.
# Statements of the same time by other books and of other periods come too: where one stands beside the period's own, a
# rating has to empty it.
_KNOWN: Final = """
SELECT org_id, snapshot_id, contract, contract_hash, ifNull(complete_to >= period_end, false),
    period_start = toDateTime({start:UInt32}, 'UTC') AND period_end = toDateTime({end:UInt32}, 'UTC')
        AND book_hash = {book:String}
FROM (SELECT * FROM statements FINAL)
WHERE period_start < toDateTime({end:UInt32}, 'UTC') AND period_end > toDateTime({start:UInt32}, 'UTC')
    AND notEmpty(`lines.line_no`)
    AND org_id NOT IN (
        SELECT org_id FROM interim_statements
        WHERE period_start >= toDateTime({start:UInt32}, 'UTC') AND period_start < toDateTime({end:UInt32}, 'UTC')
    )
    AND org_id NOT IN (
        SELECT org_id FROM unrated
        WHERE period_start < toDateTime({end:UInt32}, 'UTC') AND period_end > toDateTime({start:UInt32}, 'UTC')
    )
ORDER BY org_id
"""


def known_before(store: Store, period: Period, book_hash: str, *, complete: bool) -> "KnownBefore":
    """Return what the statements of a period were rated from, to be asked by ascending organisation.

    Only of those that a rating by this book would write again as they are: of the same book, complete where the period
    now is, the only one of their time, and neither billed before the period's end nor failed since.
    """
    bounds = {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}
    return KnownBefore(store.stream(_KNOWN, {**bounds, "book": book_hash}), complete=complete)


class KnownBefore:
    """Snapshot, contract and its hash of statements that are kept: memory holds one, since all are in one order."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], *, complete: bool) -> None:
        self._rows = rows
        self._complete = complete
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, org_id: int) -> tuple[str, str, str] | None:
        """Return what is known of an organisation, which no earlier question was past; None where it is not one."""
        while self._next is not None and self._next[0] < org_id:
            self._next = next(self._groups, None)
        if self._next is None or self._next[0] != org_id:
            return None
        found = list(self._next[1])
        self._next = next(self._groups, None)
        if len(found) != 1 or not found[0][5] or bool(found[0][4]) != self._complete:
            return None
        _, snapshot, contract, contract_hash, *_ = found[0]
        return snapshot, contract, contract_hash

    def close(self) -> None:
        """Let go of the reading, however far it got."""
        close = getattr(self._rows, "close", None)
        if close is not None:
            close()
