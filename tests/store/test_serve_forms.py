"""Two forms of an answer that clients of other languages ask for: Native with flags, ClickHouse's compressed frames."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.block  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.serve.frames import Frames, checksum
from sinks.store import open_store
from tests.store.serving import ServerProcess
from tests.store.test_serve_http import Wire

COLUMNS = [
    "toUInt8(number)",
    "number = 1",
    "toDate('2026-11-01') + number",
    "toDateTime('2026-11-01 00:00:00', 'UTC') + number",
    "addMicroseconds(toDateTime64('2026-11-01 00:00:00', 6, 'UTC'), number)",
    "toInt128(number) * -7",
    "toDecimal32(number, 2)",
    "toDecimal64(number, 4)",
    "CAST(number AS Decimal(38, 18))",
    "toDecimal256(number, 30)",
    "toString(number)",
    "repeat('long ', 40 + number)",
    "toFixedString('abc', 3)",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
    "CAST('it''s, (one)' AS Enum8('it''s, (one)' = 1, 'two' = 2))",
    "if(number % 2, NULL, number)",
    "CAST(if(number % 2, NULL, toString(number)) AS Nullable(String))",
    "toLowCardinality(toString(number))",
    "CAST(if(number % 3, NULL, toString(number)) AS LowCardinality(Nullable(String)))",
    "range(number % 4)",
    "arrayMap(x -> toLowCardinality(toString(x)), range(number % 3))",
    "arrayMap(x -> range(x), range(number % 4))",
    "emptyArrayToSingle(CAST([] AS Array(LowCardinality(String))))",
    "map(toString(number), number)",
    "CAST(map('a', number) AS Map(LowCardinality(String), UInt64))",
    "(number, toString(number), toLowCardinality('x'))",
    "CAST((number, 'b') AS Tuple(`a name, so` UInt64, b String))",
    "CAST([(number, 'x')] AS Nested(a UInt64, b LowCardinality(String)))",
    "toIPv4('127.0.0.1')",
    "toInt64(number)",
]
HEAD = b"\x01\x00\x02\xff\xff\xff\xff\x00"


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    opened = Wire(server)
    yield opened
    opened.connection.close()


def native(wire: Wire, sql: str, **url: str) -> bytes:
    status, _, body = wire.ask(body=sql, default_format="Native", **url)
    assert status == 200, body
    return body


def parts(block: bytes, rows: int) -> tuple[bytes, bytes]:
    """Return name and type, and the values, of a block with one column."""
    start = 1 + (1 if rows < 128 else 2)
    assert block[0] == 1
    named = start + 1 + block[start]
    typed = named + 1 + block[named]
    # A type's name of 128 bytes or more would have a length of two bytes.
    assert block[named] < 128
    return block[start:typed], block[typed:]


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_each_column_of_a_flagged_block_says_that_it_is_written_plainly(wire: Wire, rows: int) -> None:
    """A block with one column shows where its values begin; one with all of them must be those put together."""
    # From a table: what stands below a NULL is then the same whatever else is asked for.
    every = ", ".join(f"{column} AS c{place}" for place, column in enumerate(COLUMNS))
    wire.ask(body="DROP TABLE IF EXISTS forms")
    made = "CREATE TABLE forms ENGINE = MergeTree ORDER BY id AS SELECT number AS id"
    status, _, body = wire.ask(body=f"{made}, {every} FROM numbers(300)")
    assert status == 200, body
    told, names = [], [*(f"c{place}" for place in range(len(COLUMNS))), "NULL"]
    for name in names:
        sql = f"SELECT {name} FROM forms WHERE id < {rows}"
        plain = native(wire, sql)
        about, values = parts(plain, rows)
        told.append(about + b"\x00" + values)
        count = plain[1 : len(plain) - len(about) - len(values)]
        assert native(wire, sql, client_protocol_version="54460") == HEAD + b"\x01" + count + told[-1], name
    whole = native(wire, f"SELECT {', '.join(names)} FROM forms WHERE id < {rows}", client_protocol_version="54460")
    assert whole == HEAD + bytes([len(names)]) + count + b"".join(told)


def test_blocks_follow_each_other_and_older_clients_get_none_of_it(wire: Wire) -> None:
    sql = "SELECT number, toString(number) AS s FROM numbers(300000) SETTINGS max_block_size = 10000"
    plain = native(wire, sql)
    assert native(wire, sql, client_protocol_version="54405") == plain
    flagged = native(wire, sql, client_protocol_version="54460")
    blocks = flagged.count(HEAD + b"\x02")
    assert blocks > 1
    assert len(flagged) == len(plain) + blocks * (len(HEAD) + 2)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("TabSeparatedWithNames", "TabSeparated"),
        ("TSVWithNamesAndTypes", "TSV"),
        ("JSONCompactEachRowWithNames", "JSONCompactEachRow"),
        ("JSONCompactEachRowWithNamesAndTypes", "JSONCompactEachRow"),
        ("RowBinaryWithNames", "RowBinary"),
        ("RowBinaryWithNamesAndTypes", "RowBinary"),
    ],
)
def test_an_answer_of_many_blocks_has_one_header(wire: Wire, name: str, plain: str) -> None:
    """What JDBC and JavaScript ask for comes as it is made, in bounded memory; the engine heads every block."""
    columns = "SELECT number AS `a\n\tname`, toString(number) AS s, [number] AS list FROM numbers(100000)"
    sql, none = f"{columns} SETTINGS max_block_size = 1000", f"{columns} WHERE number > 100000"
    header, body = (wire.ask(body=asked, default_format=name)[2] for asked in (none, sql))
    assert body == header + wire.ask(body=sql, default_format=plain)[2]
    assert b"name" in header
    assert (b"Array(UInt64)" in header) == name.endswith("Types")


def test_a_type_that_is_not_known_is_refused_with_what_to_do(wire: Wire) -> None:
    sql = "SELECT CAST(number AS Variant(UInt64, String)) AS v FROM numbers(3)"
    status, headers, body = wire.ask(body=sql, default_format="Native", client_protocol_version="54460")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert b"cast it to String" in body


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each frame's checksum and the rest of it."""
    at = 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 17)[0]
        yield data[at : at + 16], data[at + 16 : at + 16 + size]
        at += 16 + size
    assert at == len(data)


def unpacked(data: bytes) -> bytes:
    out = b""
    for told, frame in frames(data):
        assert told == checksum(frame)
        assert frame[0] == 0x82
        out += lz4.block.decompress(frame[9:], uncompressed_size=struct.unpack_from("<I", frame, 5)[0])
    return out


def test_the_checksum_is_the_engines_own(tmp_path: Path) -> None:
    """A column's file is made of the same frames, with the engine's checksums: of many sizes, also small ones."""
    seen: set[int] = set()
    with open_store(f"chdb:{tmp_path / 'store'}") as store:
        for rows in [*range(1, 40), 200, 3_000, 70_000]:
            store.command(f"DROP TABLE IF EXISTS t{rows} SYNC")
            store.command(
                f"CREATE TABLE t{rows} (a UInt8 CODEC(NONE), s String CODEC(LZ4), r UInt64 CODEC(NONE)) "
                "ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0"
            )
            store.command(
                f"INSERT INTO t{rows} SELECT number, toString(number), sipHash64(number) FROM numbers({rows})"
            )
        for path in (tmp_path / "store").rglob("*.bin"):
            for told, frame in frames(path.read_bytes()):
                assert told == checksum(frame), (path, len(frame))
                seen.add(len(frame))
    # Short ones, each length around the hash's limits of 16, 32 and 128 bytes, and long ones.
    assert {11, 15, 16, 17, 31, 32, 33} <= seen
    assert len([size for size in seen if size < 128]) > 40
    assert max(seen) > 60_000


@given(st.lists(st.binary(max_size=5_000), max_size=5), st.integers(0, 3))
def test_frames_hold_what_went_in(pieces: list[bytes], millions: int) -> None:
    packer, data = Frames(), [*pieces, bytes(millions * 1_000_000)]
    assert unpacked(b"".join(map(packer.compress, data)) + packer.flush()) == b"".join(data)


def test_an_answer_comes_in_frames_where_the_client_asks(wire: Wire) -> None:
    sql = "SELECT number, toString(number) FROM numbers(300000)"
    plain = wire.ask(body=sql)[2]
    status, headers, packed = wire.ask(body=sql, compress="1")
    assert status == 200
    assert "Content-Encoding" not in headers
    assert unpacked(packed) == plain
    assert len(packed) < len(plain)
    # An error is told as it always is: its status and headers say that no answer follows.
    status, headers, body = wire.ask(body="SELECT * FROM nowhere", compress="1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "60")
    assert body.startswith(b"Code: 60.")


def test_packed_requests_are_refused_with_what_to_do(wire: Wire) -> None:
    status, headers, body = wire.ask(body="SELECT 1", decompress="1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert b"Content-Encoding" in body


@given(st.binary(min_size=8, max_size=400), st.data())
def test_a_checksum_sees_every_byte(data: bytes, chosen: Any) -> None:
    at = chosen.draw(st.integers(0, len(data) - 1))
    other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert len({checksum(each) for each in (data, other, *[data[:-1]] * (len(data) > 8))}) == 2 + (len(data) > 8)
