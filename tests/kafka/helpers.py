"""Topics and records for tests, and readers read to where they should be."""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented there, but not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from dataflows.sources.base import Reader
from dataflows.sources.kafka import KafkaSource
from schemas.log import LogId, RecordBatch

SourceMaker = Callable[..., KafkaSource]

Record = tuple[int, bytes | None]
"""A partition and a value."""

DEADLINE: Final = 60.0
"""Seconds after which a test gives up; nothing passes because of it."""

_numbers = itertools.count()


def admin(address: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": address, "log_level": 0})


def create_topic(address: str, partitions: int = 1, name: str | None = None, **config: str) -> str:
    """Create a topic and return its name, a new one if none is given; config keys take _ for a dot."""
    name = name or f"t-{os.getpid()}-{time.time_ns()}-{next(_numbers)}"
    settings = {key.replace("_", "."): value for key, value in config.items()}
    client = admin(address)  # kept until the answer is there: a client that is let go takes its requests with it
    client.create_topics([NewTopic(name, partitions, 1, config=settings)], operation_timeout=30)[name].result(30)
    return name


def delete_topic(address: str, topic: str) -> None:
    client = admin(address)
    client.delete_topics([topic], operation_timeout=30)[topic].result(30)


def grow(address: str, topic: str, partitions: int) -> None:
    client = admin(address)
    client.create_partitions([NewPartitions(topic, partitions)], operation_timeout=30)[topic].result(30)


def set_topic_config(address: str, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    client = admin(address)
    client.incremental_alter_configs([resource])[resource].result(30)


def delete_records(address: str, topic: str, partition: int, before: int) -> None:
    """Delete a partition's records below an offset, as retention would."""
    client = admin(address)
    for future in client.delete_records([TopicPartition(topic, partition, before)], operation_timeout=30).values():
        future.result(30)


def producer(address: str, **config: str | int) -> Producer:
    """Return a producer that keeps order; config keys take _ for a dot.

    One request at a time does so too, and saves the half second in which an idempotent producer gets its id.
    """
    settings = {key.replace("_", "."): value for key, value in config.items()}
    ordered = {} if "transactional.id" in settings else {"max.in.flight.requests.per.connection": 1}
    return Producer(
        {"bootstrap.servers": address, "log_level": 0, "acks": "all", "linger.ms": 5, **ordered, **settings}
    )


def produce(address: str, topic: str, records: Iterable[Record], **config: str | int) -> None:
    """Produce records and wait until the broker has them all."""
    client = producer(address, **config)
    send(client, topic, records)
    finish(client)


def send(client: Producer, topic: str, records: Iterable[Record]) -> None:
    for partition, value in records:
        while True:
            try:
                client.produce(topic, value, partition=partition)
                break
            except BufferError:
                client.poll(0.1)


def finish(client: Producer) -> None:
    assert client.flush(DEADLINE) == 0, "the broker did not take every record"


def transaction(client: Producer, topic: str, records: Iterable[Record], *, commit: bool) -> None:
    """Produce records in one transaction of a client that has a transactional.id, then commit or abort it."""
    client.begin_transaction()
    send(client, topic, records)
    finish(client)
    if commit:
        client.commit_transaction(DEADLINE)
    else:
        client.abort_transaction(DEADLINE)


class Read:
    """What a reader gave: batches by log, in order."""

    def __init__(self) -> None:
        self.batches: dict[LogId, list[RecordBatch]] = {}

    def add(self, batches: Sequence[RecordBatch]) -> None:
        for batch in batches:
            assert len(batch.offsets) == len(batch.starts) == len(batch.ends)
            assert batch.timestamps is not None
            assert len(batch.timestamps) == len(batch)
            assert not len(batch) or batch.next_offset > batch.offsets[-1]
            self.batches.setdefault(batch.log, []).append(batch)

    def values(self, log: LogId) -> list[bytes]:
        return [
            batch.data[start:end]
            for batch in self.batches.get(log, [])
            for start, end in zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)
        ]

    def offsets(self, log: LogId) -> list[int]:
        return [offset for batch in self.batches.get(log, []) for offset in batch.offsets.tolist()]

    def timestamps(self, log: LogId) -> list[int]:
        found = [batch.timestamps for batch in self.batches.get(log, [])]
        return [stamp for stamps in found if stamps is not None for stamp in stamps.tolist()]

    def next_offset(self, log: LogId) -> int:
        return self.batches[log][-1].next_offset

    def positions(self) -> Mapping[LogId, int]:
        return {log: self.next_offset(log) for log in self.batches}

    def records(self) -> int:
        return sum(len(batch) for batches in self.batches.values() for batch in batches)


def read_until(reader: Reader, done: Callable[[Read], bool], read: Read | None = None) -> Read:
    """Poll until `done`, or fail after DEADLINE seconds."""
    read = read or Read()
    deadline = time.monotonic() + DEADLINE
    while not done(read):
        assert time.monotonic() < deadline, f"not there after {DEADLINE:g} s: {read.positions()}"
        read.add(reader.poll())
    return read


def read_all(reader: Reader) -> Read:
    """Read a reader that stops to its stop, and close it."""
    try:
        return read_until(reader, lambda _: reader.exhausted)
    finally:
        reader.close()
