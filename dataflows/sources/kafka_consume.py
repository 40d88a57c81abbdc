"""The portable way to get records out of librdkafka: one Python object a message, touched as little as can be."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaException, Message, TopicPartition

from dataflows.sources.kafka_reader import Notice, Piece
from schemas.errors import SettingsError

LARGEST_DRAIN: Final = 1_000_000
"""librdkafka's own limit of consume()."""


class ConsumeFetcher:
    """A Fetcher over confluent-kafka's Consumer."""

    def __init__(self, properties: Mapping[str, Any], topic: str, starts: Mapping[int, int]) -> None:
        """Assign those partitions from those offsets. Raises SettingsError for a property that librdkafka refuses."""
        try:
            self._consumer: Consumer | None = Consumer(dict(properties))
        except KafkaException as error:
            raise SettingsError(f"kafka consumer: {error.args[0].str()}") from error
        self._topic = topic
        self._consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])

    def drain(self, most: int, timeout: float) -> tuple[Sequence[Piece], Sequence[Notice]]:
        """Return up to `most` records that are there, or come within `timeout` seconds, and the events among them."""
        assert self._consumer is not None, "the reader is closed"
        messages = self._consumer.consume(min(most, LARGEST_DRAIN), timeout)
        if not messages:
            return (), ()
        partitions = [message.partition() for message in messages]
        first = partitions[0]
        if partitions.count(first) == len(partitions):
            groups = {first: messages}
        else:
            groups = {}
            for partition, message in zip(partitions, messages, strict=True):
                groups.setdefault(partition, []).append(message)
        pieces: list[Piece] = []
        notices: list[Notice] = []
        for partition, group in groups.items():
            _split(-1 if partition is None else partition, group, pieces, notices)
        return pieces, notices

    def rest(self, partition: int) -> None:
        """Fetch no more of that partition."""
        assert self._consumer is not None, "the reader is closed"
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Release the consumer; may be called twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaException):  # a consumer that cannot say goodbye is gone all the same
                consumer.close()


def _split(partition: int, messages: list[Message], pieces: list[Piece], notices: list[Notice]) -> None:
    not_broker = None
    # Also how an event shows: it has no timestamp. (Asked twice, timestamp() is faster than its tuples kept.)
    if {message.timestamp()[0] for message in messages} != {TIMESTAMP_LOG_APPEND_TIME}:
        records = []
        for message in messages:
            error = message.error()
            if error is not None:
                notices.append(Notice(partition, message.offset() or 0, error.code(), error.str()))
                continue
            records.append(message)
            if not_broker is None and message.timestamp()[0] != TIMESTAMP_LOG_APPEND_TIME:
                not_broker = message.offset()
        if not records:
            return
        messages = records
    values = [message.value() or b"" for message in messages]  # a tombstone's None is an empty value
    count = len(messages)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, count))
    offsets = np.fromiter([message.offset() for message in messages], np.int64, count)
    stamps = np.fromiter([message.timestamp()[1] for message in messages], np.int64, count)
    pieces.append(Piece(partition, b"".join(values), ends, offsets, stamps, not_broker))
