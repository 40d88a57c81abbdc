"""A query's result as chunks of bytes, in bounded memory where the format allows it."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa
from chdb import ChdbError

from sinks.serve.engine import Handle
from sinks.serve.native import after_text, read_varint
from sinks.serve.problems import problem_of
from sinks.serve.statements import Statement

_BLOCKWISE: Final = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
    }
)
"""Formats without header and footer, whose blocks may be written one after the other."""
_ARROW: Final = frozenset({"Arrow", "ArrowStream"})
_HEADER_LINES: Final = {
    **dict.fromkeys(("TabSeparatedWithNames", "TSVWithNames", "JSONCompactEachRowWithNames"), 1),
    **dict.fromkeys(
        ("TabSeparatedWithNamesAndTypes", "TSVWithNamesAndTypes", "JSONCompactEachRowWithNamesAndTypes"), 2
    ),
}
"""Formats whose blocks begin with so many lines of header. In none of them can a name have a line end of its own."""
_HEADER_TEXTS: Final = {"RowBinaryWithNames": 1, "RowBinaryWithNamesAndTypes": 2}
"""Formats whose blocks begin with the number of columns and so many texts for each."""


def run(handle: Handle, sql: bytes, statement: Statement, name: str, params: dict[str, str]) -> Iterator[bytes]:
    """Run a statement and yield its answer in the format `name`, chunk by chunk; raises Problem, also in between.

    Formats with a footer other than Arrow's are built whole in memory before the first chunk, as is CSV with names.
    """
    text = sql.decode(errors="surrogateescape")
    blockwise = name in _BLOCKWISE and handle.settings.get("output_format_json_array_of_rows", "0") == "0"
    if not statement.has_result or statement.kind not in ("SELECT", "WITH") or statement.totals:
        yield from _whole(handle, sql, name, params)
    elif blockwise or name in _ARROW:
        chunks = _blocks(handle, text, name, params)
        yield from _arrow(handle, sql, name, params, chunks) if name in _ARROW else chunks
    elif name in _HEADER_LINES or name in _HEADER_TEXTS:
        yield from _headed(handle, sql, name, params, _blocks(handle, text, name, params))
    else:
        yield from _whole(handle, sql, name, params)


def _whole(handle: Handle, sql: bytes, name: str, params: dict[str, str]) -> Iterator[bytes]:
    try:
        answer = bytes(handle.connection.query(sql, name, params=params).bytes() or b"")
    except (ChdbError, RuntimeError) as error:
        raise problem_of(error) from error
    if answer:
        yield answer


def _blocks(handle: Handle, text: str, name: str, params: dict[str, str]) -> Iterator[bytes]:
    # A handle answers nothing while a stream of it is open, so a stream that breaks takes its handle along.
    try:
        stream = handle.connection.send_query(text, name, params=params)
    except (ChdbError, RuntimeError) as error:
        raise problem_of(error) from error
    done = False
    try:
        for chunk in stream:
            data = bytes(chunk.bytes() or b"")
            if data:
                yield data
        done = True
    except (ChdbError, RuntimeError) as error:
        raise problem_of(error) from error
    finally:
        if not done:
            handle.usable = False
            stream.close()


def _arrow(handle: Handle, sql: bytes, name: str, params: dict[str, str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Put blocks, each of which the engine writes as a whole Arrow file or stream, into a single one."""
    sink = _Drain()
    writer: Any = None
    for chunk in chunks:
        source = pa.py_buffer(chunk)
        reader = pa.ipc.open_file(source) if name == "Arrow" else pa.ipc.open_stream(source)
        if writer is None:
            writer = (pa.ipc.new_file if name == "Arrow" else pa.ipc.new_stream)(sink, reader.schema)
        writer.write_table(reader.read_all())
        yield sink.take()
    if writer is None:
        # Without a block there is no schema: the same query as a whole answers with one.
        yield from _whole(handle, sql, name, params)
        return
    writer.close()
    yield sink.take()


def _headed(handle: Handle, sql: bytes, name: str, params: dict[str, str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out the header that the engine puts before each block, but for the first."""
    header: bytes | None = None
    for chunk in chunks:
        if header is None:
            header = chunk[: _header_size(name, chunk)]
            yield chunk
        else:
            yield chunk.removeprefix(header)
    if header is None:
        # Without a block there is no header either: the same query as a whole answers with one.
        yield from _whole(handle, sql, name, params)


def _header_size(name: str, chunk: bytes) -> int:
    at = 0
    if name in _HEADER_LINES:
        for _ in range(_HEADER_LINES[name]):
            at = chunk.index(b"\n", at) + 1
        return at
    columns, at = read_varint(chunk, at)
    for _ in range(columns * _HEADER_TEXTS[name]):
        at = after_text(chunk, at)
    return at


class _Drain(io.RawIOBase):
    """A file that is written at one end and emptied at the other."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole


def empty_block(handle: Handle, sql: bytes, statement: Statement, params: dict[str, str]) -> bytes:
    """Return the header block of a Native result without rows, so that a client learns the columns all the same.

    b"" where the columns cannot be learnt without running the query again.
    """
    query = sql[: statement.body_end].decode(errors="surrogateescape")
    try:
        found = handle.connection.query(f"DESCRIBE ({query}\n)", "JSONCompactEachRow", params=params).bytes() or b""
    except (ChdbError, RuntimeError):
        return b""
    columns = [json.loads(line)[:2] for line in bytes(found).splitlines()]
    block = bytearray(_varint(len(columns)) + _varint(0))
    for column in columns:
        for text in column:
            block += _varint(len(text.encode())) + text.encode()
    return bytes(block)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def insert(handle: Handle, statement: Callable[[str], bytes], data: Iterator[bytes]) -> tuple[int, int]:
    """Run an INSERT whose data comes in chunks; return rows and bytes written.

    `statement` gives it with the data in the file of that path. The engine's own way to take data in chunks
    (`send_insert`) is not used: of an error that comes after parsing, a full disk for one, it says nothing.
    """
    with tempfile.NamedTemporaryFile(prefix="tally-insert-") as file:
        for chunk in data:
            file.write(chunk)
        file.flush()
        try:
            done = handle.connection.query(statement(file.name), "Null")
        except (ChdbError, RuntimeError) as error:
            raise problem_of(error) from error
    return int(done.rows_read()), int(done.bytes_read())
