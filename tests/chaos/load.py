"""Live load: what producers do to a topic while everything else goes wrong.

Repeats and conflicts, late and ancient events over several months, values of every shape, malformed records; values
sent again in later batches, within the dedupe horizon and beyond it; and a client that retries without idempotence, so
that an answer that is lost on the way is a record twice.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, Message

from schemas.metering import MeterSettings
from tests.flow.topics import IN_FORMAT, SECOND, Traffic, arrays, arrow_streams, ndjson
from tests.flow.traffic import BROKEN
from tests.kafka.helpers import DEADLINE, producer

DAY: Final = 86_400
PACE: Final = 0.03
"""Seconds between two handfuls."""
KEPT: Final = 400
"""Values of a partition that may be sent once more."""


class WideTraffic(Traffic):
    """Most events are on time, and some weeks old, so that an insert touches several months and may be cut between."""

    def __init__(self, name: str, lateness: int) -> None:
        super().__init__(name, 0, memory=120)
        self._lateness = lateness

    def _age(self) -> int:
        kind = self.chance.random()
        if kind < 0.04:
            return self.chance.randrange(1, 80) * DAY * SECOND
        if kind < 0.75:
            return self.chance.randrange(self._lateness)
        return super()._age()


class Load:
    """A producer that goes on until it is told to stop. Everything that the brokers acknowledged is kept in mind."""

    def __init__(
        self, address: str, topic: str, settings: MeterSettings, *, seed: str, partitions: int, rate: int
    ) -> None:
        """Send about `rate` events a second. Where the settings trust producers, their clock stamps, and jumps."""
        self._client = producer(address, retry_backoff_ms=50, retries=1_000_000, socket_timeout_ms=10_000)
        self._topic = topic
        self._chance = random.Random(seed)
        self._traffic = [WideTraffic(f"{seed}-{number}", settings.allowed_lateness) for number in range(partitions)]
        self._sent: list[list[bytes]] = [[] for _ in range(partitions)]
        self._format = settings.format
        self._rate = rate
        self._behind: int | None = 3_000 * SECOND if settings.trust_producer_time else None
        """How far the producer's clock is behind, in microseconds; None where the brokers stamp."""
        self.acknowledged: list[set[int]] = [set() for _ in range(partitions)]
        self.failed: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="load", daemon=True)

    def _go_on(self) -> None:
        while not self._stop.wait(PACE):
            self._handful(self._chance.randrange(len(self._traffic)))
            self._client.poll(0)

    def _now(self) -> int:
        now = time.time_ns() // 1000
        if self._behind is None:
            return now
        if self._chance.random() < 0.02:  # the producer's clock is set, forwards or back
            self._behind = max(0, self._behind + self._chance.randrange(-40, 30) * SECOND)
        return now - self._behind

    def _handful(self, partition: int) -> None:
        chance, traffic = self._chance, self._traffic[partition]
        traffic.now = now = self._now()
        count = chance.randrange(1, max(2, int(2 * self._rate * PACE)))
        values = self._values(traffic.events(count))
        kept = self._sent[partition]
        if kept and chance.random() < 0.06:  # a batch that is sent once more, as it was
            first = chance.randrange(len(kept))
            values += kept[first : first + chance.randrange(1, 12)]
        self._sent[partition] = [*kept, *values][-KEPT:]
        for value in values:
            self._send(partition, value, now)

    def _values(self, events: Sequence[dict[str, Any]]) -> list[bytes]:
        chance = self._chance
        made = [IN_FORMAT[self._format](event) for event in events]
        native = self._format == "tally"
        # An Arrow stream has the native fields alone.
        whole = [{**event, "attributes": {"user": event["event_id"][-2:]}} for event in made] if native else made
        if chance.random() < 0.7:
            values = [json.dumps(event).encode() for event in whole]
        else:
            ways: list[Callable[[Any], list[bytes | None]]] = [arrays, ndjson]
            way = chance.choice([*ways, arrow_streams] if native else ways)
            values = [value for value in way(made if way is arrow_streams else whole) if value]
        if chance.random() < 0.05:
            values.append(chance.choice([*BROKEN, b"", b"\xff\xff\xff\xff"]))
        return values

    def _send(self, partition: int, value: bytes, stamp: int) -> None:
        def told(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is not None:
                self.failed[error.name()] += 1
            elif offset is not None:
                self.acknowledged[partition].add(offset)

        time_of_it = 0 if self._behind is None else stamp // 1000  # 0: the client's own
        while True:
            try:
                self._client.produce(self._topic, value, partition=partition, on_delivery=told, timestamp=time_of_it)
                return
            except BufferError:
                self._client.poll(0.1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop, and wait until the brokers have everything."""
        self._stop.set()
        self._thread.join(DEADLINE)
        left = self._client.flush(DEADLINE)
        assert not left, f"the brokers did not take {left} records"

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
