"""Topics for whole runs: seeded events with every kind of trouble in every wire format, and what was kept of them.

Events are stamped around the time at which a test runs, since the broker stamps its records with that time.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, Message, TopicPartition

from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import open_store
from tally.units import show_instant
from tests import oracle
from tests.flow.traffic import BROKEN
from tests.flow.truth import Truth, events_of, expected, stored
from tests.kafka.helpers import finish, producer, send

SECOND: Final = 1_000_000
CATEGORIES: Final = {"error": 1, "transaction": 2, "attachment": 4, "span": 12}
READ_TIMEOUT: Final = 60.0
"""Seconds without a message after which reading a topic back is given up."""
PACE: Final = 0.025
"""Seconds between two handfuls of a producer that goes on: enough traffic, and little enough for the oracle."""

Event = dict[str, Any]
Records = list[list[oracle.Record]]
"""The records of each partition of a topic."""


class Traffic:
    """Events of one partition in the native format: repeated, in conflict, late, ancient, ahead, of bad values."""

    def __init__(self, name: str, now: int, memory: int = 40) -> None:
        """Take a name that no other partition has (event ids carry it) and the time now, in microseconds UTC.

        What is repeated is one of the last `memory` events.
        """
        self.chance = random.Random(name)
        self.now = now
        self._name = name
        self._memory = memory
        self._number = 0
        self._recent: list[Event] = []

    def event(self) -> Event:
        """Return the next event."""
        chance = self.chance
        if self._recent and chance.random() < 0.1:
            again = dict(chance.choice(self._recent))
            if chance.random() < 0.3:
                again["quantity"] += 1
            return again
        self._number += 1
        made = {
            "event_id": f"{self._name}-{self._number}",
            "org_id": chance.choice([1, 1, 1, 2, 3, 42]),
            "project_id": chance.randrange(3),
            "category": chance.choice(list(CATEGORIES)),
            "quantity": chance.choice([0, 1, 1, 5, 1000, 2**40]),
            "timestamp": show_instant(self.now - self._age()),
        }
        self._recent = [*self._recent[1 - self._memory :], made]
        if chance.random() < 0.02:
            made |= chance.choice([{"category": "nope"}, {"quantity": -1}, {"timestamp": "yesterday"}])
            self._recent.pop()
        return made

    def events(self, count: int) -> list[Event]:
        return [self.event() for _ in range(count)]

    def _age(self) -> int:
        """Return how old an event is when it is sent, in microseconds; some are late, too old, or ahead."""
        kind = self.chance.random()
        if kind < 0.08:
            seconds = self.chance.randrange(200, 4_000)
        elif kind < 0.09:
            seconds = 91 * 86_400
        elif kind < 0.10:
            seconds = -3_600
        else:
            seconds = self.chance.randrange(0, 100)
        return seconds * SECOND + self.chance.randrange(SECOND)


def as_cloudevent(event: Event) -> Event:
    return {
        "specversion": "1.0",
        "type": event["category"],
        "source": "service-0",
        "id": event["event_id"],
        "subject": str(event["org_id"]),
        "time": event["timestamp"],
        "data": {"quantity": event["quantity"], "project_id": event["project_id"]},
    }


def as_outcome(event: Event) -> Event:
    """Return Sentry's outcome; about a third of them are not billable."""
    return {
        "timestamp": event["timestamp"],
        "outcome": event["quantity"] % 3 if event["quantity"] in (1, 5) else 0,
        "org_id": event["org_id"],
        "project_id": event["project_id"],
        "category": CATEGORIES.get(event["category"], 999),
        "quantity": event["quantity"],
    }


IN_FORMAT: Final[dict[str, Callable[[Event], Event]]] = {
    "tally": dict,
    "cloudevents": as_cloudevent,
    "sentry-outcomes": as_outcome,
}
"""Native event to the event of each wire format."""


def singles(events: Sequence[Event]) -> list[bytes | None]:
    """Return one event a value, and among them what is no event at all, an empty value and none."""
    return [*BROKEN, *(json.dumps(event).encode() for event in events), b"", None]


def arrays(events: Sequence[Event]) -> list[bytes | None]:
    return [json.dumps(some).encode() for some in _pieces(events)]


def ndjson(events: Sequence[Event]) -> list[bytes | None]:
    lines = [[json.dumps(event).encode() for event in some] for some in _pieces(events)]
    lines[0].insert(1, b"{")
    return [b"\n".join(some) for some in lines if len(some) > 1]


def arrow_streams(events: Sequence[Event]) -> list[bytes | None]:
    """Return Arrow IPC streams of the native fields, and one that is cut short."""
    streams = []
    for some in _pieces(events):
        sink = pa.BufferOutputStream()
        batch = pa.RecordBatch.from_pylist(list(some))
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        streams.append(sink.getvalue().to_pybytes())
    return [*streams, streams[0][: len(streams[0]) // 2]]


def _pieces(events: Sequence[Event]) -> Iterable[Sequence[Event]]:
    for start in range(0, len(events), 17):
        yield events[start : start + 17]


def read_back(address: str, topic: str, partitions: int, settings: MeterSettings) -> Records:
    """Return what a plain read_committed consumer finds in each partition, decoded by the contract."""
    # By value: a record that was read once stays what it is, and the producer repeats many.
    found: Records = [[] for _ in range(partitions)]
    for message in _messages(address, topic, partitions):
        partition, offset = message.partition(), message.offset()
        kind, stamp = message.timestamp()
        assert partition is not None
        assert offset is not None
        assert kind != TIMESTAMP_NOT_AVAILABLE
        events = events_of(message.value() or b"", settings)
        found[partition].append(oracle.Record(offset, stamp * 1000, events))
    return found


def in_store(url: str, topic: str, partitions: int) -> tuple[list[Truth], list[Progress]]:
    """Return what a store says of each partition of a topic."""
    logs = [LogId(topic, str(number)) for number in range(partitions)]
    with open_store(url, create=False) as store:
        progress = store.progress()
        return [stored(store, log) for log in logs], [progress[log] for log in logs]


def truths(records: Records, settings: MeterSettings, read: list[Progress]) -> list[Truth]:
    """Return what the oracle says of each partition, as far as it was read."""
    return [
        expected([record for record in log if record.offset < progress.next_offset], settings)
        for log, progress in zip(records, read, strict=True)
    ]


def _messages(address: str, topic: str, partitions: int) -> Iterable[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "tests",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        unread = set(range(partitions))
        while unread:
            message = consumer.poll(READ_TIMEOUT)
            assert message is not None, f"{topic}: no end after {READ_TIMEOUT:g} s in partitions {unread}"
            if (error := message.error()) is None:
                yield message
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                unread.discard(message.partition())
    finally:
        consumer.close()


def send_stamped(address: str, topic: str, records: Iterable[tuple[int, bytes, int]]) -> None:
    """Produce (partition, value, the producer's own time in microseconds UTC) and wait until the broker has them."""
    client = producer(address)
    for partition, value, stamp in records:
        client.produce(topic, value, partition=partition, timestamp=stamp // 1000)
        client.poll(0)
    finish(client)


def ends_of(address: str, topic: str, partitions: int) -> list[int]:
    """Return where each partition ends now."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "tests", "log_level": 0})
    try:
        found = [consumer.get_watermark_offsets(TopicPartition(topic, number), 30) for number in range(partitions)]
        return [edges[1] for edges in found if edges is not None]
    finally:
        consumer.close()


class Producing:
    """A producer that goes on, some hundred events a second, until it is told to stop."""

    def __init__(self, address: str, topic: str, traffic: Sequence[Traffic]) -> None:
        """Take one Traffic a partition; their clock follows the time."""
        self._client = producer(address)
        self._topic = topic
        self._traffic = traffic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def _go_on(self) -> None:
        while not self._stop.wait(PACE):
            for partition, traffic in enumerate(self._traffic):
                traffic.now = time.time_ns() // 1000
                values = [json.dumps(event).encode() for event in traffic.events(10)]
                send(self._client, self._topic, [(partition, value) for value in values])
            self._client.poll(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(READ_TIMEOUT)
        finish(self._client)
