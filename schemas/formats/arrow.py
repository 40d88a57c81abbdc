"""Arrow IPC streams of the native format: each row an event, each column a field.

| column | Arrow types |
|---|---|
| event_id, category, source | string, large_string, string_view |
| org_id, project_id, quantity | any signed or unsigned integer |
| timestamp | timestamp of any unit with a zone (digits past the microsecond are cut), or strings in RFC 3339 |
| attributes | struct of, or map from string to, strings, booleans, integers and floats |

A dictionary-encoded column is read as its values.

A row is read as the JSON object that it stands for, so that it is judged by the native format's own rules: a column
that is not there is a missing_field of every row, a string where a number is due is a wrong_type, a float as quantity
a bad_quantity, further columns are ignored. Null is null, which the native format refuses; in `source`, `attributes`
and inside `attributes` it is absence, which Arrow cannot say otherwise. A type that is not in the table (decimals,
dates, a timestamp without a zone, NaN) is an array that holds its name, a wrong_type in every field.

Such a row's own bytes are the JSON of that object (sorted keys, no spaces, floats as they are, `3.0` not `3`), so that
they replay to the same answer. A stream that
cannot be read to its end, has no rows, or holds more than the limits (schemas.formats.arrow_limits) is one rejected
event whose bytes are the whole value.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from schemas.formats.arrow_limits import MAX_ROWS, MAX_UNPACKED, at_most, claims, size_of_rows
from schemas.formats.base import Rejected
from schemas.formats.canonical import canonical_json
from schemas.formats.strict_json import JsonObject, JsonValue, Number
from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

COLUMNS: Final = ("event_id", "org_id", "project_id", "category", "quantity", "timestamp", "source", "attributes")
"""The native fields."""
_OPTIONAL: Final = frozenset({"source", "attributes"})
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ArrowUnreadable(ValueError):
    """A value that starts like an Arrow stream, but cannot be read to its end, or holds more than a value may."""


def read(value: bytes) -> list[pa.RecordBatch]:
    """Return the record batches of an Arrow IPC stream, fully validated: what they hold may be used as it is.

    Every reader of streams starts here. Raises ArrowUnreadable, for the same values on every machine: nothing larger
    than the limits is unpacked.
    """
    try:
        claimed = claims(value)
        _limit(claimed.rows, claimed.size)
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            for field in reader.schema:
                _look_at(field)
            batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        columns = [
            column
            for batch in batches
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if name in COLUMNS
        ]
        if sum(map(at_most, columns)) > MAX_UNPACKED:
            _limit(claimed.rows, sum(map(size_of_rows, columns)))
    except MemoryError:
        raise  # pyarrow's own is an ArrowException too, but says nothing about the value
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArrowUnreadable(str(error)) from error
    return batches


def rows(value: bytes) -> list[tuple[bytes, JsonObject]] | Rejected:
    """Return (JSON, object) of each row of an Arrow IPC stream, or why it cannot be read."""
    try:
        found = [row for batch in read(value) for row in _objects(batch)]
    except ArrowUnreadable as error:
        first_line = (str(error).splitlines() or [""])[0][:200]
        detail = first_line.encode("ascii", "backslashreplace").decode()
        return Rejected("not_json", f"an Arrow stream that cannot be read: {detail}")
    if not found:
        return Rejected("not_an_object", "found an Arrow stream without rows; expected at least one")
    return [(canonical_json(row, number=str).encode(), row) for row in found]


def row_json(batch: pa.RecordBatch, row: int) -> bytes:
    """Return the JSON of one row of a batch that was read."""
    (found,) = _objects(batch.slice(row, 1))
    return canonical_json(found, number=str).encode()


def plain_json(event_id: str, org: int, project: int, category: str, quantity: int, micros: int) -> bytes:
    """Return the JSON of a row that has those columns alone, and valid cells in them."""
    cells = (event_id, org, project, category, quantity, _instant(micros, 1_000_000))
    return canonical_json(dict(zip(COLUMNS, cells, strict=False))).encode()


def _limit(rows: int, size: int) -> None:
    if rows > MAX_ROWS or size > MAX_UNPACKED:
        raise ArrowUnreadable(f"{rows} rows in {size} bytes; a value may hold {MAX_ROWS} in {MAX_UNPACKED}")


def _look_at(field: pa.Field) -> None:
    # Names that are no UTF-8 raise where they are first looked at, which must not be further on.
    assert isinstance(field.name, str)
    kind = field.type
    if pa.types.is_timestamp(kind):
        assert kind.tz is None or isinstance(kind.tz, str)
    for i in range(kind.num_fields):
        _look_at(kind.field(i))


def _objects(batch: pa.RecordBatch) -> list[JsonObject]:
    columns: dict[str, list[JsonValue]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in COLUMNS:
            columns[name] = _column(name, column)
    return [
        {name: cells[i] for name, cells in columns.items() if cells[i] is not None or name not in _OPTIONAL}
        for i in range(batch.num_rows)
    ]


def _column(name: str, column: pa.Array) -> list[JsonValue]:
    """Return the JSON values that a field's cells stand for; a null is None."""
    kind = column.type
    if name == "timestamp" and pa.types.is_timestamp(kind) and kind.tz is not None:
        per_second = _PER_SECOND[kind.unit]
        ticks = _scalars(column.cast(pa.int64()))
        return [_instant(tick, per_second) if isinstance(tick, int) else None for tick in ticks]
    if name == "attributes" and pa.types.is_struct(kind):
        return _structs(column)
    if name == "attributes" and pa.types.is_map(kind) and _is_text(kind.key_type):
        return _maps(column)
    return _scalars(column)


def _scalars(column: pa.Array) -> list[JsonValue]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        values = _scalars(column.dictionary)
        return [None if place is None else values[place] for place in column.indices.to_pylist()]
    if _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        cells: list[JsonValue] = column.to_pylist()
        return cells
    if pa.types.is_floating(kind):
        return [None if cell is None else _float(cell) for cell in column.to_pylist()]
    return [[str(kind)] if valid else None for valid in column.is_valid().to_pylist()]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _float(value: float) -> JsonValue:
    # The shortest text that reads as this float; it always has a fraction or an exponent.
    return Number(repr(value)) if math.isfinite(value) else [str(value)]


def _instant(value: int, per_second: int) -> JsonValue:
    micros = value * 1_000_000 // per_second
    if MIN_TIMESTAMP <= micros < END_OF_TIME:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{micros} µs since 1970"


def _structs(column: pa.StructArray) -> list[JsonValue]:
    members = {field.name: _scalars(column.field(i)) for i, field in enumerate(column.type)}
    return [
        {name: cells[i] for name, cells in members.items() if cells[i] is not None} if valid else None
        for i, valid in enumerate(column.is_valid().to_pylist())
    ]


def _maps(column: pa.MapArray) -> list[JsonValue]:
    """Return the members of each map; of a key that stands twice the last one counts."""
    found: list[JsonValue] = []
    for one in column:  # a map's own items as an array, so that their type is read as any other's
        if not one.is_valid:
            found.append(None)
            continue
        entries = one.values
        keys, items = _scalars(entries.field(0)), _scalars(entries.field(1))
        members = dict(zip(map(str, keys), items, strict=True))
        found.append({key: item for key, item in members.items() if item is not None})
    return found
