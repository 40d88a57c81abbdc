"""How much an Arrow IPC stream claims to hold, read from its messages before anything is unpacked.

A few bytes can claim any number of rows (a column of nulls needs no data) and any size (a compressed buffer says how
long it will be). What is read must depend on the value alone and never on how much memory is free, so a stream that
claims more than the limits is refused unread.
"""

import struct
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_ROWS: Final = 1 << 20
"""Rows of one value."""
MAX_UNPACKED: Final = 256 << 20
"""Bytes of one value once it is unpacked; of its rows too, where several share what they point at."""
CELL: Final = 16
"""Bytes that a cell counts for, beside its text."""

# Message.header_type and slots of the tables, as the format's Message.fbs numbers them.
DICTIONARY_BATCH: Final = 2
RECORD_BATCH: Final = 3
VERSION, HEADER_TYPE, HEADER, BODY_LENGTH = range(4)
DICTIONARY_DATA: Final = 1
LENGTH, NODES, BUFFERS, COMPRESSION = range(4)


class Claims(NamedTuple):
    """Rows of all record batches, and bytes of all buffers after decompression."""

    rows: int
    size: int


def claims(value: bytes) -> Claims:
    """Return what a stream claims to hold; raises pa.ArrowException or ValueError where it cannot be told."""
    rows = size = 0
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(value)):
        try:
            found = _claims_of(message.metadata.to_pybytes(), message.body)
        except struct.error as error:
            raise ValueError(f"a message's metadata: {error}") from None
        rows += found.rows
        size += found.size
    return Claims(rows, size)


def _claims_of(metadata: bytes, body: pa.Buffer | None) -> Claims:
    root = uint32_at(metadata, 0)
    kind = field_of(metadata, root, HEADER_TYPE)
    header = field_of(metadata, root, HEADER)
    if kind is None or header is None or metadata[kind] not in {DICTIONARY_BATCH, RECORD_BATCH}:
        return Claims(0, 0)
    batch: int | None = target_of(metadata, header)
    is_rows = metadata[kind] == RECORD_BATCH
    if not is_rows:
        data = field_of(metadata, target_of(metadata, header), DICTIONARY_DATA)
        batch = None if data is None else target_of(metadata, data)
    if batch is None:
        return Claims(0, 0)
    length, buffers = field_of(metadata, batch, LENGTH), field_of(metadata, batch, BUFFERS)
    rows = 0 if length is None or not is_rows else max(0, int64_at(metadata, length))
    if buffers is None:
        return Claims(rows, 0)
    compressed = field_of(metadata, batch, COMPRESSION) is not None
    vector = target_of(metadata, buffers)
    content = b"" if body is None else memoryview(body)
    size = 0
    for i in range(uint32_at(metadata, vector)):
        start, stored = struct.unpack_from("<qq", metadata, vector + 4 + 16 * i)
        if stored > 0:
            # A compressed buffer starts with its own length; -1 says that this one is stored as it is.
            claimed = int64_at(content, start) if compressed and stored >= 8 else -1
            size += stored if claimed < 0 else claimed
    return Claims(rows, size)


def field_of(metadata: bytes, table: int, slot: int) -> int | None:
    """Return where a field of a flatbuffer table is, None where the table leaves it out."""
    (back,) = struct.unpack_from("<i", metadata, table)
    entry = 4 + 2 * slot
    (size,) = struct.unpack_from("<H", metadata, table - back)
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", metadata, table - back + entry)
    return table + offset if offset else None


def target_of(metadata: bytes, place: int) -> int:
    """Return the place that the offset at a place points to."""
    return place + uint32_at(metadata, place)


def uint32_at(metadata: bytes, place: int) -> int:
    """Return the number in four bytes."""
    found: int = struct.unpack_from("<I", metadata, place)[0]
    return found


def int64_at(content: bytes | memoryview, place: int) -> int:
    """Return the signed number in eight bytes."""
    found: int = struct.unpack_from("<q", content, place)[0]
    return found


def size_of_rows(column: pa.Array) -> int:
    """Return the bytes that a validated column's cells take when each has its own.

    Dictionary entries and string views can stand in any number of rows, and columns can share their data.
    """
    kind = column.type
    size = CELL * len(column)
    if pa.types.is_dictionary(kind):
        places = column.indices.drop_null().to_numpy()
        return size + int(_lengths(column.dictionary)[places].sum(dtype=np.int64))
    if pa.types.is_struct(kind):
        return size + sum(size_of_rows(column.field(i)) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return size + size_of_rows(column.keys) + size_of_rows(column.items)
    return size + int(_lengths(column).sum(dtype=np.int64))


def at_most(column: pa.Array) -> int:
    """Return a number that `size_of_rows` does not exceed, without a look at the cells where that is possible."""
    kind = column.type
    size = CELL * len(column)
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return size
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return size + int(column.nbytes)
    if pa.types.is_dictionary(kind) and not pa.types.is_string_view(kind.value_type):
        return size + len(column) * int(column.dictionary.nbytes)
    return size_of_rows(column)


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    """Return the bytes of text in each cell, 0 where it is null or no text."""
    kind = column.type
    none = np.zeros(len(column), dtype=np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found: NDArray[np.int64] = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
        return found
    views = column.buffers()[1] if pa.types.is_string_view(kind) else None
    if views is None:
        return none
    # A view starts with its length, and means nothing where the cell is null.
    lengths = np.frombuffer(views, dtype="<i4").reshape(-1, 4)[column.offset : column.offset + len(column), 0]
    return np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, none)
