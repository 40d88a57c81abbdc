"""A database of its own in the ClickHouse engine, gone afterwards: where records are recounted in plain SQL.

An embedded store is the only one that its process can open, so the database is made within it; beside a server the
engine is embedded in this process, in a temporary folder.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from schemas.catalogue import Catalogue
from schemas.formats.base import Decoded
from schemas.formats.judge import Judged
from schemas.log import RecordBatch
from sinks.store import Row, Store, open_store
from tally.recount.formats import CATEGORIES, COLUMNS, EVENTS, SqlFormat
from tally.recount.patterns import EVENTS as EVENTS_OF_RECORD
from tally.recount.patterns import FORM, ODD

DATABASE: Final = "tally_recount"

SETTINGS: Final = (
    "SETTINGS output_format_json_escape_forward_slashes = 0, max_bytes_before_external_sort = 268435456, "
    "max_bytes_before_external_group_by = 268435456"
)
"""Of every statement: strings as JSON writes them at its shortest, and what does not fit in memory goes to disk."""

_TABLES: Final = (
    f"""
    CREATE TABLE raw (offset UInt64, ts Int64, value String CODEC(ZSTD(1)), form UInt8 MATERIALIZED {FORM})
    ENGINE = MergeTree ORDER BY offset
    """,
    "CREATE TABLE categories (id Int64, name String) ENGINE = Memory",
    "CREATE TABLE odd (offset UInt64) ENGINE = MergeTree ORDER BY offset",
    """
    CREATE TABLE events (offset UInt64, `index` UInt32, ts Int64, reason LowCardinality(String),
        not_billable LowCardinality(String), org_id UInt64, has_id Bool, event_id String,
        category LowCardinality(String), project_id UInt64, quantity Int64, timestamp Int64, dimensions String,
        borrowed Bool, value String, amount String)
    ENGINE = MergeTree ORDER BY (offset, `index`)
    """,
)
"""`raw`: records as they were read, `ts` the broker's timestamp (0: none). `events`: decoded; `borrowed` ones by the
contract, and only those have a `value` and an `amount` that are kept. Instants are microseconds UTC."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """An open engine and the database in it. Names of tables are written `<name>` in statements."""

    engine: Store

    def run(self, sql: str) -> None:
        """Run a statement."""
        self.engine.command(f"{self._named(sql)} {SETTINGS}")

    def query(self, sql: str) -> list[Row]:
        """Return the rows of a query."""
        return self.engine.query(f"{self._named(sql)} {SETTINGS}")

    def stream(self, sql: str) -> Iterator[Row]:
        """Yield the rows of a query in bounded memory."""
        return self.engine.stream(f"{self._named(sql)} {SETTINGS}")

    def insert(self, table: str, rows: pa.Table) -> None:
        """Insert into one of the tables."""
        self.engine.insert(f"{DATABASE}.{table}", rows)

    def create(self, table: str, select: str, order: str) -> None:
        """Make a table of the rows of a query."""
        self.run(f"CREATE TABLE <{table}> ENGINE = MergeTree ORDER BY ({order}) AS {select}")

    def _named(self, sql: str) -> str:
        for table in ("raw", "categories", "odd", "events", "timed", "judged", "rows"):
            sql = sql.replace(f"<{table}>", f"{DATABASE}.{table}")
        return sql


@contextmanager
def scratch(store: Store, catalogue: Catalogue) -> Iterator[Scratch]:
    """Give a database with empty tables and the catalogue; it is dropped at the end. Raises what the store raises."""
    if store.embedded:
        with _database(store) as made:
            _fill(made, catalogue)
            yield made
        return
    with (
        tempfile.TemporaryDirectory(prefix="tally-recount-") as folder,
        open_store(f"chdb:{folder}/store") as engine,
        _database(engine) as made,
    ):
        _fill(made, catalogue)
        yield made


@contextmanager
def _database(engine: Store) -> Iterator[Scratch]:
    # What a recount that was killed has left is of no use: nobody else can have this engine open.
    engine.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
    engine.command(f"CREATE DATABASE {DATABASE} ENGINE = Atomic")
    try:
        for table in _TABLES:
            engine.command(table.replace("CREATE TABLE ", f"CREATE TABLE {DATABASE}.", 1))
        yield Scratch(engine)
    except BaseException:
        # Not SYNC: that would wait for whoever still reads of it, which may be what failed.
        engine.command(f"DROP DATABASE IF EXISTS {DATABASE}")
        raise
    engine.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")


def _fill(made: Scratch, catalogue: Catalogue) -> None:
    ids = pa.array([category.id for category in catalogue.categories], pa.int64())
    made.insert("categories", pa.table({"id": ids, "name": list(catalogue.names)}))


def add_records(made: Scratch, batches: Sequence[RecordBatch], before: int) -> int:
    """Insert those records of the batches whose offset is before `before`; return how many."""
    offsets: list[int] = []
    times: list[int] = []
    values: list[bytes] = []
    for batch in batches:
        count = int((batch.offsets < before).sum())
        offsets += batch.offsets[:count].tolist()
        times += [0] * count if batch.timestamps is None else batch.timestamps[:count].tolist()
        spans = zip(batch.starts[:count].tolist(), batch.ends[:count].tolist(), strict=True)
        values += [batch.data[start:end] for start, end in spans]
    if offsets:
        columns = {
            "offset": pa.array(offsets, pa.uint64()),
            "ts": pa.array(times, pa.int64()),
            "value": pa.array(values, pa.large_binary()),
        }
        made.insert("raw", pa.table(columns))
    return len(offsets)


def decode(made: Scratch, sql: SqlFormat | None) -> int:
    """Decode what SQL can judge into `events`; the offsets of the other records go to `odd`. Return how many."""
    if sql is None:
        made.run("INSERT INTO <odd> SELECT offset FROM <raw>")
    else:
        made.run(f"INSERT INTO <odd> SELECT offset FROM <raw> WHERE form = {ODD}")
        one_by_one = f"""
            (SELECT offset, ts, number - 1 AS `index`, one AS event
            FROM (SELECT offset, ts, {EVENTS_OF_RECORD} AS every FROM <raw> WHERE form != {ODD})
            ARRAY JOIN every AS one, arrayEnumerate(every) AS number)
        """
        made.run(f"INSERT INTO <odd> SELECT DISTINCT offset FROM {one_by_one} WHERE {sql.odd}")
        plain = f"(SELECT * FROM {one_by_one} WHERE offset NOT IN (SELECT offset FROM <odd>))"
        columns = ", ".join(("offset", "`index`", "ts", *COLUMNS))
        select = sql.select.replace(EVENTS, plain).replace(CATEGORIES, "<categories>")
        made.run(f"INSERT INTO <events> ({columns}, borrowed) SELECT {columns}, false FROM ({select})")
    return int(made.query("SELECT count() FROM <odd>")[0][0])


def odd_records(made: Scratch) -> Iterator[tuple[int, int, bytes]]:
    """Yield offset, timestamp and value of the records that SQL cannot judge."""
    sql = "SELECT offset, ts, hex(value) FROM <raw> WHERE offset IN (SELECT offset FROM <odd>) ORDER BY offset"
    for offset, ts, value in made.stream(sql):
        yield offset, ts, bytes.fromhex(value)


def add_borrowed(made: Scratch, judged: Sequence[tuple[int, int, Sequence[Judged]]], names: Sequence[str]) -> int:
    """Insert the events of odd records as the contract decodes them; return how many."""
    rows = []
    for offset, ts, events in judged:
        for index, (_, found) in enumerate(events):
            place = {"offset": offset, "index": index, "ts": ts, "borrowed": True}
            if isinstance(found, Decoded):
                rows.append(
                    {
                        **place,
                        "reason": "",
                        "not_billable": found.not_billable or "",
                        "org_id": found.org_id,
                        "has_id": found.event_id is not None,
                        "event_id": found.event_id or "",
                        "category": names[found.category],
                        "project_id": found.project_id,
                        "quantity": found.quantity,
                        "timestamp": found.timestamp,
                        "dimensions": found.dimensions,
                        "value": found.kept.value,
                        "amount": found.kept.amount,
                    }
                )
            else:
                none = dict.fromkeys(("org_id", "project_id", "quantity", "timestamp"), 0)
                texts = dict.fromkeys(("not_billable", "event_id", "category", "dimensions", "value", "amount"), "")
                rows.append({**place, "reason": found.reason, "has_id": False, **none, **texts})
    if rows:
        made.insert("events", pa.Table.from_pylist(rows, _EVENTS))
    return len(rows)


_EVENTS: Final = pa.schema(
    [
        ("offset", pa.uint64()),
        ("index", pa.uint32()),
        ("ts", pa.int64()),
        ("reason", pa.string()),
        ("not_billable", pa.string()),
        ("org_id", pa.uint64()),
        ("has_id", pa.bool_()),
        ("event_id", pa.string()),
        ("category", pa.string()),
        ("project_id", pa.uint64()),
        ("quantity", pa.int64()),
        ("timestamp", pa.int64()),
        ("dimensions", pa.string()),
        ("borrowed", pa.bool_()),
        ("value", pa.string()),
        ("amount", pa.string()),
    ]
)
