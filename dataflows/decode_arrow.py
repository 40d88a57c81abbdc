"""Arrow IPC streams of the native format, a column at a time.

It takes the rows of the shapes that producers send; single rows with something odd in them (a null, a number out of
range, an unknown category) are handed to the contract as a small stream of their own, a stream of other types whole.
The contract's reading is schemas.formats.arrow; the answers are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataflows.arrow_layouts import Layouts
from dataflows.arrow_streams import KnownStreams
from dataflows.compiled import compiled
from dataflows.hashing import hash_id, hash_payload
from dataflows.scan_events import MAX_ID_BYTES
from dataflows.scan_names import TextTable, find_text
from dataflows.scan_words import SLACK, Bytes
from schemas.formats.arrow import COLUMNS, read, row_json
from schemas.formats.judge import Judged
from schemas.log import Int32s, Int64s, RecordBatch, UInt64s
from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP

Flags = NDArray[np.bool_]

_REQUIRED: Final = COLUMNS[:6]
_MICROS: Final = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""By what a count of a unit is multiplied, and then divided, to give microseconds."""


@dataclass(frozen=True, slots=True)
class ArrowEvents:
    """The events of one stream; `judged` has those rows that the contract judged, whose columns mean nothing."""

    org: Int64s
    project: Int64s
    category: Int32s
    quantity: Int64s
    timestamp: Int64s
    id_high: UInt64s
    id_low: UInt64s
    payload: UInt64s
    judged: dict[int, Judged]
    raw: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.org)


class _Odd(Exception):
    """A column that is left to the contract."""


class _Part(NamedTuple):
    """One Arrow batch: its native fields, the columns of ArrowEvents, which rows are odd."""

    batch: pa.RecordBatch
    columns: tuple[Any, ...]
    odd: Flags


class ArrowReader:
    """Reads streams under fixed look-ups: the category rows by name (twice: to Python, to compiled code), hash keys."""

    def __init__(
        self,
        rows: dict[str, int],
        names: TextTable,
        key: UInt64s,
        judge: Callable[[bytes], list[Judged]],
        *,
        grouped: bool,
    ) -> None:
        self._layouts = Layouts()
        self._rows = rows
        self._names = names
        self._key = key
        self._judge = judge
        self._grouped = grouped

    def __call__(self, value: bytes) -> ArrowEvents | None:
        """Return the events of a stream, or None where the contract has to judge it whole."""
        try:
            batches = [batch for batch in read(value) if batch.num_rows]
            parts = [self._read(batch) for batch in batches]
            if not parts:
                return None
            self._layouts.learn(value, batches[0], self._rows)
            return self._joined(parts)
        except (_Odd, pa.ArrowException, OSError, ValueError):
            return None

    def known(self, records: RecordBatch, numbers: Int64s) -> KnownStreams:
        """Return those of the records that are streams of a layout that was met before."""
        return KnownStreams(records, numbers, self._layouts, self._names)

    def judge_rows(self, value: bytes, rows: Int64s) -> list[Judged]:
        """Have the contract judge those rows of a stream that is valid."""
        judged, first = [], 0
        for batch in read(value):
            mine = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
            judged += self._judge_rows(batch, mine) if len(mine) else []
            first += batch.num_rows
        return judged

    def _joined(self, parts: list[_Part]) -> ArrowEvents:
        ends = np.cumsum([len(part.odd) for part in parts])
        judged: dict[int, Judged] = {}
        for part, end in zip(parts, ends.tolist(), strict=True):
            rows = np.flatnonzero(part.odd)
            if len(rows):
                first = end - len(part.odd)
                judged.update(zip((rows + first).tolist(), self._judge_rows(part.batch, rows), strict=True))

        def raw(row: int) -> bytes:
            part = int(np.searchsorted(ends, row, side="right"))
            batch = parts[part].batch
            return row_json(batch, row - int(ends[part]) + batch.num_rows)

        def joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

        org, project, category, quantity, timestamp, high, low, payload = map(
            joined, zip(*(part.columns for part in parts), strict=True)
        )
        return ArrowEvents(org, project, category, quantity, timestamp, high, low, payload, judged, raw)

    def _judge_rows(self, batch: pa.RecordBatch, rows: Int64s) -> list[Judged]:
        """Have the contract judge those rows, as a stream of them alone."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch.take(pa.array(rows)))
        judged = self._judge(sink.getvalue().to_pybytes())
        assert len(judged) == len(rows)
        return judged

    def _read(self, batch: pa.RecordBatch) -> _Part:
        """Read the columns and note which rows are odd. Raises _Odd."""
        known = [name for name in batch.schema.names if name in COLUMNS]
        if len(set(known)) < len(known) or not set(_REQUIRED) <= set(known):
            raise _Odd
        batch = batch.select(known)
        at = dict(zip(known, batch.columns, strict=True))
        if "source" in at and not _is_text(at["source"].type):
            raise _Odd
        if "attributes" in at and (self._grouped or not _are_scalars(at["attributes"].type)):
            raise _Odd
        odd = np.zeros(batch.num_rows, np.bool_)
        org = _integers(at["org_id"], MAX_ID, odd)
        project = _integers(at["project_id"], MAX_ID, odd)
        quantity = _integers(at["quantity"], MAX_QUANTITY, odd)
        timestamp = _instants(at["timestamp"], odd)
        category = self._categories(at["category"], odd)
        texts, places = _texts(at["event_id"], odd)
        high, low, payload = (np.empty(batch.num_rows, np.uint64) for _ in range(3))
        hash_rows(self._key, texts, places, odd, org, project, category, quantity, timestamp, high, low, payload)
        return _Part(batch, (org, project, category, quantity, timestamp, high, low, payload), odd)

    def _categories(self, column: pa.Array, odd: Flags) -> Int32s:
        """Return each cell's row of the catalogue."""
        if pa.types.is_dictionary(column.type) and _is_text(column.type):
            rows = np.array([*(self._rows.get(name, -1) for name in column.dictionary.to_pylist()), -1], np.int32)
            numbers = _numbers(column.indices)
            if column.indices.null_count:
                numbers[column.indices.is_null().to_numpy(zero_copy_only=False)] = len(rows) - 1
            found: Int32s = rows[numbers]
        else:
            texts, places = _texts(column, odd)
            found = np.empty(len(column), np.int32)
            find_rows(self._names.address, texts, places, found)
        odd |= found < 0
        return found


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _are_scalars(kind: pa.DataType) -> bool:
    """Say whether attributes of that type are well-formed whatever they hold (floats are not: there is NaN)."""
    if pa.types.is_struct(kind):
        members = [kind.field(i).type for i in range(kind.num_fields)]
    elif pa.types.is_map(kind) and (pa.types.is_string(kind.key_type) or pa.types.is_large_string(kind.key_type)):
        members = [kind.item_type]
    else:
        return False
    return all(
        pa.types.is_string(member)
        or pa.types.is_large_string(member)
        or pa.types.is_integer(member)
        or pa.types.is_boolean(member)
        for member in members
    )


def _note_nulls(column: pa.Array, odd: Flags) -> None:
    if column.null_count:
        odd |= column.is_null().to_numpy(zero_copy_only=False)


def _numbers(column: pa.Array) -> Int64s:
    """Return a copy of a column of integers (what is in a null's place is anything)."""
    values = np.frombuffer(column.buffers()[1], column.type.to_pandas_dtype())
    numbers: Int64s = values[column.offset : column.offset + len(column)].astype(np.int64)
    return numbers


def _integers(column: pa.Array, largest: int, odd: Flags) -> Int64s:
    if not pa.types.is_integer(column.type):
        raise _Odd
    _note_nulls(column, odd)
    numbers = _numbers(column)
    odd |= (numbers < 0) | (numbers > largest)  # an unsigned number past 63 bits came out negative
    return numbers


def _instants(column: pa.Array, odd: Flags) -> Int64s:
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise _Odd
    _note_nulls(column, odd)
    times, over = _MICROS[column.type.unit]
    values = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column)]
    odd |= (values < MIN_TIMESTAMP * over // times) | (values >= END_OF_TIME * over // times)
    micros: Int64s = values * times // over
    return micros


def _texts(column: pa.Array, odd: Flags) -> tuple[Bytes, Int64s]:
    """Return a column's texts, with room behind them to scan in, and where each starts, the last one's end behind."""
    if not _is_text(column.type):
        raise _Odd
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    _note_nulls(column, odd)
    _, offsets, data = column.buffers()
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    places = np.frombuffer(offsets, kind)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    first, last = int(places[0]), int(places[-1])
    texts = np.zeros(last - first + SLACK, np.uint8)
    if last > first:
        texts[: last - first] = np.frombuffer(data, np.uint8)[first:last]
    return texts, places - first


@compiled
def find_rows(names: int, texts: Bytes, places: Int64s, found: Int32s) -> None:
    """Find the row of each text in the table of names at that address, -1 for none."""
    base: int = texts.ctypes.data
    for i in range(found.shape[0]):
        found[i] = find_text(names, base + places[i], base + places[i + 1])


@compiled
def hash_rows(
    keys: UInt64s,
    texts: Bytes,
    places: Int64s,
    odd: Flags,
    org: Int64s,
    project: Int64s,
    category: Int32s,
    quantity: Int64s,
    timestamp: Int64s,
    id_high: UInt64s,
    id_low: UInt64s,
    payload: UInt64s,
) -> None:
    """Hash every row that is not odd; mark those whose id's length the contract has to look at."""
    base: int = texts.ctypes.data
    key: int = keys.ctypes.data
    none = np.uint64(0)
    for i in range(odd.shape[0]):
        size = places[i + 1] - places[i]
        if odd[i] or size < 1 or size > MAX_ID_BYTES:
            odd[i] = True
            continue
        id_high[i], id_low[i] = hash_id(key, org[i], base + places[i], base + places[i + 1])
        payload[i] = hash_payload(key, category[i], project[i], quantity[i], timestamp[i], none, none)
