"""What is kept of a replayed letter: the record of what was decided, and the usage row that it is in."""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from schemas.formats.base import Decoded
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Mark, Progress
from schemas.usage import Flush, UsageRows
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
    """The usage row of a letter, and `raw`, which names the bytes that it was decoded from. Microseconds UTC."""

    org_id: int
    category: str
    project_id: int
    dimensions: str
    timestamp: int
    window_start: int
    quantity: int
    generation: int
    raw: str

    @classmethod
    def of(cls, letter: Letter, event: Decoded, settings: MeterSettings) -> "Row":
        """Return the row of an event that a letter decodes to."""
        return cls(
            org_id=event.org_id,
            category=settings.catalogue.names[event.category],
            project_id=event.project_id if settings.group_by_project else 0,
            dimensions=event.dimensions,
            timestamp=event.timestamp,
            window_start=event.timestamp - event.timestamp % settings.window,
            quantity=event.quantity,
            generation=letter.generation,
            raw=name_of(letter.raw),
        )

    @classmethod
    def read(cls, record: Record) -> "Row":
        """Return the row that the record of a counted letter holds."""
        return cls(**json.loads(record.detail))

    def written(self) -> str:
        """Return the row as a record holds it."""
        return json.dumps(asdict(self), ensure_ascii=False)


def name_of(raw: bytes) -> str:
    """Return a name of these bytes."""
    return hashlib.sha256(raw).hexdigest()[:32]


def usage_of(position: Position, row: Row, settings: MeterSettings) -> Flush:
    """Return the usage row of a letter as the store takes it: the only row of a log of its own."""
    log, offset = position.log, position.offset

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
        log=LogId(TOPIC_PREFIX + log.topic, f"{log.partition}/{offset}/{position.index}"),
        generation=row.generation,
        fingerprint=settings.fingerprint(),
        start_offset=offset,
        next_offset=offset + 1,
        mark=Mark(offset, None, None, offset),
    )
    return Flush(progress, settings.format, rows, ())


def write_records(store: Store, records: Iterable[Record]) -> None:
    """Write records; one of the same position is replaced."""
    store.write_replays([asdict(record) for record in records])


def records_at(store: Store, letters: Sequence[Letter]) -> dict[Position, Record]:
    """Return the records of letters that are in the order of their positions."""
    if not letters:
        return {}
    ends = {"low": letters[0], "high": letters[-1]}
    bounds = {f"{end}_{name}": getattr(letter, name) for end, letter in ends.items() for name in KEY}
    where = f"({KEYS}) >= ({bounds_of('low')}) AND ({KEYS}) <= ({bounds_of('high')})"
    rows = store.query(f"SELECT {_COLUMNS} FROM replays FINAL WHERE {where}", bounds)
    found = {record.position: record for record in (Record(*row) for row in rows)}
    return {letter.position: found[letter.position] for letter in letters if letter.position in found}


def records_taken(store: Store, event_ids: Collection[str]) -> list[Record]:
    """Return the records of letters with one of these event ids that were counted or are being counted."""
    if not event_ids:
        return []
    sql = (
        f"SELECT {_COLUMNS} FROM (SELECT * FROM replays FINAL) "
        "WHERE event_id IN {ids:Array(String)} AND outcome IN {taken:Array(String)}"
    )
    return [Record(*row) for row in store.query(sql, {"ids": sorted(event_ids), "taken": list(TAKEN)})]


def records_counting(store: Store) -> list[Record]:
    """Return the records whose usage row may not be written yet, in the order of positions."""
    sql = f"SELECT {_COLUMNS} FROM (SELECT * FROM replays FINAL) WHERE outcome = {{counting:String}} ORDER BY {KEYS}"
    return [Record(*row) for row in store.query(sql, {"counting": COUNTING})]
