"""Control totals in the store: their columns, inserts of few months, and how far the topics of reports were read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from schemas.controls import ControlInstance, ControlTotal
from schemas.log import LogId
from schemas.verdicts import MAX_RAW_BYTES
from sinks.columns import BOOL, BYTES, I128, INSTANT, SECOND, TEXT, U64, Layout, build
from sinks.usage_rows import MAX_MONTHS

TOTALS: Final[Layout] = {
    "topic": TEXT,
    "category": TEXT,
    "minute": SECOND,
    "source": TEXT,
    "instance": TEXT,
    "sequence": U64,
    "events": U64,
    "quantity": I128,
    "sent_at": INSTANT,
}

INSTANCES: Final[Layout] = {
    "topic": TEXT,
    "source": TEXT,
    "instance": TEXT,
    "sequence": U64,
    "started_at": INSTANT,
    "sent_at": INSTANT,
    "closed": BOOL,
    "events": U64,
    "quantity": I128,
}

READS: Final[Layout] = {"topic": TEXT, "topic_id": TEXT, "partition": TEXT, "next_offset": U64}

LETTERS: Final[Layout] = {
    "topic": TEXT,
    "partition": TEXT,
    "offset": U64,
    "detail": TEXT,
    "raw": BYTES,
    "raw_size": U64,
}

READS_SQL: Final = (
    "SELECT partition, next_offset FROM control_reads FINAL "
    "WHERE topic = {topic:String} AND topic_id = {topic_id:String}"
)
"""How far a topic of reports was read, by partition."""


@dataclass(frozen=True, slots=True)
class ControlLetter:
    """A record of a topic of reports that is no report; `raw` is its value."""

    log: LogId
    offset: int
    detail: str
    raw: bytes


@dataclass(slots=True)
class ControlBatch:
    """What was read of a topic of reports, up to an offset in each of its partitions.

    `topic_id` tells the topic from a later one of its name.
    """

    topic_id: str
    totals: list[ControlTotal] = field(default_factory=list)
    instances: list[ControlInstance] = field(default_factory=list)
    letters: list[ControlLetter] = field(default_factory=list)
    next_offsets: dict[LogId, int] = field(default_factory=dict)


def tables(batch: ControlBatch) -> Iterator[tuple[str, pa.Table]]:
    """Yield (table's name, rows) in the order in which they are to be inserted: how far it was read comes last.

    Raises StoreError for a value that does not fit.
    """
    for totals in _by_months(batch.totals):
        yield "control_totals", build("control_totals", TOTALS, _rows(TOTALS, totals))
    yield "control_instances", build("control_instances", INSTANCES, _rows(INSTANCES, batch.instances))
    letters = (
        {
            "topic": letter.log.topic,
            "partition": letter.log.partition,
            "offset": letter.offset,
            "detail": letter.detail,
            "raw": letter.raw[:MAX_RAW_BYTES],
            "raw_size": len(letter.raw),
        }
        for letter in batch.letters
    )
    yield "control_dead_letters", build("control_dead_letters", LETTERS, letters)
    reads = (
        {"topic": log.topic, "topic_id": batch.topic_id, "partition": log.partition, "next_offset": offset}
        for log, offset in batch.next_offsets.items()
    )
    yield "control_reads", build("control_reads", READS, reads)


def _rows(layout: Layout, reports: Iterable[ControlTotal | ControlInstance]) -> Iterator[Mapping[str, Any]]:
    return ({name: getattr(report, name) for name in layout} for report in reports)


def _by_months(totals: Sequence[ControlTotal]) -> Iterator[list[ControlTotal]]:
    """Cut totals so that none of the inserts touches more months than the store takes at once."""
    by_month: dict[int, list[ControlTotal]] = {}
    for total in totals:
        # 28 days never span more than two months, so half as many of them as months are allowed.
        by_month.setdefault(total.minute // _FOUR_WEEKS, []).append(total)
    spans = sorted(by_month)
    for start in range(0, len(spans), MAX_MONTHS // 2):
        yield [total for span in spans[start : start + MAX_MONTHS // 2] for total in by_month[span]]


_FOUR_WEEKS: Final = 28 * 86_400 * 1_000_000
