"""Reads some partitions of a Kafka topic: the fetched pieces become RecordBatches, the client's events positions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, NoReturn, Protocol

import numpy as np
from confluent_kafka import KafkaError

from dataflows.sources.base import LogEnd
from dataflows.sources.kafka_ends import EndWatcher
from dataflows.sources.kafka_topic import PASSING, KafkaTopic
from schemas.errors import SourceError
from schemas.log import Int64s, LogId, RecordBatch
from schemas.verdicts import END_OF_TIME

WAIT: Final = 0.04
"""Seconds that a poll waits for records at most."""

TELL_AGAIN: Final = 10_000_000
"""Microseconds between two messages about the same wait."""

OUT_OF_RANGE: Final = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
)


class Piece(NamedTuple):
    """Records of one partition, in offset order, as the client had them at hand.

    Record i's value is `data[ends[i - 1]:ends[i]]` (from 0 for the first). `stamps` are milliseconds UTC;
    `not_broker` is the first offset whose stamp is not the broker's, None where all are.
    """

    partition: int
    data: bytes
    ends: Int64s
    offsets: Int64s
    stamps: Int64s
    not_broker: int | None


class Notice(NamedTuple):
    """An event that is no record: a partition's end at that offset, or an error (`code` of KafkaError)."""

    partition: int
    offset: int
    code: int
    text: str


class Fetcher(Protocol):
    """One consumer with partitions assigned: how records get out of librdkafka."""

    def drain(self, most: int, timeout: float) -> tuple[Sequence[Piece], Sequence[Notice]]:
        """Return up to `most` records that are there, or come within `timeout` seconds, and the events among them."""
        ...

    def rest(self, partition: int) -> None:
        """Fetch no more of that partition."""
        ...

    def close(self) -> None:
        """Release the consumer; may be called twice."""
        ...


class KafkaReader:
    """The Reader (dataflows.sources.base) over one consumer for all its partitions.

    Guarantees: every committed record from the start offset on comes once, in offset order within its partition, or
    an error is raised; a broker's restart is ridden out. Does not guarantee an order between partitions.
    """

    def __init__(
        self,
        topic: KafkaTopic,
        fetcher: Fetcher,
        watcher: EndWatcher,
        starts: Mapping[int, int],
        stops: Mapping[int, int] | None,
        *,
        trust_producer_time: bool,
        batch_bytes: int,
        batch_messages: int,
        clock: Callable[[], int],
        on_wait: Callable[[str], None],
    ) -> None:
        """Take the parts, the offset to start at by partition, and where to stop (None: read on for ever)."""
        self._topic = topic
        self._fetcher = fetcher
        self._watcher = watcher
        self._logs = {partition: LogId(topic.name, str(partition)) for partition in starts}
        self._next = dict(starts)
        self._stops = stops
        self._unfinished = set(starts)
        self._trust = trust_producer_time
        self._batch_bytes = batch_bytes
        self._batch_messages = batch_messages
        self._clock = clock
        self._on_wait = on_wait
        self._told_at: int | None = None
        self._mean_size = 1024.0
        for partition in starts:
            self._stop_if_done(partition)

    def poll(self) -> list[RecordBatch]:
        """Return at most one batch a partition; a batch without records moves next_offset past control records.

        Raises SourceError where records are lost, unreadable or stamped by another clock than is trusted.
        """
        self._watch()
        most = max(1, min(self._batch_messages, int(self._batch_bytes / self._mean_size)))
        pieces, notices = self._fetcher.drain(most, WAIT)
        self._learn_size(pieces)
        batches = {piece.partition: batch for piece in pieces if (batch := self._batch(piece)) is not None}
        for notice in notices:
            if notice.partition in self._next and notice.partition not in self._unfinished:
                continue  # it has reached its stop: whatever happens to it now is another run's matter
            if notice.code != KafkaError._PARTITION_EOF:
                self._judge(notice)
            elif notice.offset > self._next[notice.partition]:
                batches[notice.partition] = self._moved(notice.partition, notice.offset, batches.get(notice.partition))
        for partition, batch in batches.items():
            self._next[partition] = batch.next_offset
            self._stop_if_done(partition)
        return list(batches.values())

    def ends(self) -> Mapping[LogId, LogEnd]:
        """Return the newest sight of each partition's end (see kafka_ends); missing until there is one."""
        return {self._logs[partition]: end for partition, end in self._watcher.ends.items()}

    @property
    def exhausted(self) -> bool:
        """Say whether every partition has reached its stop; without stops never, unless there is no partition."""
        return not self._unfinished

    def close(self) -> None:
        """Release the consumer; may be called twice."""
        self._fetcher.close()

    def _watch(self) -> None:
        now = self._clock()
        self._watcher.tick(now)
        waiting = self._watcher.waiting(now)
        if waiting is None:
            self._told_at = None
        elif self._told_at is None or now - self._told_at >= TELL_AGAIN:
            self._told_at = now
            self._on_wait(f"{self._topic.uri}: {waiting}; waiting, nothing is lost")

    def _learn_size(self, pieces: Sequence[Piece]) -> None:
        records = sum(len(piece.offsets) for piece in pieces)
        if records:
            mean = max(1.0, sum(len(piece.data) for piece in pieces) / records)
            # Up at once, so that a turn to large messages is not read by the thousand; down by halves.
            self._mean_size = max(mean, (self._mean_size + mean) / 2)

    def _batch(self, piece: Piece) -> RecordBatch | None:
        partition, data, ends, offsets, stamps, not_broker = piece
        assert offsets[0] >= self._next[partition], f"{self._logs[partition]}: offset {offsets[0]} came twice"
        assert bool((np.diff(offsets) > 0).all()), f"{self._logs[partition]}: offsets out of order"
        next_offset = int(offsets[-1]) + 1
        stop = None if self._stops is None else self._stops[partition]
        if stop is not None and next_offset > stop:
            if partition not in self._unfinished:
                return None
            kept = int(np.searchsorted(offsets, stop))
            ends, offsets, stamps = ends[:kept], offsets[:kept], stamps[:kept]
            data, next_offset = data[: int(ends[-1]) if kept else 0], stop
            not_broker = None if not_broker is None or not_broker >= stop else not_broker
        if not_broker is not None and not self._trust:
            self._refuse_stamp(partition, not_broker)
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1]
        if self._trust:
            self._check_stamps(partition, offsets, stamps)
        # A producer may leave its stamp out (-1): then the record says nothing about the clock, which never goes back.
        times = np.maximum(stamps, 0) * 1000
        return RecordBatch(self._logs[partition], data, starts, ends, offsets, times, next_offset)

    def _check_stamps(self, partition: int, offsets: Int64s, stamps: Int64s) -> None:
        """Refuse a producer's stamp that no event may carry: the clock never goes back, and would stay there."""
        if len(stamps) and int(stamps.max()) * 1000 >= END_OF_TIME:
            at = int(offsets[int(stamps.argmax())])
            raise SourceError(
                f"{self._topic.uri}: the record at partition {partition}, offset {at} is stamped past the year 2099 by "
                "its producer, and trust_producer_time lets that be the log's clock. Delete the records up to it, or "
                "copy the topic into one with LogAppendTime. Nothing of it was counted"
            )

    def _moved(self, partition: int, position: int, batch: RecordBatch | None) -> RecordBatch:
        """Return the partition's batch, or an empty one, read on to the position at which its end was met."""
        if self._stops is not None:
            position = min(position, self._stops[partition])
        if batch is None:
            none = np.empty(0, np.int64)
            return RecordBatch(self._logs[partition], b"", none, none, none, none, position)
        return replace(batch, next_offset=max(batch.next_offset, position))

    def _stop_if_done(self, partition: int) -> None:
        if self._stops is not None and self._next[partition] >= self._stops[partition]:
            if partition in self._unfinished:
                self._fetcher.rest(partition)
            self._unfinished.discard(partition)

    def _refuse_stamp(self, partition: int, offset: int) -> NoReturn:
        raise SourceError(
            f"{self._topic.uri}: the record at partition {partition}, offset {offset} carries its producer's time, not "
            "the broker's: it was written while the topic had message.timestamp.type=CreateTime. Read a topic that "
            "has had LogAppendTime from its first record on, or set trust_producer_time. Nothing of it was counted"
        ).at(self._logs[partition], offset)

    def _judge(self, notice: Notice) -> None:
        if notice.code in PASSING:
            return  # the watcher sees it as well, and tells
        where = f"{self._topic.uri}: partition {notice.partition}"
        log = self._logs.get(notice.partition)
        if log is None:
            raise SourceError(f"{self._topic.uri}: {notice.text}")  # of the client itself
        if notice.code not in OUT_OF_RANGE:
            raise SourceError(f"{where}, offset {notice.offset}: {notice.text}").at(log, notice.offset)
        wanted = self._next[notice.partition]
        start = self._topic.offsets("start", [notice.partition])[notice.partition]
        if wanted < start:
            raise SourceError(
                f"{where}: offsets {wanted} to {start - 1} are gone (retention or a deletion): the log starts "
                f"at {start} now. Start again: where all of them had been metered, the run goes on; where not, it says "
                "so. See that the topic keeps its records longer than a run may be down"
            ).at(log, wanted)
        end = self._topic.offsets("high", [notice.partition])[notice.partition]
        raise SourceError(
            f"{where}: offset {wanted} is past the log's end at {end} ({notice.text}): the log has lost records, or is "
            "another one under the same name"
        ).at(log, wanted)
