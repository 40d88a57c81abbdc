"""The number of processes changed, and that of a topic's partitions, both under load: what stays exact and what not."""

import json
import signal
import time
from functools import partial
from pathlib import Path
from zlib import crc32

import pytest

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.units import show_instant
from tests.flow.processes import ok
from tests.flow.running import Running, run, until
from tests.flow.topics import Producing, Traffic, in_store, read_back, send_stamped
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic, grow, produce
from tests.store.serving import ServerProcess

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())
OURS = 777
"""An organisation that the load has no events of."""
KEYS = 60


def load(name: str, partitions: int) -> list[Traffic]:
    return [Traffic(f"{name}-{partition}", time.time_ns() // 1000) for partition in range(partitions)]


def test_one_process_then_two_then_one_under_load(kafka: str, tmp_path: Path) -> None:
    """Stopped in good order, then killed: whoever reads a partition next, its rows go on as if nobody had changed."""
    topic = create_topic(kafka, 3)
    with ServerProcess(tmp_path / "store") as server:
        command = (f"kafka://{kafka}/{topic}", "--store", server.url)

        def read() -> list[int]:
            return [progress.next_offset for progress in in_store(server.url, topic, 3)[1]]

        def read_on(before: list[int], running: Running) -> bool:
            assert running.process.poll() is None, running.end()
            return all(now > then + 100 for now, then in zip(read(), before, strict=True))

        with Producing(kafka, topic, load("scaling", 3)):
            with run(*command) as alone:
                alone.until_counted(400)
                assert alone.end(signal.SIGTERM) == 0
            before = read()
            with run(*command, "--processes", "2") as pair:
                until(partial(read_on, before, pair))
                pair.end(signal.SIGKILL)
        ok("run", *command, "--until-end")
        found, progress = in_store(server.url, topic, 3)
    assert found == [expected(log, SETTINGS) for log in read_back(kafka, topic, 3, SETTINGS)]
    assert {at.generation for at in progress} == {1}


class Keyed:
    """A producer that places an event by its key, as Kafka's own do: by a hash, modulo the number of partitions."""

    def __init__(self, kafka: str, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._timestamp = show_instant(time.time_ns() // 1000)

    def send(self, name: str, partitions: int) -> None:
        """Send KEYS events, or send them again: the same name makes the same events."""
        produce(self._kafka, self._topic, keyed_events(name, partitions, self._timestamp))


def place(key: str, partitions: int) -> int:
    return crc32(key.encode()) % partitions


def moved_keys(name: str) -> int:
    """Return how many keys have another partition among four than among two."""
    return sum(place(f"{name}-{number}", 2) != place(f"{name}-{number}", 4) for number in range(KEYS))


def keyed_events(name: str, partitions: int, timestamp: str) -> list[tuple[int, bytes]]:
    event = {"org_id": OURS, "project_id": 1, "category": "error", "quantity": 10, "timestamp": timestamp}
    names = [f"{name}-{number}" for number in range(KEYS)]
    return [(place(key, partitions), json.dumps({"event_id": key, **event}).encode()) for key in names]


def counted_of_ours(store: str) -> tuple[int, int]:
    """Return the events and the quantity of our organisation."""
    with open_store(store, create=False) as opened:
        events, quantity = opened.query(f"SELECT sum(events), sum(quantity) FROM usage WHERE org_id = {OURS}")[0]
    return events, quantity


def test_partitions_are_added_under_load(kafka: str, tmp_path: Path) -> None:
    """A retry that the change moves to another partition is counted twice; what is sent after the change is exact."""
    topic, store = create_topic(kafka, 2), f"chdb:{tmp_path / 'store'}"
    command = (f"kafka://{kafka}/{topic}", "--store", store)
    keyed = Keyed(kafka, topic)
    with Producing(kafka, topic, load("before", 2)), run(*command) as going:
        keyed.send("settled", 2)
        keyed.send("settled", 2)  # retried before the change: a duplicate, as ever
        keyed.send("astride", 2)
        going.until_counted(300)
        grow(kafka, topic, 4)
        assert going.end() == 2
        assert "the topic has 4 partitions now, of which 2 are being read; start again" in going.only_message()
    with Producing(kafka, topic, load("after", 4)), run(*command) as going:
        keyed.send("astride", 4)  # retried astride the change, well within the horizon
        keyed.send("fresh", 4)
        keyed.send("fresh", 4)
        going.until_counted(300)
        assert going.end(signal.SIGTERM) == 0
    ok("run", *command, "--until-end")

    found, progress = in_store(store, topic, 4)
    assert found == [expected(log, SETTINGS) for log in read_back(kafka, topic, 4, SETTINGS)]
    assert [(read.partitions, read.generation) for read in progress] == [(4, 1)] * 4
    moved = moved_keys("astride")
    assert 0 < moved < KEYS
    assert counted_of_ours(store) == (3 * KEYS + moved, 10 * (3 * KEYS + moved))


def test_one_horizon_after_partitions_were_added_counts_are_exact_again(kafka: str, tmp_path: Path) -> None:
    """By the producer's stamps, so that an hour may pass: what was sent before the change, and when it comes again."""
    topic, store = create_topic(kafka, 2, message_timestamp_type="CreateTime"), f"chdb:{tmp_path / 'store'}"
    settings = MeterSettings(load_catalogue(), trust_producer_time=True)
    start = time.time_ns() // 1_000_000 * 1_000 - 3_600_000_000

    def send(name: str, minute: int, partitions: int) -> None:
        events = keyed_events(name, partitions, show_instant(start))
        send_stamped(kafka, topic, [(at, value, start + minute * 60_000_000) for at, value in events])

    def count() -> int:
        ok("run", f"kafka://{kafka}/{topic}", "--store", store, "--until-end", "--trust-producer-time")
        found, progress = in_store(store, topic, len(read_partitions))
        assert found == [expected(log, settings) for log in read_back(kafka, topic, len(progress), settings)]
        return counted_of_ours(store)[0]

    read_partitions = range(2)
    send("before", 0, 2)
    send("before", 1, 2)
    assert count() == KEYS
    grow(kafka, topic, 4)
    read_partitions = range(4)
    send("before", 2, 4)  # the change was a minute ago
    twice = KEYS + moved_keys("before")
    assert count() == twice
    send("after", 14, 4)  # more than the horizon of 10 minutes ago
    send("after", 15, 4)
    send("after", 23, 4)  # 8 minutes after the last
    assert count() == twice + KEYS
