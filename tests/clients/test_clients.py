"""Clients of ClickHouse in other languages read the views through `tally serve`, to the last digit.

What clickhouse-connect answers to the same queries of the same server is what each must answer. Java's and Node's run
with the ordinary suite; Go's is `slow`, since its first build takes a minute of a core. A missing tool skips; a client
that cannot be fetched or built skips too, or fails with CI=true, where `.ci/run` has seen to Java's tools.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from tests.clients import tools
from tests.clients.reads import Address, Answer, ours, read_answers, write_queries

# One server for all of them: the same worker.
pytestmark = pytest.mark.xdist_group("clients")

BIG = 2**127 - 1
EDGES = f"""
SELECT toInt128('{-BIG - 1}') AS least, toInt128('{BIG}') AS most, toUInt64({2**64 - 1}) AS positions,
    toUInt128('{2**128 - 1}') AS version, CAST('12345678901234567890.123456789012345678' AS Decimal(38, 18)) AS amount,
    CAST('-0.000000000000000001' AS Decimal(38, 18)) AS smallest, CAST('-20.50' AS Decimal(38, 18)) AS credit,
    CAST(NULL AS Nullable(Int128)) AS no_number, CAST(NULL AS Nullable(Decimal(38, 18))) AS no_amount,
    CAST(NULL AS Nullable(DateTime64(6, 'UTC'))) AS no_instant, toNullable(toInt64(-9)) AS a_number,
    toDateTime64('2026-11-01 23:59:59.000001', 6, 'UTC') AS late, toDateTime('2026-03-29 01:30:00', 'UTC') AS hour,
    toLowCardinality('error') AS category, toLowCardinality(CAST(NULL AS Nullable(String))) AS nothing,
    '' AS empty, 'tab\\there, line\\nend, back\\\\slash, ''quote'', é, 𝄞' AS text, true AS yes
""".replace("\n", " ").strip()

BY_ORG = "SELECT * FROM usage_daily WHERE org_id = {org:UInt64} ORDER BY ALL"
SUMS = "SELECT count() AS c, sum(quantity) AS q, max(max_quantity) AS m FROM usage_hourly WHERE org_id = {org:UInt64}"
PROGRESS = "SELECT topic, partition, place, clock, watermark, finite, quantity FROM active_progress ORDER BY ALL"
STREAM = (
    "SELECT number AS n, toInt128(number) * 1000000007 * n AS square, concat('row ', toString(n)) AS text, "
    "if(n % 3 = 0, NULL, n) AS some, toLowCardinality(toString(n % 100)) AS one_of, "
    "addMicroseconds(toDateTime64('2026-11-01 00:00:00', 6, 'UTC'), n) AS at FROM numbers(100000) ORDER BY n"
)
NOTHING = "SELECT org_id, day, quantity, category FROM usage_daily WHERE org_id = 0"
QUERIES: list[tuple[str, ...]] = [
    (BY_ORG, "2"),
    (SUMS, "1"),
    ("SELECT complete_to FROM complete_to",),
    ("SELECT * FROM charges ORDER BY ALL LIMIT 300",),
    (PROGRESS,),
    (EDGES,),
    (STREAM,),
    (NOTHING,),
]
NO_TABLE = "SELECT * FROM no_such_view"
NO_SYNTAX = "SELECT quantity FROM usage WERE org_id = 1"
LATE = (
    "SELECT number, repeat('x', 200) AS text, throwIf(number = 60000) AS thrown FROM numbers(80000) "
    "SETTINGS max_block_size = 5000"
)
CLIENTS = [
    pytest.param(tools.java, id="clickhouse-jdbc"),
    pytest.param(tools.node, id="clickhouse-js"),
    pytest.param(tools.golang, id="clickhouse-go", marks=pytest.mark.slow),
]


def asked(
    made: Callable[[], list[str]],
    address: Address,
    folder: Path,
    queries: Sequence[tuple[str, ...]],
) -> list[Answer]:
    """Ask queries with a client, in a zone that is not UTC. Skips where the client cannot be had."""
    try:
        command = made()
    except tools.NoTool as missing:
        if made is tools.java and os.environ.get("CI") == "true":
            pytest.fail(f"a JVM and Maven are required here: {missing}", pytrace=False)
        pytest.skip(str(missing))
    except tools.NoClient as problem:
        if os.environ.get("CI") == "true":
            pytest.fail(str(problem), pytrace=False)
        pytest.skip(str(problem))
    write_queries(folder / "queries", queries)
    said = subprocess.run(
        [*command, *map(str, address), str(folder / "queries")],
        check=False,
        capture_output=True,
        timeout=120,
        env={**os.environ, "TZ": "America/New_York"},
    )
    assert said.returncode == 0, said.stderr.decode(errors="replace")[-2000:]
    return read_answers(said.stdout.decode())


@pytest.mark.parametrize("made", CLIENTS)
def test_a_client_reads_what_clickhouse_connect_reads(
    made: Callable[[], list[str]], address: Address, connected: Client, tmp_path: Path
) -> None:
    answers = asked(made, address, tmp_path, QUERIES)
    assert len(answers) == len(QUERIES)
    for query, answer in zip(QUERIES, answers, strict=True):
        expected = ours(connected, *query)
        assert (answer.query, answer.error) == (expected.query, "")
        if expected.rows or made is not tools.golang:
            assert answer.columns == expected.columns
        assert len(answer.rows) == len(expected.rows), query
        for got, wanted in zip(answer.rows, expected.rows, strict=True):
            assert got == wanted, query
    counts = [len(answer.rows) for answer in answers]
    assert counts[2] == 1
    assert counts[6] == 100_000
    assert counts[7] == 0
    assert all(count for place, count in enumerate(counts) if place != 7)


@pytest.mark.parametrize("made", CLIENTS)
def test_a_client_is_told_of_errors_early_and_late(
    made: Callable[[], list[str]], address: Address, tmp_path: Path
) -> None:
    queries = ((NO_TABLE,), (NO_SYNTAX,), (LATE,), ("SELECT 1 AS one",))
    no_table, no_syntax, late, after = asked(made, address, tmp_path, queries)
    assert (no_table.error, no_table.rows) == ("60", [])
    assert (no_syntax.error, no_syntax.rows) == ("62", [])
    # Rows were on their way already when it came: no client takes what it has for the whole.
    assert late.error
    assert len(late.rows) <= 60_000
    assert (after.rows, after.error) == ([["1"]], "")


def test_the_jdbc_driver_lists_views_and_their_columns_as_tools_ask_for_them(
    address: Address, connected: Client, tmp_path: Path
) -> None:
    tables, columns = asked(tools.java, address, tmp_path, [("@tables",), ("@columns usage_daily",)])
    name = tables.columns.index("TABLE_NAME")
    found = connected.query("SELECT name FROM system.tables WHERE database = 'tally'").result_rows
    assert sorted(row[name] for row in tables.rows) == sorted(row[0] for row in found)
    place, kind = columns.columns.index("COLUMN_NAME"), columns.columns.index("TYPE_NAME")
    described = connected.query("DESCRIBE TABLE usage_daily").result_rows
    assert [(row[place], row[kind]) for row in columns.rows] == [row[:2] for row in described]
