"""ClickHouse's HTTP protocol: one request, one statement."""

import hmac
import json
import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from sinks.serve import native, results
from sinks.serve.bodies import CHUNK, encoder, read_body, read_form, spooled
from sinks.serve.engine import SESSION_SECONDS, Handle, literal
from sinks.serve.frames import Frames
from sinks.serve.problems import Problem
from sinks.serve.statements import HEAD_BYTES, Statement, read_statement

if TYPE_CHECKING:
    from sinks.serve.server import Server

_OURS: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "wait_end_of_query",
        "buffer_size",
        "compress",
        "decompress",
        "client_protocol_version",
        "role",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "add_http_cors_header",
        "cancel_http_readonly_queries_on_client_close",
    }
)
"""URL parameters that are about the transport; `param_…` are the query's own; every other one is a setting."""


class Request:
    """A query as it came: statement, data, parameters, settings."""

    def __init__(self, url: dict[str, str], form: dict[str, str], body: IO[bytes], headers: Any) -> None:
        given = {**url, **form}
        self.url = given
        self.params = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        self.settings = {n: v for n, v in url.items() if n not in _OURS and not n.startswith("param_")}
        if given.get("decompress") == "1":
            raise Problem(48, "NOT_IMPLEMENTED", "decompress is not supported; use Content-Encoding")
        self.database = given.get("database") or headers.get("X-ClickHouse-Database") or None
        self.default_format = headers.get("X-ClickHouse-Format") or given.get("default_format") or "TabSeparated"
        self.query_id = given.get("query_id") or secrets.token_hex(16)
        query = given.get("query", "").encode(errors="surrogateescape")
        # The protocol reads the parameter and the body as one text, the parameter first.
        self._head = query + b"\n" if query else b""
        self._body = body
        self._head += body.read(max(0, HEAD_BYTES - len(self._head)))
        if not self._head.strip():
            raise Problem(62, "SYNTAX_ERROR", "Empty query")
        self.statement: Statement = read_statement(self._head)

    def text(self) -> bytes:
        """Return the whole statement."""
        return self._head + self._body.read()

    def insert_from(self, path: str) -> bytes:
        """Return an INSERT's statement with its data in a file."""
        at, end = self.statement.source_at, self.statement.head_end
        source = f"\nFROM INFILE {literal(path)}\n".encode()
        return self._head[:at] + source + self._head[at:end] + f"\nFORMAT {self.statement.format}".encode()

    def data(self) -> Iterator[bytes]:
        """Yield an INSERT's data."""
        first = self._head[self.statement.data_at :]
        if first:
            yield first
        yield from iter(lambda: self._body.read(CHUNK), b"")


def _until(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield chunks until they have this many bytes."""
    while size > 0 and (chunk := next(chunks, None)) is not None:
        size -= len(chunk)
        yield chunk


class Handler(BaseHTTPRequestHandler):
    """One connection. Its errors are answers, in ClickHouse's own words."""

    protocol_version = "HTTP/1.1"
    server_version = "tally"
    sys_version = ""
    timeout = 300
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: "Server"

    def do_GET(self) -> None:
        """Answer a probe, or a query that changes nothing."""
        self._serve(read_only=True)

    def do_HEAD(self) -> None:
        """Answer a probe."""
        self._plain(200, b"", "text/plain")

    def do_POST(self) -> None:
        """Answer a query."""
        self._serve(read_only=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Say nothing: a request's line may hold a password."""

    def _serve(self, *, read_only: bool) -> None:
        self.query_id = ""
        try:
            with self.server.working():
                parts = urlsplit(self.path)
                url = dict(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
                if parts.path == "/ping":
                    self._plain(200, b"Ok.\n", "text/html; charset=UTF-8")
                elif parts.path not in ("/", ""):
                    self.close_connection = True
                    self._plain(404, f"There is no handle {parts.path}\n".encode(), "text/plain; charset=UTF-8")
                else:
                    self._answer_query(url, read_only=read_only)
                # Within the count: a stop hangs up as soon as nothing is running.
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        if self.server.stopping:
            self.close_connection = True

    def _answer_query(self, url: dict[str, str], *, read_only: bool) -> None:
        try:
            self._authenticate(url)
            self._query(url, read_only=read_only)
        except Problem as problem:
            self._refuse(problem)

    def _authenticate(self, url: dict[str, str]) -> None:
        user, password = self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = b64decode(token, validate=True).decode().partition(":")
            except (Base64Error, UnicodeDecodeError):
                user = password = None
        elif user is None and password is None:
            user, password = url.get("user"), url.get("password")
        user, password = user or "default", password or ""
        # Both are always compared, in constant time: neither can be guessed letter by letter.
        right = hmac.compare_digest(user.encode(), self.server.user.encode())
        if not hmac.compare_digest(password.encode(), self.server.password.encode()) or not right:
            self.close_connection = True
            raise Problem(516, "AUTHENTICATION_FAILED", f"{user}: Authentication failed: password is incorrect")

    def _query(self, url: dict[str, str], *, read_only: bool) -> None:
        body: IO[bytes] = spooled()
        form: dict[str, str] = {}
        if not read_only:
            self.close_connection, keep = True, self.close_connection
            encoding = self.headers.get("Content-Encoding", "")
            length, transfer = self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding", "")
            body = read_body(self.rfile, length=length, transfer=transfer, encoding=encoding)
            # Only a body that was read to its end leaves the connection fit for another request.
            self.close_connection = keep
            kind = self.headers.get("Content-Type", "")
            if kind.lower().startswith("multipart/form-data"):
                form, body = read_form(kind, body), spooled()
        if not url.get("query") and not form and read_only:
            self._plain(200, b"Ok.\n", "text/html; charset=UTF-8")
            return
        request = Request(url, form, body, self.headers)
        self.query_id = request.query_id
        if read_only and not request.statement.has_result:
            raise Problem(164, "READONLY", "Cannot execute query in readonly mode: use POST to change anything")
        session = request.url.get("session_id") or None
        timeout = request.url.get("session_timeout", str(SESSION_SECONDS))
        if not timeout.isdigit():
            raise Problem(26, "CANNOT_PARSE_QUOTED_STRING", "session_timeout is no number")
        stateful = request.statement.stateful
        with self.server.engine.lend(
            request.settings, request.database, stateful=stateful, session=session, timeout=int(timeout)
        ) as handle:
            if request.statement.data_at is None:
                self._answer(handle, request)
            else:
                self._insert(handle, request)

    def _insert(self, handle: Handle, request: Request) -> None:
        if request.params:
            raise Problem(48, "NOT_IMPLEMENTED", "Parameters in an INSERT with data are not supported")
        rows, size = results.insert(handle, request.insert_from, request.data())
        self._head(200, request, summary={"written_rows": str(rows), "written_bytes": str(size)})
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, handle: Handle, request: Request) -> None:
        statement, sql = request.statement, request.text()
        name = statement.format or request.default_format
        chunks = results.run(handle, sql, statement, name, request.params)
        flags = name == "Native" and native.wants_flags(request.url.get("client_protocol_version", ""))
        if flags:
            chunks = native.flagged(chunks)
        # An error that comes early is still told by the status; a later one can only be told by the tag.
        first = list(_until(chunks, CHUNK))
        if not first and statement.has_result and name == "Native":
            empty = iter([results.empty_block(handle, sql, statement, request.params)])
            first = list(native.flagged(empty) if flags else empty)
        shown = name if statement.has_result else None
        chunks = chain(first, chunks)
        if request.url.get("wait_end_of_query") == "1":
            # The whole answer first: only so can an error late in it still be an error's status.
            whole = spooled()
            for chunk in chunks:
                whole.write(chunk)
            whole.seek(0)
            chunks = iter(lambda: whole.read(CHUNK), b"")
        self._stream(request, shown, chunks)

    def _stream(self, request: Request, shown: str | None, chunks: Iterable[bytes]) -> None:
        self._head(200, request, shown=shown)
        packer: tuple[str, Any] | None = None
        if request.url.get("compress") == "1":
            packer = "", Frames()
        elif request.url.get("enable_http_compression") == "1":
            packer = encoder(self.headers.get("Accept-Encoding", ""))
        if packer and packer[0]:
            self.send_header("Content-Encoding", packer[0])
        # A client recognises an error in the middle of the answer by this tag, which no data can contain by accident.
        tag = secrets.token_hex(8)
        self.send_header("X-ClickHouse-Exception-Tag", tag)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in chunks:
                self._chunk(packer[1].compress(chunk) if packer else chunk)
        except Problem as problem:
            text = problem.text.encode() + b"\n"
            message = b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (
                tag.encode(),
                text,
                len(text),
                tag.encode(),
            )
            self._chunk(packer[1].compress(message) if packer else message)
            self.close_connection = True
        if packer:
            self._chunk(packer[1].flush())
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n" % len(data))
            self.wfile.write(data)
            self.wfile.write(b"\r\n")

    def _head(
        self, status: int, request: Request, *, shown: str | None = None, summary: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        zone = request.settings.get("session_timezone", "UTC")
        self.send_header("X-ClickHouse-Timezone", zone)
        self.send_header("X-ClickHouse-Query-Id", request.query_id)
        self.send_header("X-ClickHouse-Server-Display-Name", "tally")
        self.send_header("X-ClickHouse-Summary", json.dumps(summary or {}))
        if shown is not None:
            self.send_header("X-ClickHouse-Format", shown)
            kind = "text/plain" if "Separated" in shown or shown.startswith("T") else "application/octet-stream"
            self.send_header("Content-Type", f"{kind}; charset=UTF-8")

    def _refuse(self, problem: Problem) -> None:
        body = f"{problem.text} (version {self.server.engine.version})\n".encode(errors="surrogateescape")
        self.send_response(problem.status)
        if problem.status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="tally"')
        self.send_header("X-ClickHouse-Exception-Code", str(problem.code))
        self.send_header("X-ClickHouse-Query-Id", self.query_id)
        self._finish(body, "text/plain; charset=UTF-8")

    def _plain(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self._finish(body, kind)

    def _finish(self, body: bytes, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
