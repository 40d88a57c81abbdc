"""What is kept of a replayed letter: the record of what was decided, and the usage row that it is in."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

import numpy as np

from schemas.formats.base import Decoded
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Mark, Progress
from schemas.usage import Flush, KeptRows, UsageRows
from sinks.remeters import Part, read_parts, write_parts
from sinks.store import Store
from tally.deadletters import KEY, KEYS, Letter, bounds_of
from tally.positions import Position

TOPIC_PREFIX: Final = "replay:"

COUNTING: Final = "counting"
"""The outcome of a letter whose usage row is about to be written."""
COUNTED: Final = "counted"
"""The outcome of a letter whose usage row is there."""
TAKEN: Final = (COUNTING, COUNTED)


@dataclass(frozen=True, slots=True)
class Record:
    """A row of `replays`; `replayed_at` in microseconds UTC. `detail` holds the usage row where there is one."""

    topic: str
    partition: str
    offset: int
    index: int
    org_id: int
    event_id: str
    outcome: str
    detail: str
    fingerprint: str
    replayed_at: int
    replayed_by: str

    @property
    def position(self) -> Position:
        """Return the letter's position."""
        return Position(LogId(self.topic, self.partition), self.offset, self.index)


_NAMES: Final = [field.name for field in fields(Record)]
_COLUMNS: Final = ", ".join(f"toUnixTimestamp64Micro({n})" if n == "replayed_at" else n for n in _NAMES)


@dataclass(frozen=True, slots=True)
class Row:
    """The usage row of a letter, and `raw`, which names the bytes that it was decoded from. Microseconds UTC.

    `value` and `amount` are what is kept of the event, None where its category keeps no events.
    """

    org_id: int
    category: str
    project_id: int
    dimensions: str
    timestamp: int
    window_start: int
    quantity: int
    generation: int
    raw: str
    value: str | None = None
    amount: str | None = None

    @classmethod
    def of(cls, letter: Letter, event: Decoded, settings: MeterSettings) -> "Row":
        """Return the row of an event that a letter decodes to."""
        category = settings.catalogue.categories[event.category]
        return cls(
            org_id=event.org_id,
            category=category.name,
            project_id=event.project_id if settings.group_by_project else 0,
            dimensions=event.dimensions,
            timestamp=event.timestamp,
            window_start=event.timestamp - event.timestamp % settings.window,
            quantity=event.quantity,
            generation=letter.generation,
            raw=name_of(letter.raw),
            value=None if category.keep is None else event.kept.value,
            amount=None if category.keep is None else event.kept.amount,
        )

    @classmethod
    def read(cls, record: Record) -> "Row":
        """Return the row that the record of a counted letter holds."""
        return cls(**json.loads(record.detail))

    def of_generation(self, generation: int) -> "Row":
        """Return the same row under another generation of the letter's log."""
        return replace(self, generation=generation)

    def written(self) -> str:
        """Return the row as a record holds it."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(found, ensure_ascii=False)


def name_of(raw: bytes) -> str:
    """Return a name of these bytes."""
    return hashlib.sha256(raw).hexdigest()[:32]


def log_of(position: Position) -> LogId:
    """Return the log of its own that the row of a replayed letter is in."""
    log = position.log
    return LogId(TOPIC_PREFIX + log.topic, f"{log.partition}/{position.offset}/{position.index}")


def note_places(store: Store, positions: Sequence[Position], noted_at: int) -> None:
    """Let rows of replayed letters be hidden and shown with the generations of their letters. Before they are written.

    Where no remeter is about their logs there is nothing to note. Noting again, at another time, changes nothing.
    """
    if not positions:
        return
    of_log: dict[LogId, list[Part]] = {}
    for part in read_parts(store, topics={position.log.topic for position in positions}):
        of_log.setdefault(part.log, []).append(part)
    places = [replace(part, log=log_of(position)) for position in positions for part in of_log.get(position.log, ())]
    if places:
        write_parts(store, places, noted_at)


def logs_with_rows(store: Store, rows: Mapping[LogId, Row]) -> set[LogId]:
    """Return those of the logs of replayed letters whose usage row is in the store, in any generation."""
    if not rows:
        return set()
    # By organisation and time as well: the table is sorted by them, and by no topic.
    sql = (
        "SELECT DISTINCT topic, partition FROM usage_windows WHERE org_id IN {orgs:Array(UInt64)} "
        "AND window_start BETWEEN fromUnixTimestamp64Micro({first:Int64}) AND fromUnixTimestamp64Micro({last:Int64}) "
        "AND topic IN {topics:Array(String)} AND partition IN {partitions:Array(String)}"
    )
    starts = [row.window_start for row in rows.values()]
    found = store.query(
        sql,
        {
            "orgs": sorted({row.org_id for row in rows.values()}),
            "first": min(starts),
            "last": max(starts),
            "topics": sorted({log.topic for log in rows}),
            "partitions": sorted({log.partition for log in rows}),
        },
    )
    return {LogId(topic, partition) for topic, partition in found}


def usage_of(position: Position, row: Row, settings: MeterSettings) -> Flush:
    """Return the usage row of a letter as the store takes it: the only row of a log of its own."""
    offset = position.offset

    def column(value: int) -> Any:
        return np.array([value], np.int64)

    rows = UsageRows(
        org=column(row.org_id),
        category=np.zeros(1, np.int32),
        project=column(row.project_id),
        dimensions=np.zeros(1, np.int32),
        window_start=column(row.window_start),
        segment=column(0),
        quantity=column(row.quantity),
        events=column(1),
        max_quantity=column(row.quantity),
        first_offset=column(offset),
        last_offset=column(offset),
        first_timestamp=column(row.timestamp),
        last_timestamp=column(row.timestamp),
        category_names=(row.category,),
        dimension_values=(row.dimensions,),
    )
    progress = Progress(
        log=log_of(position),
        generation=row.generation,
        fingerprint=settings.fingerprint(),
        start_offset=offset,
        next_offset=offset + 1,
        mark=Mark(offset, None, None, offset),
    )
    return Flush(progress, settings.format, rows, (), _kept(row, rows, position))


def _kept(row: Row, rows: UsageRows, position: Position) -> KeptRows | None:
    if row.value is None:
        return None
    return KeptRows(
        org=rows.org,
        category=rows.category,
        project=rows.project,
        timestamp=rows.first_timestamp,
        offset=rows.first_offset,
        index=np.array([position.index], np.int64),
        quantity=rows.quantity,
        dimensions=rows.dimension_values,
        values=(row.value,),
        amounts=(row.amount or "",),
        category_names=rows.category_names,
    )


def write_records(store: Store, records: Iterable[Record]) -> None:
    """Write records; one of the same position is replaced."""
    store.write_replays([asdict(record) for record in records])


def records_at(store: Store, letters: Sequence[Letter]) -> dict[Position, Record]:
    """Return the records of letters that are in the order of their positions."""
    if not letters:
        return {}
    where, bounds = _between(letters)
    rows = store.query(f"SELECT {_COLUMNS} FROM replays FINAL WHERE {where}", bounds)
    found = {record.position: record for record in (Record(*row) for row in rows)}
    return {letter.position: found[letter.position] for letter in letters if letter.position in found}


def _between(letters: Sequence[Letter]) -> tuple[str, dict[str, Any]]:
    ends = {"low": letters[0], "high": letters[-1]}
    bounds = {f"{end}_{name}": getattr(letter, name) for end, letter in ends.items() for name in KEY}
    return f"({KEYS}) >= ({bounds_of('low')}) AND ({KEYS}) <= ({bounds_of('high')})", bounds


def generations_now(store: Store, letters: Sequence[Letter]) -> dict[tuple[Position, str], int]:
    """Return the generations of letters, in the order of their positions, as they are now; by position and raw's name.

    Only of logs that remeters are about: of all others a letter's generation stays. What is no letter now is not there.
    """
    remetered = {part.log for part in read_parts(store, topics={letter.topic for letter in letters})}
    if not any(letter.log in remetered for letter in letters):
        return {}
    where, bounds = _between(letters)
    raw = "lower(substring(hex(SHA256(raw)), 1, 32))"
    rows = store.query(f"SELECT {KEYS}, {raw}, generation FROM active_letters WHERE {where}", bounds)
    return {(Position(LogId(row[0], row[1]), row[2], row[3]), row[4]): row[5] for row in rows}


def records_taken(store: Store, event_ids: Collection[str]) -> list[Record]:
    """Return the records of letters with one of these event ids that were counted or are being counted."""
    if not event_ids:
        return []
    sql = (
        f"SELECT {_COLUMNS} FROM (SELECT * FROM replays FINAL) "
        "WHERE event_id IN {ids:Array(String)} AND outcome IN {taken:Array(String)}"
    )
    return [Record(*row) for row in store.query(sql, {"ids": sorted(event_ids), "taken": list(TAKEN)})]


def records_of(store: Store, log: LogId) -> list[Record]:
    """Return the records of all letters of a log, in the order of positions."""
    where = "topic = {topic:String} AND partition = {partition:String}"
    sql = f"SELECT {_COLUMNS} FROM replays FINAL WHERE {where} ORDER BY {KEYS}"
    return [Record(*row) for row in store.query(sql, {"topic": log.topic, "partition": log.partition})]


def records_counting(store: Store) -> list[Record]:
    """Return the records whose usage row may not be written yet, in the order of positions."""
    sql = f"SELECT {_COLUMNS} FROM (SELECT * FROM replays FINAL) WHERE outcome = {{counting:String}} ORDER BY {KEYS}"
    return [Record(*row) for row in store.query(sql, {"counting": COUNTING})]
