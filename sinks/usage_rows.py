"""Usage rows of several flushes as Arrow tables: checked column by column, cut into inserts of few months."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.errors import StoreError
from schemas.log import Int64s
from schemas.usage import Flush
from schemas.verdicts import END_OF_TIME, MAX_ID, MIN_TIMESTAMP
from sinks.columns import misfit

TABLE: Final = "usage_windows"
MAX_MONTHS: Final = 90
"""Months of window_start per insert: the table is partitioned by month, and an insert into more than 100 is refused."""

_MAX: Final = 2**63 - 1
_SECOND: Final = 1_000_000
_RANGES: Final = {
    "org": (0, MAX_ID),
    "project": (0, MAX_ID),
    "window_start": (MIN_TIMESTAMP, END_OF_TIME - 1),
    "segment": (0, _MAX),
    "quantity": (0, _MAX),
    "events": (0, _MAX),
    "max_quantity": (0, _MAX),
    "first_offset": (0, _MAX),
    "last_offset": (0, _MAX),
    "first_timestamp": (MIN_TIMESTAMP, END_OF_TIME - 1),
    "last_timestamp": (MIN_TIMESTAMP, END_OF_TIME - 1),
}
_STORED: Final = {"org": "org_id", "project": "project_id"}


def check(flush: Flush) -> None:
    """Raise StoreError, naming column and value, unless every row of the flush fits its columns exactly."""
    rows, log = flush.rows, flush.progress.log
    where = f"{TABLE} ({log})"
    for name, (low, high) in _RANGES.items():
        column: Int64s = getattr(rows, name)
        if len(column) != len(rows):
            raise StoreError(f"{where}.{name}: {len(column)} values for {len(rows)} rows; nothing was written")
        within(where, _STORED.get(name, name), column, low, high)
    within(where, "category", rows.category, 0, len(rows.category_names) - 1)
    within(where, "dimensions", rows.dimensions, 0, len(rows.dimension_values) - 1)
    uneven = rows.window_start % _SECOND != 0
    if uneven.any():
        value = rows.window_start[uneven][0]
        raise misfit(where, "window_start", int(value), "not on a whole second: choose windows of whole seconds")
    if not 0 <= flush.progress.generation < 2**32:
        raise misfit(where, "generation", flush.progress.generation, "outside 32 bits")


def within(where: str, name: str, column: NDArray[np.signedinteger], low: int, high: int) -> None:
    """Raise StoreError for the first value of a column that does not lie between two bounds, these included."""
    if len(column) and (int(column.min()) < low or int(column.max()) > high):
        value = column[(column < low) | (column > high)][0]
        raise misfit(where, name, int(value), f"outside {low} to {high}")


def tables(flushes: Sequence[Flush]) -> Iterator[pa.Table]:
    """Yield the rows of all flushes as one Arrow table, or as several where one would touch too many months.

    Call `check` on each flush first: this converts without looking.
    """
    full = [flush for flush in flushes if len(flush.rows)]
    if not full:
        return
    yield from by_months(_table(full), np.concatenate([flush.rows.window_start for flush in full]))


def by_months(whole: pa.Table, instants: Int64s) -> Iterator[pa.Table]:
    """Yield a table whole, or in pieces of no more than MAX_MONTHS months; `instants` are its rows' microseconds."""
    months = instants.astype("datetime64[us]").astype("datetime64[M]")
    distinct, month = np.unique(months, return_inverse=True)
    if len(distinct) <= MAX_MONTHS:
        yield whole
        return
    group = month // MAX_MONTHS
    for number in range(int(group.max()) + 1):
        yield whole.take(pa.array(np.flatnonzero(group == number)))


def _table(flushes: Sequence[Flush]) -> pa.Table:
    rows = [flush.rows for flush in flushes]
    logs = [flush.progress.log for flush in flushes]
    lengths = [len(part) for part in rows]

    def joined(name: str) -> Int64s:
        return np.concatenate([getattr(part, name) for part in rows]) if len(rows) > 1 else getattr(rows[0], name)

    def unsigned(name: str) -> pa.Array:
        return pa.array(joined(name).astype(np.uint64))

    def instants(name: str) -> pa.Array:
        return pa.array(joined(name)).cast(pa.timestamp("us", "UTC"))

    generations = np.repeat(np.array([flush.progress.generation for flush in flushes], np.uint32), lengths)
    return pa.table(
        {
            "org_id": unsigned("org"),
            "category": indexed([(part.category, part.category_names) for part in rows]),
            "window_start": pa.array((joined("window_start") // _SECOND).astype(np.uint32)),
            "project_id": unsigned("project"),
            "dimensions": indexed([(part.dimensions, part.dimension_values) for part in rows]),
            "topic": repeated([log.topic for log in logs], lengths),
            "partition": repeated([log.partition for log in logs], lengths),
            "generation": pa.array(generations),
            "segment": unsigned("segment"),
            "quantity": pa.array(joined("quantity")),
            "events": pa.array(joined("events")),
            "max_quantity": pa.array(joined("max_quantity")),
            "first_offset": unsigned("first_offset"),
            "last_offset": unsigned("last_offset"),
            "first_timestamp": instants("first_timestamp"),
            "last_timestamp": instants("last_timestamp"),
        }
    )


def indexed(parts: Sequence[tuple[NDArray[np.signedinteger], tuple[str, ...]]]) -> pa.Array:
    """Join columns of indexes into names; an Arrow file holds one dictionary a column, so the names are joined too."""
    rows: dict[str, int] = {}
    indexes = []
    for column, names in parts:
        place = np.array([rows.setdefault(name, len(rows)) for name in names], np.int32)
        indexes.append(place[column] if len(names) else column.astype(np.int32))
    return pa.DictionaryArray.from_arrays(
        pa.array(np.concatenate(indexes), pa.int32()), pa.array(list(rows), pa.string())
    )


def repeated(names: Sequence[str], lengths: Sequence[int]) -> pa.Array:
    """Return a column in which each name stands so many times."""
    return indexed([(np.zeros(length, np.int32), (name,)) for name, length in zip(names, lengths, strict=True)])
