"""Replayed dead letters where a log is metered again: a letter that is rejected again keeps the row of its replay.

A replay's row goes with its letter: it has the letter's generation, and is hidden and shown with it. So an event that
is a letter no more, since the new rules count it, is counted once. One that is rejected under the new rules too gets
the same row under the candidate's generation, whatever the settings are by then: it was decided, and is not again.
"""

from collections.abc import Sequence
from typing import Final

from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.remeters import read_parts
from sinks.store import Store
from tally.reconcile.asking import batched
from tally.replay_records import TAKEN, TOPIC_PREFIX, Record, Row, note_places, records_of, usage_of

PAGE: Final = 1_000

# Rejected events of one generation, whether it counts or not. A letter's bytes name it as its replay's record does.
_LETTERS: Final = """
SELECT DISTINCT offset, toUInt32(`index`), lower(substring(hex(SHA256(raw)), 1, 32))
FROM (
    SELECT offset, `index`, raw, generation FROM dead_letters FINAL
    WHERE topic = {topic:String} AND partition = {partition:String} AND offset IN {offsets:Array(UInt64)}
    UNION ALL
    SELECT offset, `index`, raw, generation FROM remetered_letters FINAL
    WHERE topic = {topic:String} AND partition = {partition:String} AND offset IN {offsets:Array(UInt64)}
)
WHERE generation = {generation:UInt32}
"""


def note_replays(store: Store, name: str, noted_at: int) -> None:
    """Let the rows of replayed letters be hidden and shown with the generations of a remeter."""
    mine = {part.log for part in read_parts(store, name) if not part.log.topic.startswith(TOPIC_PREFIX)}
    for log in sorted(mine & _with_replays(store, {log.topic for log in mine})):
        for records in batched(records_of(store, log), PAGE):
            note_places(store, [record.position for record in records], noted_at)


def carry_replays(store: Store, generations: Sequence[tuple[LogId, int]], settings: MeterSettings) -> int:
    """Give replayed letters of these generations the rows of their replays; return how many there are.

    Writing a row again changes nothing.
    """
    carried = 0
    having = _with_replays(store, {log.topic for log, _ in generations})
    for log, generation in generations:
        if log in having:
            taken = (record for record in records_of(store, log) if record.outcome in TAKEN)
            carried += sum(_carry(store, log, generation, records, settings) for records in batched(taken, PAGE))
    return carried


def _with_replays(store: Store, topics: set[str]) -> set[LogId]:
    sql = "SELECT DISTINCT topic, partition FROM replays WHERE topic IN {topics:Array(String)}"
    return {LogId(*row) for row in store.query(sql, {"topics": sorted(topics)})}


def _carry(store: Store, log: LogId, generation: int, records: list[Record], settings: MeterSettings) -> int:
    place = {"topic": log.topic, "partition": log.partition, "generation": generation}
    offsets = sorted({record.offset for record in records})
    letters = {(row[0], row[1]): row[2] for row in store.query(_LETTERS, {**place, "offsets": offsets})}
    kept = [
        (record.position, row)
        for record in records
        if letters.get((record.offset, record.index)) == (row := Row.read(record)).raw
    ]
    rows = [usage_of(position, row.of_generation(generation), settings) for position, row in kept]
    store.write_usage(rows)
    return len(rows)
