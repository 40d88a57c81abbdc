"""The HTTP protocol on the wire: what a browser, curl or another client's library may send."""

import gzip
import http.client
import socket
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import lz4.frame  # type: ignore[import-untyped]  # it has no types
import pytest
from backports import zstd

from sinks.serve.statements import read_statement
from tests.store.serving import ServerProcess

Answer = tuple[int, dict[str, str], bytes]
AUTH = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "a secret/:@"}


class Wire:
    """One kept connection."""

    def __init__(self, server: ServerProcess) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def ask(self, method: str = "POST", body: Any = None, headers: Any = None, path: Any = "/", **url: str) -> Answer:
        target = f"{path}?{urlencode(url)}" if url else path
        chunked = not isinstance(body, bytes | str | None)
        self.connection.request(method, target, body, AUTH if headers is None else headers, encode_chunked=chunked)
        answer = self.connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    opened = Wire(server)
    yield opened
    opened.connection.close()


def test_probes_need_no_password(wire: Wire) -> None:
    assert wire.ask("GET", headers={}, path="/ping")[::2] == (200, b"Ok.\n")
    assert wire.ask("HEAD", headers={}, path="/ping")[0] == 200
    assert wire.ask("GET", headers={}, path="/elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("headers", "url", "status"),
    [
        ({}, {}, 401),
        ({"X-ClickHouse-User": "default", "X-ClickHouse-Key": "wrong"}, {}, 401),
        ({"X-ClickHouse-Key": "a secret/:@"}, {}, 200),
        ({"Authorization": "Basic " + b64encode(b"default:a secret/:@").decode()}, {}, 200),
        ({"Authorization": "Basic " + b64encode(b"default:a secret").decode()}, {}, 401),
        ({"Authorization": "Basic %%%"}, {}, 401),
        ({"Authorization": "Bearer abc"}, {}, 401),
        ({}, {"user": "default", "password": "a secret/:@"}, 200),
        ({}, {"password": "a secret/:@"}, 200),
        ({}, {"user": "other", "password": "a secret/:@"}, 401),
        ({"Authorization": "Basic " + b64encode(b"default:wrong").decode()}, {"password": "a secret/:@"}, 401),
    ],
)
def test_three_ways_to_give_the_password(wire: Wire, headers: dict[str, str], url: dict[str, str], status: int) -> None:
    got, answer, body = wire.ask(body="SELECT 1", headers=headers, **url)
    assert got == status
    if status == 401:
        assert answer["X-ClickHouse-Exception-Code"] == "516"
        assert "Basic" in answer["WWW-Authenticate"]
        assert body.startswith(b"Code: 516. DB::Exception: ")
        assert b"(AUTHENTICATION_FAILED)" in body
    else:
        assert body == b"1\n"


def test_a_get_reads_and_never_writes(wire: Wire) -> None:
    assert wire.ask("GET", query="SELECT 1 + 1 FORMAT CSV")[::2] == (200, b"2\n")
    assert wire.ask("GET")[::2] == (200, b"Ok.\n")
    for sql in (
        "CREATE TABLE g (a UInt8) ENGINE = Memory",
        "INSERT INTO g VALUES (1)",
        "SET max_threads = 1",
        "DROP TABLE g",
    ):
        status, headers, _ = wire.ask("GET", query=sql)
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (403, "164")


def test_a_result_has_its_headers(wire: Wire) -> None:
    status, headers, body = wire.ask(body="SELECT 1 AS a", query_id="mine", default_format="JSONEachRow")
    assert (status, body) == (200, b'{"a":1}\n')
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    status, headers, body = wire.ask(body="CREATE TABLE IF NOT EXISTS h (a UInt64) ENGINE = MergeTree ORDER BY a")
    assert (status, body) == (200, b"")
    assert "X-ClickHouse-Format" not in headers
    _, headers, _ = wire.ask(body="INSERT INTO h VALUES (1), (2)")
    assert '"written_rows": "2"' in headers["X-ClickHouse-Summary"]


def test_an_insert_that_fails_after_parsing_is_an_error(wire: Wire) -> None:
    """The engine's streaming inserts would report these rows as written."""
    wire.ask(body="CREATE TABLE small (a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a")
    for sql in ("INSERT INTO small VALUES (9)", "INSERT INTO small (a) SETTINGS async_insert = 0 FORMAT CSV\n1\n9\n"):
        status, headers, body = wire.ask(body=sql)
        assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "469")
        assert b"VIOLATED_CONSTRAINT" in body
    assert wire.ask(body="INSERT INTO small (a) SETTINGS async_insert = 0 FORMAT CSV\n1\n2\n")[0] == 200
    assert wire.ask(body="SELECT count() FROM small")[2] == b"2\n"


@pytest.mark.parametrize(
    ("sql", "url", "expected"),
    [
        ("SELECT 1, 'a'", {}, b"1\ta\n"),
        ("SELECT 1;", {}, b"1\n"),
        ("SELECT 1 AS n FORMAT JSONCompact", {"default_format": "CSV"}, b'"data"'),
        ("SELECT 'FORMAT CSV' AS x", {"default_format": "CSVWithNames"}, b'"x"\n"FORMAT CSV"\n'),
        ("SELECT number FROM numbers(3) FORMAT Values", {}, b"(0),(1),(2)"),
        ("WITH 5 AS x SELECT x SETTINGS max_threads = 1 FORMAT CSV", {}, b"5\n"),
        ("(SELECT 1) UNION ALL (SELECT 1)", {}, b"1\n1\n"),
        ("-- a comment\n/* don't /* nest */ (it */ SELECT 3", {}, b"3\n"),
        ("SELECT {a:String}", {"param_a": "x"}, b"x\n"),
        ("SELECT getSetting('max_block_size')", {"max_block_size": "33"}, b"33\n"),
        ("SELECT currentDatabase()", {"database": "system"}, b"system\n"),
        (
            "SELECT number % 2 AS p, count() FROM numbers(4) GROUP BY p WITH TOTALS ORDER BY p",
            {},
            b"0\t2\n1\t2\n\n0\t4\n",
        ),
        ("SHOW DATABASES LIKE 'tally'", {}, b"tally\n"),
    ],
)
def test_queries(wire: Wire, sql: str, url: dict[str, str], expected: bytes) -> None:
    for extra in ({}, {"wait_end_of_query": "1"}):
        status, _, body = wire.ask(body=sql, **url, **extra)
        assert status == 200, body
        assert expected in body if expected == b'"data"' else body == expected
    assert wire.ask("GET", query=sql, **url)[2] == wire.ask(body=sql, **url)[2] or expected == b'"data"'


def test_the_query_may_stand_in_the_url_and_the_data_in_the_body(wire: Wire) -> None:
    wire.ask(body="DROP TABLE IF EXISTS u")
    wire.ask(body="CREATE TABLE u (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    data = b"".join(b'%d,"SELECT 1; FORMAT TSV"\n' % n for n in range(100_000))
    bodies = [
        ({}, data),
        ({"Content-Encoding": "gzip"}, gzip.compress(data, mtime=0)),
        ({"Content-Encoding": "gzip"}, gzip.compress(data[:3_800], mtime=0) + gzip.compress(data[3_800:], mtime=0)),
        ({"Content-Encoding": "zstd"}, zstd.compress(data[:3_800]) + zstd.compress(data[3_800:])),
        ({"Content-Encoding": "lz4"}, lz4.frame.compress(data)),
        ({"Transfer-Encoding": "chunked"}, (data[at : at + 7777] for at in range(0, len(data), 7777))),
    ]
    for headers, body in bodies:
        status, answer, text = wire.ask(body=body, headers={**AUTH, **headers}, query="INSERT INTO u FORMAT CSV")
        assert status == 200, text
        assert '"written_rows": "100000"' in answer["X-ClickHouse-Summary"]
    assert wire.ask(body="SELECT count(), uniqExact(a), uniqExact(s) FROM u")[2] == b"600000\t100000\t1\n"
    assert wire.ask(body=" + 1", query="SELECT 1")[2] == b"2\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, b"not gzip"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"1\n" * 10_000, mtime=0)[:-20]),
        ({"Content-Encoding": "zstd"}, zstd.compress(b"1\n" * 10_000)[:-3]),
        ({"Content-Encoding": "lz4"}, lz4.frame.compress(b"1\n" * 10_000)[:-9]),
        ({"Content-Encoding": "br"}, b"1\n"),
    ],
)
def test_a_body_that_cannot_be_unpacked_inserts_nothing(wire: Wire, headers: dict[str, str], body: bytes) -> None:
    wire.ask(body="CREATE OR REPLACE TABLE v (a UInt64) ENGINE = MergeTree ORDER BY a")
    status, answer, _ = wire.ask(body=body, headers={**AUTH, **headers}, query="INSERT INTO v FORMAT CSV")
    assert status >= 400
    assert "X-ClickHouse-Exception-Code" in answer
    wire.connection.close()
    assert wire.ask(body="SELECT count() FROM v")[2] == b"0\n"


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_client_that_dies_in_an_insert_inserts_nothing(wire: Wire, server: ServerProcess, how: str) -> None:
    wire.ask(body="CREATE OR REPLACE TABLE w (a UInt64) ENGINE = MergeTree ORDER BY a")
    head = "POST /?query=INSERT+INTO+w+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: a secret/:@\r\n"
    head += "Content-Length: 1000\r\n\r\n" if how == "length" else "Transfer-Encoding: chunked\r\n\r\n4\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head.encode() + b"1\n2\n" + (b"" if how == "length" else b"\r\n8\r\n3\n"))
        raw.shutdown(socket.SHUT_WR)
        assert b"UNEXPECTED_END_OF_FILE" in raw.makefile("rb").read()
    assert wire.ask(body="SELECT count() FROM w")[2] == b"0\n"


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_answers_are_packed_where_the_client_asks(wire: Wire, encoding: str) -> None:
    unpack: Any = {"gzip": gzip.decompress, "lz4": lz4.frame.decompress, "zstd": zstd.decompress}[encoding]
    sql, headers = "SELECT number FROM numbers(200000)", {**AUTH, "Accept-Encoding": f"br, {encoding};q=0.9"}
    plain = wire.ask(body=sql)[2]
    status, answer, body = wire.ask(body=sql, headers=headers, enable_http_compression="1")
    assert (status, answer["Content-Encoding"]) == (200, encoding)
    assert unpack(body) == plain
    assert "Content-Encoding" not in wire.ask(body=sql, headers=headers)[1]
    assert unpack(wire.ask(body="SELECT 1 WHERE 0", headers=headers, enable_http_compression="1")[2]) == b""


def test_forms_carry_queries_and_files_are_refused(wire: Wire) -> None:
    def form(extra: str = "") -> tuple[dict[str, str], bytes]:
        part = '--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        body = (
            part % ("query", "SELECT {x:String}")
            + part % ("param_x", "é\n1".replace("\n", "\\n"))
            + extra
            + "--b--\r\n"
        )
        return {**AUTH, "Content-Type": "multipart/form-data; boundary=b"}, body.encode()

    headers, body = form()
    assert wire.ask(body=body, headers=headers)[::2] == (200, "é\\n1\n".encode())
    file = '--b\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n'
    headers, body = form(file)
    status, answer, _ = wire.ask(body=body, headers=headers)
    assert (status, answer["X-ClickHouse-Exception-Code"]) == (501, "48")


def test_one_session_answers_one_query_at_a_time(wire: Wire, server: ServerProcess) -> None:
    other = Wire(server)
    wire.connection.request(
        "POST", "/?session_id=s1", "SELECT sleepEachRow(0.2) FROM numbers(10) SETTINGS max_block_size = 1", AUTH
    )
    codes = set()
    while "373" not in codes:
        codes.add(other.ask(body="SELECT 1", session_id="s1")[1].get("X-ClickHouse-Exception-Code"))
        assert other.ask(body="SELECT 1", session_id="s2")[2] == b"1\n"
    assert wire.connection.getresponse().read().count(b"\n") == 10
    assert other.ask(body="SELECT 1", session_id="s1")[2] == b"1\n"
    other.connection.close()


@pytest.mark.parametrize(
    "request_line",
    ["GARBAGE", "POST / HTTP/9.9", "GET /?query=%ff%fe HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: x"],
)
def test_garbage_does_no_harm(wire: Wire, server: ServerProcess, request_line: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(request_line.encode() + b"\r\nX-ClickHouse-Key: a secret/:@\r\nConnection: close\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(10)
        while raw.recv(65536):
            pass
    assert wire.ask(body="SELECT 1")[2] == b"1\n"


@pytest.mark.parametrize(
    ("sql", "kind", "result", "named", "data"),
    [
        ("SELECT 1", "SELECT", True, None, None),
        ("select 1 format csv", "SELECT", True, "csv", None),
        ("SELECT format FROM t", "SELECT", True, None, None),
        ("SELECT 1 FORMAT `CSV` SETTINGS a = 1;", "SELECT", True, "`CSV`", None),
        ("SELECT 'it''s FORMAT CSV'", "SELECT", True, None, None),
        ("SELECT (1 FORMAT CSV)", "SELECT", True, None, None),
        ("SELECT $$ FORMAT CSV $$", "SELECT", True, None, None),
        ("CREATE TABLE t (a UInt8)", "CREATE", False, None, None),
        ("CREATE TEMPORARY TABLE t (a UInt8)", "CREATE", False, None, None),
        ("insert into t format csv\n1\n", "INSERT", False, "csv", "1\n"),
        ("INSERT INTO t FORMAT CSV 1\n", "INSERT", False, "CSV", "1\n"),
        ("INSERT INTO t FORMAT CSV \r\n\n1", "INSERT", False, "CSV", "\n1"),
        (
            "INSERT INTO t (a, `FORMAT`) SETTINGS x = 'VALUES' FORMAT RowBinary\n\x00",
            "INSERT",
            False,
            "RowBinary",
            "\x00",
        ),
        ("INSERT INTO values VALUES (1)", "INSERT", False, "Values", " (1)"),
        ("INSERT INTO TABLE db.format FORMAT TSV\n1", "INSERT", False, "TSV", "1"),
        ("INSERT INTO FUNCTION null('a UInt8') VALUES (1)", "INSERT", False, "Values", " (1)"),
        ("INSERT INTO t SELECT 1 FORMAT CSV", "INSERT", False, None, None),
        ("INSERT INTO t WITH 1 AS x SELECT x", "INSERT", False, None, None),
        ("INSERT INTO t (a) -- FORMAT TSV\n VALUES (1)", "INSERT", False, "Values", " (1)"),
        ("/* don't /* nest */ (it */ SELECT 1 FORMAT CSV", "SELECT", True, "CSV", None),
        ("/* never closed SELECT 1", "", False, None, None),
        ("", "", False, None, None),
    ],
)
def test_statements_are_understood(sql: str, kind: str, result: bool, named: str | None, data: str | None) -> None:
    found = read_statement(sql.encode())
    assert (found.kind, found.has_result, found.format) == (kind, result, named)
    assert (None if found.data_at is None else sql.encode()[found.data_at :].decode()) == data
    assert found.stateful == ("TEMPORARY" in sql)
