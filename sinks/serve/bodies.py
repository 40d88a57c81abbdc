"""Request bodies: framed, compressed, of any size; spooled to a file before anything of them is used.

Spooling keeps memory bounded and means that a client which dies in the middle of an INSERT has inserted nothing.
"""

import email.parser
import email.policy
import importlib
import tempfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from typing import IO, Any, Final

from sinks.serve.problems import Problem

CHUNK: Final = 1 << 20
IN_MEMORY: Final = 8 << 20
"""Bytes of a body or of an answer that are kept in memory; the rest goes to a temporary file."""
MAX_FORM: Final = 16 << 20


def spooled() -> IO[bytes]:
    """Return an empty temporary file that stays in memory while it is small."""
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)


def read_body(source: IO[bytes] | BufferedIOBase, *, length: str | None, transfer: str, encoding: str) -> IO[bytes]:
    """Read a request's body to its end and return it, decoded and rewound.

    `length` is the Content-Length, `transfer` the Transfer-Encoding, `encoding` the Content-Encoding. Raises Problem
    for a body that is cut short, badly framed, or encoded in a way that is not known.
    """
    if "chunked" in transfer.lower():
        pieces = _chunks(source)
    elif transfer:
        raise Problem(48, "NOT_IMPLEMENTED", f"Transfer-Encoding {transfer!r} is not known")
    else:
        pieces = _counted(source, _number(length or "0", 10))
    body = spooled()
    for piece in _decoded(pieces, encoding.strip().lower()):
        body.write(piece)
    body.seek(0)
    return body


def _number(text: str, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        number = -1
    if number < 0:
        raise Problem(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "The body's length cannot be read")
    return number


def _counted(source: IO[bytes] | BufferedIOBase, left: int) -> Iterator[bytes]:
    while left:
        piece = source.read(min(left, CHUNK))
        if not piece:
            raise Problem(3, "UNEXPECTED_END_OF_FILE", "The body ended early")
        left -= len(piece)
        yield piece


def _chunks(source: IO[bytes] | BufferedIOBase) -> Iterator[bytes]:
    while size := _number(source.readline(1000).partition(b";")[0].decode("latin-1"), 16):
        yield from _counted(source, size)
        if source.readline(3).strip():
            raise Problem(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "A chunk of the body is longer than it says")
    while source.readline(1000).strip():
        pass


def _decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding in ("", "identity"):
        yield from pieces
        return
    new = _decoder(encoding)
    decoder = new()
    started = False
    for piece in pieces:
        data = piece
        while data:
            try:
                yield decoder.decompress(data)
            except Exception as error:  # each codec has an error type of its own
                raise Problem(271, "CANNOT_DECOMPRESS", f"The body is not {encoding}: {error}") from error
            started = True
            # A client may compress each block for itself: one frame ends and the next begins.
            data = decoder.unused_data or b"" if decoder.eof else b""
            if decoder.eof:
                decoder, started = new(), False
    if started and not decoder.eof:
        raise Problem(3, "UNEXPECTED_END_OF_FILE", f"The {encoding} body ended early")


def _decoder(encoding: str) -> Any:
    if encoding in ("gzip", "deflate"):
        return lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)
    if encoding == "zstd":
        return importlib.import_module("backports.zstd").ZstdDecompressor
    if encoding == "lz4":
        return importlib.import_module("lz4.frame").LZ4FrameDecompressor
    raise Problem(48, "NOT_IMPLEMENTED", f"Content-Encoding {encoding!r} is not known; gzip, deflate, lz4 and zstd are")


def encoder(accepted: str) -> tuple[str, Any] | None:
    """Return the first encoding of an Accept-Encoding header that is known, with a compressor for it."""
    for offered in accepted.lower().split(","):
        name = offered.partition(";")[0].strip()
        if name == "gzip":
            return name, zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        if name == "zstd":
            return name, importlib.import_module("backports.zstd").ZstdCompressor(1)
        if name == "lz4":
            return name, _Lz4(importlib.import_module("lz4.frame").LZ4FrameCompressor())
    return None


class _Lz4:
    """The lz4 compressor with the frame's begin hidden, so that it looks like the others."""

    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor
        self._started = False

    def compress(self, data: bytes) -> bytes:
        begin = b"" if self._started else self._compressor.begin()
        self._started = True
        return bytes(begin + self._compressor.compress(data))

    def flush(self) -> bytes:
        begin = b"" if self._started else self._compressor.begin()
        return bytes(begin + self._compressor.flush())


def read_form(content_type: str, body: IO[bytes]) -> dict[str, str]:
    """Return the fields of a multipart/form-data body; a file in it (external data) is refused."""
    raw = body.read(MAX_FORM + 1)
    if len(raw) > MAX_FORM:
        raise Problem(48, "NOT_IMPLEMENTED", "A form of more than 16 MiB is not supported")
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + raw)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            raise Problem(48, "NOT_IMPLEMENTED", "External data is not supported")
        value = part.get_payload(decode=True)
        fields[str(name)] = value.decode() if isinstance(value, bytes) else ""
    return fields
