"""Kept events of several flushes as Arrow tables: checked column by column, cut into inserts of few months."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.log import Int64s
from schemas.usage import Flush, KeptRows
from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP
from sinks.columns import MONEY, TEXT, array, misfit
from sinks.usage_rows import by_months, indexed, repeated, within

TABLE: Final = "kept_events"

_RANGES: Final = {
    "org": (0, MAX_ID),
    "project": (0, MAX_ID),
    "timestamp": (MIN_TIMESTAMP, END_OF_TIME - 1),
    "offset": (0, 2**63 - 1),
    "index": (0, 2**32 - 1),
    "quantity": (0, MAX_QUANTITY),
}
_STORED: Final = {"org": "org_id", "project": "project_id"}


def check(flush: Flush) -> None:
    """Raise StoreError, naming column and value, unless every kept event of the flush fits its columns exactly."""
    rows, log = flush.kept, flush.progress.log
    if rows is None:
        return
    where = f"{TABLE} ({log})"
    for name in (*_RANGES, "category", "dimensions", "values", "amounts"):
        column = getattr(rows, name)
        if len(column) != len(rows):
            raise StoreError(f"{where}.{name}: {len(column)} values for {len(rows)} rows; nothing was written")
    for name, (low, high) in _RANGES.items():
        within(where, _STORED.get(name, name), getattr(rows, name), low, high)
    within(where, "category", rows.category, 0, len(rows.category_names) - 1)
    if not 0 <= flush.progress.generation < 2**32:
        raise misfit(where, "generation", flush.progress.generation, "outside 32 bits")


def tables(flushes: Sequence[Flush]) -> Iterator[pa.Table]:
    """Yield the kept events of all flushes as one Arrow table, or as several where one would touch too many months.

    Call `check` on each flush first. Raises StoreError for a text or an amount that its column cannot hold.
    """
    full = [(flush, flush.kept) for flush in flushes if flush.kept is not None and len(flush.kept)]
    if not full:
        return
    rows = [kept for _, kept in full]
    yield from by_months(_table(full), np.concatenate([part.timestamp for part in rows]))


def _table(flushes: Sequence[tuple[Flush, KeptRows]]) -> pa.Table:
    rows = [kept for _, kept in flushes]
    lengths = [len(part) for part in rows]

    def joined(name: str) -> Int64s:
        return np.concatenate([getattr(part, name) for part in rows])

    def texts(name: str) -> list[str]:
        return [one for part in rows for one in getattr(part, name)]

    def unsigned(name: str) -> pa.Array:
        return pa.array(joined(name).astype(np.uint64))

    amounts = [Decimal(text) if text else None for text in texts("amounts")]
    generations = np.repeat(np.array([flush.progress.generation for flush, _ in flushes], np.uint32), lengths)
    return pa.table(
        {
            "org_id": unsigned("org"),
            "category": indexed([(part.category, part.category_names) for part in rows]),
            "timestamp": pa.array(joined("timestamp")).cast(pa.timestamp("us", "UTC")),
            "topic": repeated([flush.progress.log.topic for flush, _ in flushes], lengths),
            "partition": repeated([flush.progress.log.partition for flush, _ in flushes], lengths),
            "generation": pa.array(generations),
            "offset": unsigned("offset"),
            "index": pa.array(joined("index").astype(np.uint32)),
            "project_id": unsigned("project"),
            "dimensions": array(TABLE, "dimensions", TEXT, texts("dimensions")),
            "quantity": pa.array(joined("quantity")),
            "value": array(TABLE, "value", TEXT, texts("values")),
            "amount": array(TABLE, "amount", MONEY, amounts),
        }
    )
