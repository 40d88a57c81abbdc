"""Reads producers' reports from their topic into the store.

It is a reader of its own, and not a part of the usage flow: reports need neither clock nor order nor dedupe, and
reading them must neither hold usage back nor be held back by it. What is read twice changes nothing, so the position
(table control_reads) is only a saving: it is written last, and where it does not fit the topic any more the
topic is read from its start.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from dataflows.sources.base import ListedLog, Reader, Source
from schemas.controls import ControlTotal, NotAReport, from_wire
from schemas.log import LogId, RecordBatch
from sinks.control_rows import READS_SQL, ControlBatch, ControlLetter, tables
from sinks.store import Store

RECORDS: Final = 20_000
"""Records of one write at most, about."""
NAMED: Final = 5
"""Malformed records that are told one by one."""


@dataclass(slots=True)
class ControlsRead:
    """What a reader has read and written: records, and what they were.

    `removed` are records without a value, by which a key is removed from a compacted topic. `malformed` are no reports.
    """

    records: int = 0
    totals: int = 0
    instances: int = 0
    removed: int = 0
    malformed: int = 0
    letters: list[ControlLetter] = field(default_factory=list)
    """The first malformed records."""


class ControlsReader:
    """Reads a topic of reports into a store until it is told to stop, or to the ends that the source has.

    Raises SourceError and StoreError; what was read by then and not written is read again by the next one.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        every: int,
        clock: Callable[[], int],
        stopping: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        """Take what to read and where to write; `every`: microseconds of `clock` between writes, at most.

        `stopping` is asked about 25 times a second; `tell` takes messages for a person.
        """
        self._source = source
        self._store = store
        self._every = every
        self._clock = clock
        self._stopping = stopping
        self._tell = tell
        self.read = ControlsRead()

    def run(self) -> ControlsRead:
        """Read on from where the store says, and return what was read."""
        listed = self._source.list_logs()
        topic_id = str(listed[0].identity.get("topic_id", "")) if listed else ""
        reader = self._source.open(self._starts(listed, topic_id))
        try:
            self._read(reader, topic_id)
        finally:
            reader.close()
        return self.read

    def _starts(self, listed: Sequence[ListedLog], topic_id: str) -> dict[LogId, int]:
        asked = {"topic": listed[0].log.topic if listed else "", "topic_id": topic_id}
        known = {row[0]: int(row[1]) for row in self._store.query(READS_SQL, asked)}
        starts = {}
        for one in listed:
            position = known.get(one.log.partition, one.log_start)
            if one.log_end is not None and position > one.log_end:
                self._tell(f"{one.log}: was read to {position}, and ends at {one.log_end} now; reading it again")
                position = one.log_start
            if position < one.log_start:
                self._tell(
                    f"{one.log}: records {position} to {one.log_start - 1} are gone; what only they reported is missing"
                )
            starts[one.log] = max(position, one.log_start)
        return starts

    def _read(self, reader: Reader, topic_id: str) -> None:
        batch, since, held = ControlBatch(topic_id), self._clock(), 0
        while True:
            done = reader.exhausted or self._stopping()
            for records in [] if done else reader.poll():
                held += len(records)
                self._take(records, batch)
            now = self._clock()
            if batch.next_offsets and (done or held >= RECORDS or now - since >= self._every):
                for name, table in tables(batch):
                    self._store.insert(name, table)
                batch, since, held = ControlBatch(topic_id), now, 0
            if done:
                return

    def _take(self, records: RecordBatch, batch: ControlBatch) -> None:
        read = self.read
        read.records += len(records)
        for offset, start, end in zip(
            records.offsets.tolist(), records.starts.tolist(), records.ends.tolist(), strict=True
        ):
            value = bytes(records.data[start:end])
            if not value:
                read.removed += 1
                continue
            try:
                report = from_wire(value)
            except NotAReport as problem:
                self._keep(ControlLetter(records.log, offset, str(problem), value), batch)
                continue
            if isinstance(report, ControlTotal):
                read.totals += 1
                batch.totals.append(report)
            else:
                read.instances += 1
                batch.instances.append(report)
        batch.next_offsets[records.log] = records.next_offset

    def _keep(self, letter: ControlLetter, batch: ControlBatch) -> None:
        batch.letters.append(letter)
        self.read.malformed += 1
        if self.read.malformed <= NAMED:
            self.read.letters.append(letter)
            self._tell(f"{letter.log}/{letter.offset}: no report: {letter.detail}; kept in control_dead_letters")
