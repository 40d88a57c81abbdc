"""The ClickHouse store: one class for the embedded engine and for a server, through the same calls.

Guarantees: `write` puts progress last, so what progress covers is there; every write may be repeated, in part or
whole, in any order, by any number of processes, and changes nothing; a value that a column cannot hold is an error
before anything is sent. Not guaranteed: that a write which failed wrote nothing (rows past progress are expected and
harmless), nor that two current generations cannot write for the moment between a check and an insert.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from schemas.errors import GenerationReplaced, StoreMismatch
from schemas.log import LogId
from schemas.progress import FIRST_CANDIDATE, Progress
from schemas.usage import Flush
from sinks import kept_rows, migrations, replicated, usage_rows
from sinks.client import connect, disconnect, told
from sinks.columns import build
from sinks.progress_rows import (
    REPLAYS,
    dead_letter_table,
    progress_select,
    progress_table,
    read_progress,
    statement_table,
)
from sinks.retry import AT_ONCE, Retrying
from sinks.url import EmbeddedUrl, ServerUrl, StoreUrl, parse_url

INSERT_SETTINGS: Final = {
    # An asynchronous insert may be acknowledged before it is written, and progress would run ahead of it.
    "async_insert": 0,
    # A NULL where none may be is an error and not a zero.
    "input_format_null_as_default": 0,
}

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


def open_store(url: str, *, retrying: Retrying = AT_ONCE, create: bool = True) -> "Store":
    """Open a store by its URL (see `sinks.url`). Neither migrates nor waits: an unreachable server is an error here.

    `retrying` says how later calls wait while the store is away. `create=False` refuses an embedded store that does
    not exist yet. Raises SettingsError, StoreUnavailable, StoreBusy or StoreError.
    """
    parsed = parse_url(url)
    return Store(parsed, connect(parsed, create=create), retrying)


class Store:
    """An open store. Every method raises StoreUnavailable (waiting may help) or StoreError; use from one thread."""

    def __init__(self, url: StoreUrl, client: Client, retrying: Retrying = AT_ONCE) -> None:
        self._url = url
        self._client = client
        self.retrying = retrying
        self.inserted: Callable[[str, int, int, int], None] | None = None
        """Told of every insert: table, rows, its start on the wall clock and its length, both in nanoseconds."""
        self._closed = False

    @property
    def url(self) -> str:
        """Return the store's URL without a password."""
        return str(self._url)

    @property
    def embedded(self) -> bool:
        """Say whether the store is in this process, so that no other one can open it."""
        return isinstance(self._url, EmbeddedUrl)

    def close(self) -> None:
        """Let go of the store; may be called twice."""
        if not self._closed:
            self._closed = True
            disconnect(self._url, self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- migrations ----

    def migrate(self) -> list[str]:
        """Apply the migrations that the store has not had, in order, and return their names; [] when it is current.

        Raises StoreMismatch, before anything is touched, for a store of a newer version or with edited migrations.
        """
        return self.retrying.run(self._migrate, what="migrating")

    def _migrate(self) -> list[str]:
        wanted = migrations.pending(self.applied_migrations(), migrations.known(), self.url)
        cluster = self._url.cluster if isinstance(self._url, ServerUrl) else None
        if wanted and self._client.database:
            made = f"CREATE DATABASE IF NOT EXISTS `{self._client.database}`"
            with told(self._url, "making the database"):
                self._client.command(made + (f" ON CLUSTER `{cluster}`" if cluster else ""), use_database=False)

        def record(migration: migrations.Migration) -> None:
            row = pa.table({"name": [migration.name], "checksum": [migration.checksum]})
            self._insert("schema_migrations", row)

        def execute(statement: str) -> None:
            for form in replicated.on_cluster(statement, cluster) if cluster else [statement]:
                self.command(form)

        return migrations.apply(execute, record, wanted)

    def applied_migrations(self) -> dict[str, str]:
        """Return the checksum of every migration that the store has had, by name; {} for a store that is empty."""
        try:
            return dict(self._fetch("SELECT name, checksum FROM schema_migrations FINAL ORDER BY name", None))
        except StoreMismatch:
            return {}

    def check_version(self) -> None:
        """Raise StoreMismatch unless the store has exactly the migrations of this version."""
        waiting = self.retrying.run(
            lambda: migrations.pending(self.applied_migrations(), migrations.known(), self.url),
            what="reading the version",
        )
        if waiting:
            raise StoreMismatch(
                f"store {self.url} is not up to date ({waiting[0].name} is missing): run `tally migrate`"
            )

    # ---- progress ----

    def progress(self, topic: str | None = None) -> dict[LogId, Progress]:
        """Return the current progress (of the newest generation that counts) of every partition, or of one topic's."""
        return {found.log: found for found in self._read_progress(topic, every_generation=False)}

    def progress_of_all_generations(self, topic: str | None = None) -> list[Progress]:
        """Return the last progress of every generation that counts, the newest of a partition first."""
        return self._read_progress(topic, every_generation=True)

    def _read_progress(self, topic: str | None, *, every_generation: bool) -> list[Progress]:
        where = "" if topic is None else "WHERE topic = {topic:String}"
        sql = progress_select(where, every_generation=every_generation)
        return [read_progress(row) for row in self.query(sql, None if topic is None else {"topic": topic})]

    def retired_topics(self) -> set[str]:
        """Return the topics that were retired: nothing will come of them any more."""
        sql = "SELECT topic FROM (SELECT * FROM retired_topics FINAL) WHERE retired"
        return {topic for (topic,) in self.query(sql)}

    def decide_topic(self, topic: str, *, retired: bool, decided_at: int, decided_by: str) -> None:
        """Note that a topic is retired, or is not any more; the last word (microseconds UTC) counts."""
        row = pa.table(
            {
                "topic": [topic],
                "retired": [retired],
                "decided_at": pa.array([decided_at], pa.uint64()),
                "decided_by": [decided_by],
            }
        )
        self.retrying.run(lambda: self._insert("retired_topics", row), what="retiring a topic")

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        """Say whether rows, kept events or dead letters of a generation lie at or past an offset: an unclean stop."""
        # No FINAL: a row that a later one replaces was folded less far, so any row past the offset answers.
        log_is = "topic = {topic:String} AND partition = {partition:String} AND generation = {generation:UInt32}"
        sql = (
            f"SELECT 1 FROM usage_windows WHERE {log_is} AND last_offset >= {{next_offset:UInt64}} LIMIT 1 UNION ALL "
            f"SELECT 1 FROM kept_events WHERE {log_is} AND offset >= {{next_offset:UInt64}} LIMIT 1 UNION ALL "
            f"SELECT 1 FROM dead_letters WHERE {log_is} AND offset >= {{next_offset:UInt64}} LIMIT 1"
        )
        place = {"topic": log.topic, "partition": log.partition, "generation": generation, "next_offset": next_offset}
        return bool(self.query(sql, place))

    def complete_to(self) -> int | None:
        """Return the instant (microseconds) before which no usage can change any more; None where that is not known.

        Read it before the usage that it is said of: usage read later is at least as complete.
        """
        found = self.query("SELECT toUnixTimestamp64Micro(complete_to) FROM complete_to")
        return None if found[0][0] is None else int(found[0][0])

    # ---- writing ----

    def write(self, flushes: Sequence[Flush]) -> None:
        """Write flushes: kept events and usage rows (one insert each), dead letters (one), then progress (one).

        While the store is away this waits as `retrying` says and then does all of it again, the look at the
        generations first. Raises GenerationReplaced, with nothing written, where another run has started a newer
        generation; StoreError naming column and value, with nothing sent, where a value does not fit its column.
        """
        if flushes:
            self.retrying.run(lambda: self._write_once(flushes), what="writing usage")

    def _write_once(self, flushes: Sequence[Flush]) -> None:
        # Built first, so that a progress row which does not fit leaves no usage rows past it.
        progress, letters = progress_table(flushes), dead_letter_table(flushes)
        _check(flushes)
        self.check_generations(flushes)
        self.write_usage(flushes)
        self._insert("dead_letters", letters)
        self._insert("progress", progress)

    def check_generations(self, flushes: Sequence[Flush]) -> None:
        """Raise GenerationReplaced where a flush's generation or settings are not its partition's current ones."""
        topics = sorted({flush.progress.log.topic for flush in flushes})
        sql = (
            "SELECT topic, partition, place, generation, fingerprint FROM active_progress "
            "WHERE topic IN {topics:Array(String)} ORDER BY place DESC LIMIT 1 BY topic, partition"
        )
        current = {LogId(row[0], row[1]): row[2:] for row in self._fetch(sql, {"topics": topics})}
        for flush in flushes:
            mine = (flush.progress.places[1], flush.progress.generation, flush.progress.fingerprint)
            place, generation, fingerprint = current.get(flush.progress.log, mine)
            if place > mine[0] or (place == mine[0] and (generation, fingerprint) != mine[1:]):
                what = "a remeter has replaced it by" if generation >= FIRST_CANDIDATE else "another run has started"
                raise GenerationReplaced(
                    f"{flush.progress.log}: {what} generation {generation} (settings {fingerprint}), "
                    f"this one writes generation {mine[1]} (settings {mine[2]}); nothing was written: let one of "
                    "them run"
                ).at(flush.progress.log, flush.progress.next_offset)

    def write_usage(self, flushes: Sequence[Flush]) -> None:
        """Insert kept events and usage rows of all flushes; more inserts only where one would touch over 90 months."""
        _check(flushes)
        # Kept events first: whoever reads usage and then its events finds them all.
        for table in kept_rows.tables(flushes):
            self._insert(kept_rows.TABLE, table)
        for table in usage_rows.tables(flushes):
            self._insert(usage_rows.TABLE, table)

    def write_progress(self, flushes: Sequence[Flush]) -> None:
        """Insert the progress of all flushes; only once their rows are written."""
        self._insert("progress", progress_table(flushes))

    def write_replays(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record replayed dead letters. A row has the columns of `replays`; instants are microseconds or datetimes."""
        table = build("replays", REPLAYS, rows)
        self.retrying.run(lambda: self._insert("replays", table), what="recording replays")

    def write_statements(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write statements. A row has the columns of `statements`, `lines` being a sequence of mappings.

        Amounts and quantities are Decimal with at most 18 digits of fraction: more is an error, nothing is rounded.
        """
        table = statement_table(rows)
        self.retrying.run(lambda: self._insert("statements", table), what="writing statements")

    def insert(self, name: str, table: pa.Table) -> None:
        """Insert an Arrow table as it is; `sinks.columns.build` makes one whose values were checked."""
        self.retrying.run(lambda: self._insert(name, table), what=f"writing {name}")

    def _insert(self, name: str, table: pa.Table) -> None:
        if not table.num_rows:
            return
        began, ticks = time.time_ns(), time.perf_counter_ns()
        with told(self._url, f"writing {name}"):
            self._client.insert_arrow(name, table, settings=dict(INSERT_SETTINGS))
        if self.inserted is not None:
            self.inserted(name, table.num_rows, began, time.perf_counter_ns() - ticks)

    # ---- reading ----

    def query(self, sql: str, parameters: Parameters | None = None, *, raw: Sequence[str] = ()) -> list[Row]:
        """Return the rows of a query. Parameters are bound by the server, written `{name:Type}`.

        `raw` names String columns to return as bytes (dead_letters.raw); any other String must be UTF-8.
        """
        return self.retrying.run(lambda: self._fetch(sql, parameters, raw), what="reading")

    def query_rows(
        self, sql: str, parameters: Parameters | None = None, *, raw: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a query as dicts by column name."""

        def fetch() -> list[dict[str, Any]]:
            with told(self._url, "reading"):
                result = self._client.query(sql, parameters=_bound(parameters), column_formats=_as_bytes(raw))
                return [dict(row) for row in result.named_results()]

        return self.retrying.run(fetch, what="reading")

    def query_arrow(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the rows of a query as an Arrow table. Int128 columns come as 16 bytes: cast them in SQL."""

        def fetch() -> pa.Table:
            with told(self._url, "reading"):
                return self._client.query_arrow(sql, parameters=_bound(parameters))

        return self.retrying.run(fetch, what="reading")

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """Yield the rows of a query in bounded memory; other calls may be made meanwhile. Not retried once begun."""
        client = self.retrying.run(lambda: connect(self._url, create=False), what="reading")
        try:
            client.database = self._client.database
            with told(self._url, "reading"), client.query_rows_stream(sql, parameters=_bound(parameters)) as rows:
                for row in rows:
                    yield tuple(row)
        finally:
            disconnect(self._url, client)

    def command(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        with told(self._url, "running a statement"):
            self._client.command(sql)

    def _fetch(self, sql: str, parameters: Parameters | None, raw: Sequence[str] = ()) -> list[Row]:
        with told(self._url, "reading"):
            result = self._client.query(sql, parameters=_bound(parameters), column_formats=_as_bytes(raw))
            return [tuple(row) for row in result.result_rows]


def _check(flushes: Sequence[Flush]) -> None:
    for flush in flushes:
        usage_rows.check(flush)
        kept_rows.check(flush)


def _bound(parameters: Parameters | None) -> dict[str, Any] | None:
    return None if parameters is None else dict(parameters)


def _as_bytes(raw: Sequence[str]) -> dict[str, str | dict[str, str]]:
    return dict.fromkeys(raw, "bytes")
