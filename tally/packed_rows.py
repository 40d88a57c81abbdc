"""Statements' rows as Arrow tables, and rows out of a table that another process made.

    rows ──► table_of ──► bytes ──(another process)──► unpacked: rows that know their key, and are read when asked
                                                          └──► written as they lie there, in slices

Guarantees: a table has, value for value, what `sinks.progress_rows.statement_table` makes of the rows, and whatever
does not fit its column is that one's error.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa

from sinks.columns import INSTANT, SECOND, U128
from sinks.progress_rows import LINE, STATEMENTS, statement_table
from sinks.store import Store

Row = Mapping[str, Any]

COLUMNS: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in STATEMENTS))
"""What a row has: the columns of `statements`, `lines` being one."""
_CONVERT: Final = {
    "period_start": SECOND.convert,
    "period_end": SECOND.convert,
    "complete_to": INSTANT.orelse_null().one,
    "version": U128.convert,
    "rated_at": INSTANT.convert,
    "total": STATEMENTS["total"].convert,
}


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as an Arrow table. Raises StoreError naming column and value where one does not fit."""
    try:
        return _by_column(rows)
    except (pa.ArrowException, AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return statement_table(rows)  # row by row, which says what does not fit


def _by_column(rows: Sequence[Row]) -> pa.Table:
    if any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError("columns are unknown")
    lines = [line for row in rows for line in row["lines"]]
    if any(len(line) != len(LINE) for line in lines):
        raise ValueError("columns are unknown")
    offsets = pa.array(accumulate((len(row["lines"]) for row in rows), initial=0), pa.int32())
    arrays: dict[str, pa.Array] = {}
    for name, kind in STATEMENTS.items():
        column, _, part = name.partition(".")
        if part:
            values = pa.array([line[part] for line in lines], LINE[part].arrow)
        elif convert := _CONVERT.get(column):
            values = pa.array([convert(row[column]) for row in rows], kind.arrow)
        else:
            values = pa.array([row[column] for row in rows], kind.arrow)
        if values.null_count and not kind.optional:
            raise ValueError("a value is missing")
        arrays[name] = pa.ListArray.from_arrays(offsets, values) if part else values
    return pa.table(arrays)


class PackedRow(Mapping[str, Any]):
    """A row of a table that was made elsewhere: what names it is at hand, the rest is read when somebody looks."""

    __slots__ = ("index", "key", "table")

    def __init__(self, table: pa.Table, index: int, key: Row) -> None:
        self.table = table
        self.index = index
        self.key = key

    def __getitem__(self, name: str) -> Any:
        if name in self.key:
            return self.key[name]
        if name != "lines":
            return self.table[name][self.index].as_py()
        values = [self.table[f"lines.{part}"][self.index].as_py() for part in LINE]
        return [dict(zip(LINE, line, strict=True)) for line in zip(*values, strict=True)]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


KEY: Final = ("org_id", "contract", "period_start", "period_end", "version")
"""What is asked of every row; it has to be at hand."""


def packed(rows: Sequence[Row]) -> bytes:
    """Return rows as bytes for another process."""
    table = table_of(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(content: bytes, keys: Sequence[Row]) -> list[Row]:
    """Return the rows that were packed, given the `KEY` of each."""
    with pa.ipc.open_stream(content) as reader:
        table = reader.read_all()
    assert table.num_rows == len(keys), "every row has its key"
    return [PackedRow(table, index, key) for index, key in enumerate(keys)]


def write_rows(store: Store, rows: Sequence[Row]) -> None:
    """Write statements, in one insert. Amounts and quantities have at most 18 digits of fraction: more is an error."""
    plain: list[Row] = []
    slices: dict[int, tuple[pa.Table, list[int]]] = {}
    for row in rows:
        if isinstance(row, PackedRow):
            slices.setdefault(id(row.table), (row.table, []))[1].append(row.index)
        else:
            plain.append(row)
    tables = [table_of(plain)] if plain else []
    for table, indexes in slices.values():
        tables.append(table if len(indexes) == table.num_rows else table.take(indexes))
    if tables:
        store.insert("statements", pa.concat_tables(tables).combine_chunks())
