"""What a log should have come to, by the oracle, and what a store says that it came to, in one shape."""

from pathlib import Path
from typing import Any, NamedTuple

from schemas.formats.base import Decoded
from schemas.formats.judge import judge
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Counts
from sinks.store import Store, open_store
from tests import oracle

Rows = dict[tuple[Any, ...], oracle.Row]


class Truth(NamedTuple):
    """Usage rows by key, counts, and by position the reason of each dead letter and each kept event, of one log."""

    rows: Rows
    counts: Counts
    letters: dict[tuple[int, int], str]
    kept: dict[tuple[int, int], oracle.Kept]


def rules_of(settings: MeterSettings) -> oracle.Rules:
    return oracle.Rules(
        group_by_project=settings.group_by_project,
        window=settings.window,
        allowed_lateness=settings.allowed_lateness,
        bucket=settings.bucket,
        horizon_buckets=settings.horizon_buckets,
        max_future=settings.max_future,
        max_age=settings.max_age,
        as_of=settings.as_of,
        kept=tuple(settings.catalogue.names[row] for row in settings.catalogue.keeps()),
    )


def events_of(value: bytes, settings: MeterSettings) -> tuple[oracle.Event, ...]:
    """Decode a record by the contract."""
    names = settings.catalogue.names
    return tuple(
        oracle.Event(
            org=found.org_id,
            event_id=found.event_id,
            category=names[found.category],
            project=found.project_id,
            quantity=found.quantity,
            timestamp=found.timestamp,
            dimensions=found.dimensions,
            not_billable=found.not_billable,
            value=found.kept.value,
            amount=found.kept.amount,
        )
        if isinstance(found := judged.outcome, Decoded)
        else oracle.Event(rejected=found.reason)
        for judged in judge(value, settings)
    )


def records_of_file(path: Path, settings: MeterSettings) -> list[oracle.Record]:
    """Read a file as the rules say: a record a line, at the byte where it starts, without a broker's timestamp."""
    records, offset = [], 0
    for line in path.read_bytes().split(b"\n"):
        if line.strip():
            records.append(oracle.Record(offset, None, events_of(line, settings)))
        offset += len(line) + 1
    return records


def expected(records: list[oracle.Record], settings: MeterSettings) -> Truth:
    """Return what the oracle says of a log."""
    out = oracle.meter(records, rules_of(settings))
    out.check()
    counts = Counts(
        records=out.counts["records"],
        events=out.counts["events"],
        accepted=out.counts["accepted"],
        late=out.counts["late"],
        duplicates=out.counts["duplicates"],
        not_billable=out.not_billable,
        rejected=out.rejected,
        quantity=out.counts["quantity"],
    )
    letters = {at: word.partition(":")[2] for at, word in out.verdicts.items() if word.startswith("rejected")}
    return Truth(dict(out.rows), counts, letters, dict(out.kept))


def stored(store: Store, log: LogId, generation: int | None = None) -> Truth:
    """Return what the store says of a log (or of one generation of it), as a reader sees it, before merges and after.

    The counts are those of the current generation.
    """
    place = {"topic": log.topic, "partition": log.partition, "generation": generation or 0}
    where = "WHERE topic = {topic:String} AND partition = {partition:String}"
    if generation is not None:
        where += " AND generation = {generation:UInt32}"
    rows = store.query(
        "SELECT org_id, category, project_id, dimensions, toUnixTimestamp(window_start), segment, quantity, events, "
        "max_quantity, first_offset, last_offset, toUnixTimestamp64Micro(first_timestamp), "
        f"toUnixTimestamp64Micro(last_timestamp) FROM usage_windows FINAL {where}",
        place,
    )
    kept = store.query(
        "SELECT offset, `index`, org_id, category, project_id, toUnixTimestamp64Micro(timestamp), quantity, "
        f"dimensions, value, ifNull(toString(amount), '') FROM kept_events FINAL {where}",
        place,
    )
    letters = store.query(f"SELECT offset, `index`, reason FROM dead_letters FINAL {where}", place)
    return Truth(
        {(*row[:4], row[4] * 1_000_000, row[5]): oracle.Row(*row[6:]) for row in rows},
        store.progress(log.topic)[log].counts,
        {(offset, index): reason for offset, index, reason in letters},
        {(row[0], row[1]): oracle.Kept(*row[2:]) for row in kept},
    )


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of a store, as readers see them: what a refused run must leave as it was."""
    with open_store(url, create=False) as store:
        tables = store.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%Tree'"
        )
        assert ("usage_windows",) in tables
        return {name: sorted(store.query(f"SELECT * FROM {name} FINAL"), key=repr) for (name,) in tables}
