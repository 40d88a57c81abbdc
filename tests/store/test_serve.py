"""`tally serve`'s server under an unmodified clickhouse-connect HTTP client."""

import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from schemas.errors import SettingsError, StoreBusy
from sinks.serve import StoreServer
from tests.store.serving import ServerProcess


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("serve") / "store", password="pass word:/@é") as server:
        yield server


def connect(server: ServerProcess, **options: Any) -> Client:
    plain: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "username": "default",
        "password": server.password,
    }
    return clickhouse_connect.get_client(**{**plain, **options})


@pytest.fixture(params=[True, False, "gzip", "lz4", "zstd"], ids=lambda value: f"compress={value}")
def client(own: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Client]:
    opened = connect(own, compress=request.param)
    opened.command("DROP TABLE IF EXISTS t")
    opened.command(
        "CREATE TABLE t (a UInt64, s String, d Decimal(38, 18), at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY a"
    )
    yield opened
    opened.close()


@pytest.fixture
def plain(own: ServerProcess) -> Iterator[Client]:
    opened = connect(own)
    yield opened
    opened.close()


ROWS = [
    [n, f"s{n}\n\t'\\é", Decimal(n) / 8, dt.datetime(2026, 11, 22, 12, 0, n % 60, n, tzinfo=dt.UTC)]
    for n in range(2000)
]
COLUMNS = ["a", "s", "d", "at"]


def test_connect_ddl_and_commands(client: Client) -> None:
    assert client.ping()
    assert client.server_tz == dt.UTC
    assert client.command("SELECT currentDatabase()") == "tally"
    assert client.command("SELECT 1, 'x'") == ["1", "x"]
    assert client.command("EXISTS TABLE t") == 1
    assert client.command("SELECT a FROM t") == ""
    assert "CREATE TABLE" in str(client.command("SHOW CREATE TABLE t"))
    assert client.query("DESCRIBE TABLE t").result_rows[0][:2] == ("a", "UInt64")


def test_insert_rows_and_read_them_back(client: Client) -> None:
    assert client.insert("t", ROWS, column_names=COLUMNS).written_rows == len(ROWS)
    result = client.query("SELECT * FROM t ORDER BY a", query_tz="UTC")
    assert result.column_names == tuple(COLUMNS)
    assert [row[:3] for row in result.result_rows] == [tuple(row[:3]) for row in ROWS]
    assert client.query(
        "SELECT count() FROM t WHERE at = {at:DateTime64(6)}", parameters={"at": ROWS[3][3]}
    ).first_row == (1,)


def test_insert_arrow_and_query_arrow(client: Client) -> None:
    table = pa.table({"a": pa.array(range(50_000), pa.uint64()), "s": pa.array(["é"] * 50_000)})
    assert client.insert_arrow("t", table).written_rows == 50_000
    back = client.query_arrow("SELECT a, s FROM t ORDER BY a")
    assert back["a"].to_pylist() == list(range(50_000))
    assert client.query_arrow("SELECT a, s FROM t WHERE a > 50000").num_rows == 0
    with client.query_arrow_stream("SELECT a, s FROM t") as blocks:
        assert sum(block.num_rows for block in blocks) == 50_000


def test_data_frames_and_streams(client: Client) -> None:
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(200000)")
    assert frame["n"].sum() == sum(range(200_000))
    client.insert_df("t", frame.rename(columns={"n": "a"}))
    with client.query_row_block_stream("SELECT a FROM t") as blocks:
        assert sum(len(block) for block in blocks) == 200_000
    with client.query_df_stream("SELECT a FROM t") as frames:
        assert sum(len(one) for one in frames) == 200_000
    assert client.raw_query("SELECT a FROM t ORDER BY a LIMIT 2", fmt="CSV") == b"0\n1\n"
    with client.raw_stream("SELECT a FROM t", fmt="JSONEachRow") as raw:
        assert raw.read().count(b"\n") == 200_000


def test_raw_inserts_in_text_and_binary_formats(client: Client) -> None:
    client.raw_insert("t", ["a", "s"], '1,"x"\n2,y\n', fmt="CSV")
    client.raw_insert("t", ["a", "s"], b'{"a": 3, "s": "z"}\n', fmt="JSONEachRow")
    client.raw_insert("t", ["a", "s"], (piece for piece in [b"4\tb", b"\n5\tc\n"]), fmt="TSV")
    client.command("INSERT INTO t (a, s) VALUES (6, 'd;\\''), (7, 'FORMAT CSV')")
    client.command("INSERT INTO t (a, s) SELECT number, 'n' FROM numbers(8, 2)")
    client.query("INSERT INTO t (a, s) VALUES (10, 'q')")
    rows = client.query("SELECT a, s FROM t ORDER BY a").result_rows
    assert [row[1] for row in rows] == ["x", "y", "z", "b", "c", "d;'", "FORMAT CSV", "n", "n", "q"]


NASTY = "a'b\\c\nd\te{x:String}%s é😀"


def test_server_side_binding(client: Client) -> None:
    [row] = client.query(
        "SELECT {s:String}, {n:UInt64}, {d:Decimal(38,18)}, {l:Array(String)}, {t:DateTime64(6)}, {z:Nullable(String)}",
        parameters={
            "s": NASTY,
            "n": 2**64 - 1,
            "d": Decimal("1.000000000000000001"),
            "l": [NASTY, ""],
            "t": ROWS[7][3],
            "z": None,
        },
    ).result_rows
    assert row[:4] == (NASTY, 2**64 - 1, Decimal("1.000000000000000001"), [NASTY, ""])
    assert row[5] is None
    assert client.query("SELECT length({s:String})", parameters={"s": "x" * 20_000}).first_row == (20_000,)
    assert client.command("SELECT {s:String} = 'x'", parameters={"s": "x"}) == 1


def test_client_side_binding(client: Client) -> None:
    assert client.query("SELECT %(s)s, %(n)s", parameters={"s": NASTY, "n": 5}).first_row == (NASTY, 5)
    assert client.query("SELECT %s", parameters=[NASTY]).first_row == (NASTY,)


def test_an_unbound_parameter_is_an_error_also_after_it_was_bound(plain: Client) -> None:
    assert plain.query("SELECT {x:UInt8}", parameters={"x": 3}).first_row == (3,)
    with pytest.raises(DatabaseError) as caught:
        plain.query("SELECT {x:UInt8}")
    assert caught.value.code == 456


def setting(client: Client, name: str) -> str:
    sql = "SELECT value FROM system.settings WHERE name = {n:String}"
    return str(client.query(sql, parameters={"n": name}).result_rows[0][0])


def test_settings_count_for_one_query(own: ServerProcess) -> None:
    client = connect(own, autogenerate_session_id=False)
    default = setting(client, "max_block_size")
    sql = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    for value in ("77", "78", "77"):
        assert client.query(sql, settings={"max_block_size": value}).first_row == (value,)
        assert client.query(sql).first_row == (default,)
    assert client.command(sql, settings={"max_block_size": 5}) == 5
    assert setting(client, "session_timezone") == "UTC"
    assert client.query("SELECT timezone()", settings={"session_timezone": "Asia/Tokyo"}).first_row == ("Asia/Tokyo",)
    assert client.query("SELECT timezone()").first_row == ("UTC",)


def test_a_query_cannot_leave_anything_behind(own: ServerProcess) -> None:
    client = connect(own, autogenerate_session_id=False)
    default = setting(client, "max_block_size")
    client.command("SET max_block_size = 99")
    client.command("USE system")
    for _ in range(5):
        assert setting(client, "max_block_size") == default
        assert client.command("SELECT currentDatabase()") == "tally"
    with pytest.raises(DatabaseError) as caught:
        client.command("CREATE TABLE nope (a UInt8) ENGINE = Memory", settings={"readonly": 1})
    assert caught.value.code == 164
    for _ in range(5):
        client.command("CREATE TABLE IF NOT EXISTS after (a UInt8) ENGINE = Memory")
        client.command("DROP TABLE after")


def test_an_unknown_setting_is_an_error_and_harms_no_other_query(own: ServerProcess) -> None:
    loose = connect(own, autogenerate_session_id=False)
    with pytest.raises(DatabaseError) as caught:
        loose.command("SELECT 1", transport_settings=None, settings={"max_threads": "many"})
    assert caught.value.code is not None
    assert loose.command("SELECT 1") == 1


def test_sessions_keep_what_they_set(own: ServerProcess) -> None:
    one, two = connect(own), connect(own)
    one.command("SET max_block_size = 1234")
    one.command("CREATE TEMPORARY TABLE mine (a UInt8)")
    one.command("INSERT INTO mine VALUES (5)")
    assert setting(one, "max_block_size") == "1234"
    assert one.command("SELECT a FROM mine") == 5
    assert setting(two, "max_block_size") != "1234"
    with pytest.raises(DatabaseError):
        two.command("SELECT a FROM mine")
    one.command("USE system")
    assert one.command("SELECT currentDatabase()") == "system"
    assert two.command("SELECT currentDatabase()") == "tally"


def test_a_database_may_be_chosen(own: ServerProcess) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(own, database="nowhere")
    assert caught.value.code == 81
    assert connect(own, database="system").command("SELECT count() > 10 FROM tables") == 1


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT throwIf(number = 250000) FROM numbers(300000)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT 1 FORMAT Nonsense", 73, "UNKNOWN_FORMAT"),
    ],
)
def test_errors_have_code_and_name(plain: Client, sql: str, code: int, name: str) -> None:
    for ask in (plain.command, plain.query, plain.raw_query):
        if ask == plain.query and "FORMAT" in sql:
            continue
        with pytest.raises(DatabaseError) as caught:
            ask(sql)
        assert (caught.value.code, caught.value.name) == (code, name) or isinstance(caught.value, StreamFailureError)
    assert plain.command("SELECT 1") == 1


def test_a_bad_insert_has_its_code_and_inserts_nothing(client: Client) -> None:
    for columns, data, code in ((["a"], "x\n", 117), (["a"], "-\n", 117), (["nope"], "1\n", 16)):
        with pytest.raises(DatabaseError) as caught:
            client.raw_insert("t", columns, "1\n" + data, fmt="CSV")
        assert caught.value.code in (code, 27, 72, 6)
    assert client.query("SELECT count() FROM t").first_row == (0,)


def test_an_error_in_the_middle_of_a_stream_is_seen(client: Client) -> None:
    sql = "SELECT throwIf(number = 750000), number FROM numbers(1000000) SETTINGS max_block_size = 65536"
    seen = 0

    def drain() -> None:
        nonlocal seen
        with client.query_row_block_stream(sql) as blocks:
            for block in blocks:
                seen += len(block)

    with pytest.raises(StreamFailureError, match="395"):
        drain()
    assert 0 < seen <= 750_000
    assert client.command("SELECT 1") == 1


def test_an_empty_result_has_its_columns(client: Client) -> None:
    result = client.query(
        "SELECT a, s AS text, toLowCardinality(s) FROM t WHERE a = 1 ORDER BY a LIMIT 5 SETTINGS max_threads = 1"
    )
    assert result.result_rows == []
    assert result.column_names == ("a", "text", "toLowCardinality(s)")
    assert [kind.name for kind in result.column_types] == ["UInt64", "String", "LowCardinality(String)"]
    assert client.query("SELECT a FROM t LIMIT 0").column_names == ("a",)


CLIENT = """
import sys, clickhouse_connect
port, password, name = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
c = clickhouse_connect.get_client(host="127.0.0.1", port=port, username="default", password=password)
for turn in range(20):
    c.insert("shared", [[name, turn * 500 + n] for n in range(500)], column_names=["who", "n"])
    count, total = c.query("SELECT count(), sum(n) FROM shared WHERE who = {w:UInt8}", parameters={"w": name}).first_row
    assert (count, total) == ((turn + 1) * 500, sum(range((turn + 1) * 500))), (count, total)
"""


def test_several_processes_at_once(own: ServerProcess, plain: Client) -> None:
    plain.command("DROP TABLE IF EXISTS shared")
    plain.command("CREATE TABLE shared (who UInt8, n UInt64) ENGINE = MergeTree ORDER BY who")
    command = [sys.executable, "-c", CLIENT, str(own.port), own.password]
    clients = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [process.wait(120) for process in clients] == [0, 0, 0]
    assert plain.query("SELECT count(), uniqExact(who) FROM shared").first_row == (30_000, 3)


def test_several_threads_at_once(own: ServerProcess) -> None:
    client = connect(own, autogenerate_session_id=False)
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for turn in range(20):
            sql = "SELECT sum(number) * {k:UInt64}, getSetting('max_block_size') FROM numbers({n:UInt64})"
            found = client.query(
                sql, parameters={"k": number, "n": turn * 1000}, settings={"max_block_size": 100 + number}
            ).first_row
            if found != (number * sum(range(turn * 1000)), 100 + number):
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_wrong_password_is_refused(own: ServerProcess) -> None:
    for options in ({"password": "wrong"}, {"password": ""}, {"username": "someone"}, {"username": "", "password": ""}):
        with pytest.raises(DatabaseError) as caught:
            connect(own, **options)
        assert caught.value.code == 516


def test_stopping_waits_for_what_runs(tmp_path: Path) -> None:
    server = StoreServer(tmp_path / "store", password="").start()
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, password="", autogenerate_session_id=False
    )
    answers: list[Any] = []
    while server._server._running:  # the client's own first questions: an answer arrives before it is counted as done
        pass

    def slow() -> None:
        answers.append(
            client.query("SELECT sum(sleepEachRow(0.05)) + 7 FROM numbers(20) SETTINGS max_block_size = 1").first_row
        )

    thread = threading.Thread(target=slow)
    thread.start()
    while not server._server._running:
        pass
    assert server.stop()
    assert server.stop()
    thread.join()
    assert answers == [(7.0,)]
    # The path is free again, for this process and for others.
    with StoreServer(tmp_path / "store") as again:
        assert len(again.password) > 20


def test_what_cannot_be_served_is_said(tmp_path: Path, own: ServerProcess) -> None:
    with pytest.raises(SettingsError, match="give a password"):
        StoreServer(tmp_path / "a", host="0.0.0.0", password="")  # noqa: S104 - that is the case
    with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{own.port}"):
        StoreServer(tmp_path / "b", port=own.port)
    with pytest.raises(StoreBusy, match="tally serve"):
        StoreServer(own.path)
    with StoreServer(tmp_path / "b") as free:
        assert free.port != own.port
        assert free.password not in free.public_url
