"""Traffic into a Kafka topic, every record's delivery checked.

    expected = generate_topic("127.0.0.1:9092", "usage", TrafficSpec(events=100_000), create=True)

Guaranteed, when it returns: each record is in the partition that the expectation says, once and in the order made (an
idempotent producer that waits for all replicas). Not guaranteed: how much of it counts as late, which depends on the
broker's clock; everything else is exact as long as producing takes less than a day, and a repeat, which follows its
original within about a second, is not held up for as long as the dedupe horizon.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented there, but not in its __all__
    AdminClient,
    NewTopic,
)

from dataflows.sources.base import wall_clock
from dataflows.sources.kafka_topic import KafkaTopic, Property, reason
from schemas.errors import SettingsError, SourceError, TallyError
from tally.generate import plan as p
from tally.generate.arrow import ArrowRecords
from tally.generate.expected import Expected
from tally.generate.pace import Pace
from tally.generate.spec import TrafficSpec
from tally.generate.traffic import CHUNK, ShowProgress, Traffic, show_nothing

FIXED: Final[Mapping[str, Property]] = {
    "enable.idempotence": True,  # a record that is sent again by the client is not in the log twice
    "acks": "all",
    "allow.auto.create.topics": False,
    "delivery.report.only.error": True,
}
TUNED: Final[Mapping[str, Property]] = {
    "client.id": "tally-generate",
    "log_level": 0,  # what goes wrong is told once, by the delivery reports
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 262_144,
    "message.timeout.ms": 60_000,
}

Record = tuple[int, bytes | None, bytes]
"""Partition, key and value."""


def generate_topic(
    bootstrap: str,
    topic: str,
    spec: TrafficSpec,
    progress: ShowProgress = show_nothing,
    *,
    create: bool = False,
    append: bool = False,
    properties: Mapping[str, Property] | None = None,
    timeout: float = 10.0,
    now: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Expected:
    """Produce traffic to a topic and return what to expect of it; partitions are named by their numbers.

    A topic that exists keeps its number of partitions; `create` makes one of `spec.partitions` that has the broker's
    timestamps. `append`: produce to a topic that has records already. `properties`: librdkafka's, for TLS, SASL and
    tuning. `timeout`: seconds that a broker may take to answer a question. `now`: the wall clock, microseconds UTC.
    Raises SettingsError, SourceError (no such topic, no broker), TallyError where a record was not delivered.
    """
    given = dict(properties or {})
    for name, value in FIXED.items():
        if name in given and str(given[name]).lower() != str(value).lower():
            raise SettingsError(f"kafka property {name}: must stay {str(value).lower()!r} here; remove it")
    about = KafkaTopic(bootstrap, topic, given, timeout)
    produced_at = wall_clock() if now is None else now
    spec = spec.for_topic(produced_at)
    if create:
        _create(about, bootstrap, given, spec.partitions, timeout)
    partitions = _partitions(about)
    if spec.partitions not in {1, len(partitions)}:
        raise SettingsError(f"{about.uri}: the topic has {len(partitions)} partitions, not {spec.partitions}")
    starts = about.offsets("high", partitions)
    if not append and starts != about.offsets("start", partitions):
        raise SettingsError(
            f"{about.uri}: the topic has records already, which the expectation would not cover; name another topic, "
            "or --force to produce to it none the less (with another --seed, since the same one repeats the same ids)"
        )
    spec = replace(spec, partitions=len(partitions))
    pace = Pace(spec.rate, sleep=sleep)
    traffic = Traffic(spec, now=produced_at, end=b"", chunk=pace.chunk(CHUNK))
    sender = _Sender({**TUNED, **given, **FIXED, "bootstrap.servers": bootstrap}, topic, about.uri)
    for records, done in _records(traffic):
        sender.send(records)
        progress(done, spec.events)
        pace.keep(done)
    sender.finish()
    _check_arrival(about, starts, traffic)
    return traffic.expected([str(partition) for partition in partitions], sender.nbytes)


def _records(traffic: Traffic) -> Iterator[tuple[Iterator[Record], int]]:
    """Give the records chunk by chunk, and how many events are done with each."""
    spec = traffic.spec
    if spec.packing == "arrow":
        packer = ArrowRecords(spec.meter.catalogue, spec.partitions, spec.per_record)
        traffic.records = packer.records
        for plan, done in traffic.plans():
            yield ((partition, None, value) for partition, value in packer.add(plan)), done
        yield ((partition, None, value) for partition, value in packer.finish()), spec.events
        return
    waiting = [b""] * spec.partitions
    keys: dict[int, bytes] = {}

    def cut(data: bytes, ends: list[int], partitions: list[int], orgs: list[int]) -> Iterator[Record]:
        start = current = 0
        for end, partition, org in zip(ends, partitions, orgs, strict=True):
            while current < partition:  # what is left of a partition goes on in the next chunk
                waiting[current] += data[start : partition_ends[current]]
                start = partition_ends[current]
                current += 1
            value = data[start:end]
            if waiting[partition]:
                value, waiting[partition] = waiting[partition] + value, b""
            start = end
            # A record of several organisations' events has no key: its partition is all that they share.
            key = keys.setdefault(org, str(org).encode()) if spec.per_record == 1 else None
            yield partition, key, value
        while current < spec.partitions:
            waiting[current] += data[start : partition_ends[current]]
            start = partition_ends[current]
            current += 1

    for chunk in traffic.chunks():
        partition_ends = chunk.partition_ends.tolist()
        rows = chunk.plan[chunk.record_events]
        data = chunk.data[: partition_ends[-1]].tobytes()
        yield cut(data, chunk.record_ends.tolist(), rows[:, p.PARTITION].tolist(), rows[:, p.ORG].tolist()), chunk.done
    rest = [
        (partition, None, begun + close)
        for partition, (begun, close) in enumerate(zip(waiting, traffic.unfinished(), strict=True))
        if begun
    ]
    yield iter(rest), spec.events


class _Sender:
    """A producer whose queue is bounded and whose failures are kept."""

    def __init__(self, settings: dict[str, Any], topic: str, uri: str) -> None:
        try:
            self._producer = Producer(settings | {"on_delivery": self._failed})
        except KafkaException as error:  # an unknown or malformed property: librdkafka names it
            raise SettingsError(f"{uri}: {reason(error)}") from error
        self._topic, self._uri = topic, uri
        self._problem: KafkaError | None = None
        self.nbytes = 0

    def send(self, records: Iterator[Record]) -> None:
        """Queue records, waiting while the queue is full."""
        produce, topic, nbytes = self._producer.produce, self._topic, 0
        for partition, key, value in records:
            while True:
                try:
                    produce(topic, value, key, partition)
                    break
                except BufferError:
                    self._producer.poll(0.05)
                    self._check()
            nbytes += len(value)
        self.nbytes += nbytes
        self._producer.poll(0)
        self._check()

    def finish(self) -> None:
        """Wait until every record was delivered."""
        while self._producer.flush(1.0):
            self._check()
        self._check()

    def _failed(self, problem: KafkaError | None, _message: object) -> None:
        self._problem = self._problem or problem

    def _check(self) -> None:
        if self._problem is not None:
            self._producer.purge()
            raise TallyError(
                f"{self._uri}: a record was not delivered ({self._problem.str()}). The topic holds a part of the "
                "traffic, which no expectation covers: make it again into another topic"
            )


def _partitions(about: KafkaTopic) -> tuple[int, ...]:
    try:
        return about.describe().partitions
    except SourceError as error:
        cause = error.__cause__
        missing = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
        if isinstance(cause, KafkaException) and cause.args[0].code() in missing:
            raise SourceError(
                f"{about.uri}: the broker has no topic {about.name!r} (or does not let this client see it); "
                "--create-topic creates it, or correct the name"
            ) from error
        raise


def _create(
    about: KafkaTopic, bootstrap: str, properties: dict[str, Property], partitions: int, timeout: float
) -> None:
    """Create the topic, with the broker's timestamps, where there is none."""
    client = AdminClient({**properties, "bootstrap.servers": bootstrap, "log_level": 0})
    wanted = NewTopic(about.name, partitions, config={"message.timestamp.type": "LogAppendTime"})
    try:
        client.create_topics([wanted], operation_timeout=timeout, request_timeout=timeout)[about.name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise SourceError(f"{about.uri}: the topic cannot be created: {reason(error)}") from error
    deadline = time.monotonic() + timeout
    while True:  # other brokers may hear of the topic a moment later
        try:
            about.describe()
            return
        except SourceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _check_arrival(about: KafkaTopic, starts: dict[int, int], traffic: Traffic) -> None:
    """Ask the broker how far each partition has grown: every record that was made, and no other."""
    ends = about.offsets("high", sorted(starts))
    for partition, start in starts.items():
        grown, made = ends[partition] - start, int(traffic.records[partition])
        if grown != made:
            raise TallyError(
                f"{about.uri}: partition {partition} grew by {grown:,} records while {made:,} were produced: someone "
                "else writes to the topic, or the broker lost records; the expectation does not cover it"
            )
