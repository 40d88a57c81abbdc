"""Progress rows, dead letters, replays and statements: their columns, and the way there and back."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import pyarrow as pa

from schemas.errors import StoreError
from schemas.log import LogId
from schemas.progress import Counts, Mark, Progress
from schemas.usage import Flush
from sinks.columns import (
    BOOL,
    BYTES,
    COUNTS,
    I64,
    I128,
    INSTANT,
    MONEY,
    SECOND,
    TEXT,
    U32,
    U64,
    U128,
    Layout,
    build,
    list_of,
)

PROGRESS: Final[Layout] = {
    "topic": TEXT,
    "partition": TEXT,
    "generation": U32,
    "fingerprint": TEXT,
    "start_offset": U64,
    "next_offset": U64,
    "warm_offset": U64,
    "warm_clock": INSTANT.orelse_null(),
    "warm_max_timestamp": INSTANT.orelse_null(),
    "count_from": U64,
    "clock": INSTANT.orelse_null(),
    "max_timestamp": INSTANT.orelse_null(),
    "watermark": INSTANT.orelse_null(),
    "allowed_lateness": I64,
    "log_end": U64.orelse_null(),
    "log_end_seen_at": INSTANT.orelse_null(),
    "finite": BOOL,
    "partitions": U32,
    "source": TEXT,
    "records": U64,
    "events": U64,
    "accepted": U64,
    "late": U64,
    "duplicates": U64,
    "not_billable": COUNTS,
    "rejected": COUNTS,
    "quantity": I128,
}

DEAD_LETTERS: Final[Layout] = {
    "topic": TEXT,
    "partition": TEXT,
    "offset": U64,
    "index": U32,
    "reason": TEXT,
    "detail": TEXT,
    "format": TEXT,
    "generation": U32,
    "clock": INSTANT.orelse_null(),
    "raw": BYTES,
    "raw_size": U64,
}

REPLAYS: Final[Layout] = {
    "topic": TEXT,
    "partition": TEXT,
    "offset": U64,
    "index": U32,
    "org_id": U64,
    "event_id": TEXT,
    "outcome": TEXT,
    "detail": TEXT,
    "fingerprint": TEXT,
    "replayed_at": INSTANT,
    "replayed_by": TEXT,
}

LINE: Final[Layout] = {
    "line_no": U32,
    "category": TEXT,
    "description": TEXT,
    "quantity": MONEY,
    "amount": MONEY,
    "detail": TEXT,
}

STATEMENTS: Final[Layout] = {
    "org_id": U64,
    "contract": TEXT,
    "period_start": SECOND,
    "period_end": SECOND,
    "currency": TEXT,
    "total": MONEY,
    **{f"lines.{name}": list_of(kind) for name, kind in LINE.items()},
    "book_hash": TEXT,
    "contract_hash": TEXT,
    "snapshot_id": TEXT,
    "progress_vector": TEXT,
    "complete_to": INSTANT.orelse_null(),
    "version": U128,
    "rated_at": INSTANT,
}

_COUNTS: Final = tuple(field.name for field in fields(Counts))
_MARK: Final = tuple(field.name for field in fields(Mark))


def progress_table(flushes: Iterable[Flush]) -> pa.Table:
    """Return the progress of each flush as one Arrow table; raises StoreError for a value that does not fit."""
    return build("progress", PROGRESS, (_progress_row(flush.progress) for flush in flushes))


def _progress_row(progress: Progress) -> dict[str, Any]:
    counts = {name: getattr(progress.counts, name) for name in _COUNTS}
    mark = {name: getattr(progress.mark, name) for name in _MARK}
    source = json.dumps(progress.source, sort_keys=True, separators=(",", ":"))
    plain = {name: getattr(progress, name) for name in PROGRESS if hasattr(progress, name)}
    plain.update(topic=progress.log.topic, partition=progress.log.partition, source=source)
    return {**plain, **counts, **mark}


def progress_select(where: str, *, every_generation: bool) -> str:
    """Return the SQL that reads progress rows in the order that `read_progress` takes.

    `where` may name topic and partition only. Of the generations that count, the one of the highest place is current.
    """
    columns = ", ".join(
        f"toUnixTimestamp64Micro({name})" if kind.arrow == INSTANT.arrow else name for name, kind in PROGRESS.items()
    )
    newest = "" if every_generation else " LIMIT 1 BY topic, partition"
    return f"SELECT {columns} FROM active_progress {where} ORDER BY topic, partition, place DESC{newest}"


def read_progress(row: Sequence[Any]) -> Progress:
    """Return the progress of one row of `progress_select`."""
    found: dict[str, Any] = dict(zip(PROGRESS, row, strict=True))
    found["log"] = LogId(found.pop("topic"), found.pop("partition"))
    found["source"] = json.loads(found["source"])
    counts = {name: found.pop(name) for name in _COUNTS}
    counts["not_billable"], counts["rejected"] = Counter(counts["not_billable"]), Counter(counts["rejected"])
    mark = Mark(**{name: found.pop(name) for name in _MARK})
    return Progress(**found, mark=mark, counts=Counts(**counts))


def progress_of_any(where: str) -> str:
    """Return the SQL that reads progress rows as `read_progress` takes them, of generations that do not count too."""
    columns = ", ".join(
        f"toUnixTimestamp64Micro({name})" if kind.arrow == INSTANT.arrow else name for name, kind in PROGRESS.items()
    )
    return f"SELECT {columns} FROM progress FINAL {where} ORDER BY topic, partition, generation"


def dead_letter_table(flushes: Iterable[Flush]) -> pa.Table:
    """Return the dead letters of all flushes as one Arrow table; raises StoreError for a value that does not fit."""
    rows = (
        {
            "topic": flush.progress.log.topic,
            "partition": flush.progress.log.partition,
            "format": flush.format,
            "generation": flush.progress.generation,
            **{field.name: getattr(letter, field.name) for field in fields(letter)},
        }
        for flush in flushes
        for letter in flush.dead_letters
    )
    return build("dead_letters", DEAD_LETTERS, rows)


def statement_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return statements as an Arrow table. `lines` is a sequence of mappings with the columns of LINE."""
    return build("statements", STATEMENTS, (_flat(row) for row in rows))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(row)
    lines: Sequence[Mapping[str, Any]] = flat.pop("lines", ())
    for line in lines:
        if line.keys() != LINE.keys():
            wrong = sorted(line.keys() ^ LINE.keys())
            raise StoreError(f"statements.lines: {', '.join(wrong)} are missing or unknown; nothing was written")
    return {**flat, **{f"lines.{name}": [line[name] for line in lines] for name in LINE}}
