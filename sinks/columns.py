"""Rows as Arrow columns, with every value checked against its column before anything is sent.

The store would not complain: an integer out of range wraps, a year out of range is clamped, a NULL becomes 0, and a
decimal loses digits, all in silence.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from schemas.errors import StoreError

MIN_INSTANT: Final = -2_208_988_800_000_000
MAX_INSTANT: Final = 10_413_791_999_999_999
"""What DateTime64(6) holds: the years 1900 to 2299, in microseconds."""

Convert = Callable[[Any], Any]


class Kind:
    """A column's type on the wire, and how a Python value becomes one; `convert` raises ValueError or TypeError."""

    def __init__(self, arrow: pa.DataType, convert: Convert, *, optional: bool = False) -> None:
        self.arrow = arrow
        self.convert = convert
        self.optional = optional

    def orelse_null(self) -> "Kind":
        """Return the same kind for a Nullable column."""
        return Kind(self.arrow, self.convert, optional=True)

    def one(self, value: Any) -> Any:
        """Return the value to send."""
        return None if value is None and self.optional else self.convert(value)


def _integer(low: int, high: int) -> Convert:
    def convert(value: Any) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError("not an integer")
        number = int(value.__index__())
        if not low <= number <= high:
            raise ValueError(f"outside {low} to {high}")
        return number

    return convert


def _wide(low: int, high: int) -> Convert:
    """128-bit integers travel as 16 bytes, the lowest first: Arrow has no such type."""
    check = _integer(low, high)
    return lambda value: check(value).to_bytes(16, "little", signed=low < 0)


def _exactly(kind: type) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"not of type {kind.__name__}")
        return value

    return convert


def micros(value: Any) -> int:
    """Return an instant in microseconds: an integer as it is, a datetime (with a zone) exactly converted."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime without a zone")
        return (value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return int(_integer(MIN_INSTANT, MAX_INSTANT)(value))


def _seconds(value: Any) -> int:
    whole, rest = divmod(micros(value), 1_000_000)
    if rest:
        raise ValueError("not on a whole second")
    return int(_integer(0, 2**32 - 1)(whole))


def _text(value: Any) -> str:
    text = _exactly(str)(value)
    text.encode()  # a lone surrogate is no text
    return str(text)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError("not a decimal")
    return Decimal(value)


U32: Final = Kind(pa.uint32(), _integer(0, 2**32 - 1))
U64: Final = Kind(pa.uint64(), _integer(0, 2**64 - 1))
I64: Final = Kind(pa.int64(), _integer(-(2**63), 2**63 - 1))
I128: Final = Kind(pa.binary(16), _wide(-(2**127), 2**127 - 1))
U128: Final = Kind(pa.binary(16), _wide(0, 2**128 - 1))
TEXT: Final = Kind(pa.string(), _text)
BYTES: Final = Kind(pa.binary(), _exactly(bytes))
BOOL: Final = Kind(pa.bool_(), _exactly(bool))
INSTANT: Final = Kind(pa.timestamp("us", "UTC"), lambda v: _integer(MIN_INSTANT, MAX_INSTANT)(micros(v)))
SECOND: Final = Kind(pa.uint32(), _seconds)
MONEY: Final = Kind(pa.decimal128(38, 18), _decimal)
COUNTS: Final = Kind(pa.map_(pa.string(), pa.uint64()), lambda m: [(_text(k), U64.convert(v)) for k, v in m.items()])


def list_of(kind: Kind) -> Kind:
    """Return the kind of an array column (one of a Nested)."""
    return Kind(pa.list_(kind.arrow), lambda values: [kind.one(value) for value in values])


Layout = Mapping[str, Kind]


def build(table: str, layout: Layout, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as an Arrow table with the layout's columns.

    Raises StoreError naming table, column and value when a column is missing or unknown, or a value does not fit.
    """
    columns: dict[str, list[Any]] = {name: [] for name in layout}
    for row in rows:
        if row.keys() != layout.keys():
            wrong = sorted(row.keys() ^ layout.keys())
            raise StoreError(f"{table}: columns {', '.join(wrong)} are missing or unknown; nothing was written")
        for name, kind in layout.items():
            try:
                columns[name].append(kind.one(row[name]))
            except (TypeError, ValueError, AttributeError) as error:
                raise misfit(table, name, row[name], str(error)) from error
    return pa.table({name: array(table, name, kind, columns[name]) for name, kind in layout.items()})


def array(table: str, name: str, kind: Kind, values: Sequence[Any]) -> pa.Array:
    """Return converted values as a column; raises StoreError naming the value that does not fit."""
    try:
        return pa.array(values, kind.arrow)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as whole:
        for value in values:
            try:
                pa.array([value], kind.arrow)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise misfit(table, name, value, str(error)) from error
        raise StoreError(f"{table}.{name}: {whole}; nothing was written") from whole


def misfit(table: str, column: str, value: object, why: str) -> StoreError:
    """Return the error for a value that its column cannot hold."""
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:99] + "…"
    return StoreError(f"{table}.{column} = {shown}: {why or 'does not fit'}; nothing was written")
