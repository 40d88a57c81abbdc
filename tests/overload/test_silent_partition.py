"""A partition that is silent for an hour beside a busy one: what is complete, what is late, what is remembered."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.status import Status, read_status
from tally.units import show_instant
from tests.flow.processes import ok
from tests.flow.topics import in_store, read_back, send_stamped
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic

pytestmark = pytest.mark.kafka

SECOND = 1_000_000
HOUR = 3_600 * SECOND
SETTINGS = MeterSettings(load_catalogue(), trust_producer_time=True)


class Topic:
    """Two partitions, and a producer whose stamps stand for the broker's clock: an hour passes when it says so."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self._kafka = kafka
        self.name = create_topic(kafka, 2, message_timestamp_type="CreateTime")
        self.store = f"chdb:{folder / 'store'}"
        self.start = time.time_ns() // 1_000_000 * 1000 - 2 * HOUR  # a stamp has milliseconds

    def send(self, partition: int, at: int, event_id: str, timestamp: int | None = None) -> None:
        """Send an event, stamped `at` (microseconds after the start), of that time or another."""
        event: dict[str, Any] = {
            "event_id": event_id,
            "org_id": partition + 1,
            "project_id": 1,
            "category": "error",
            "quantity": 1,
            "timestamp": show_instant(self.start + (at if timestamp is None else timestamp)),
        }
        send_stamped(self._kafka, self.name, [(partition, json.dumps(event).encode(), self.start + at)])

    def run(self) -> None:
        flags = ("--store", self.store, "--until-end", "--trust-producer-time")
        ok("run", f"kafka://{self._kafka}/{self.name}", *flags)
        found, _ = in_store(self.store, self.name, 2)
        assert found == [expected(log, SETTINGS) for log in read_back(self._kafka, self.name, 2, SETTINGS)]

    def status(self) -> Status:
        with open_store(self.store, create=False) as store:
            return read_status(store, time.time_ns() // 1000)


def test_an_hour_of_silence(kafka: str, tmp_path: Path) -> None:
    topic = Topic(kafka, tmp_path)
    busy, silent = LogId(topic.name, "0"), LogId(topic.name, "1")
    topic.send(1, 0, "first")
    for minute in range(61):
        topic.send(0, minute * 60 * SECOND, f"busy-{minute}")
    before = time.time_ns() // 1000
    topic.run()

    # Each partition has its own watermark: the busy one's does not move the silent one's.
    lateness = SETTINGS.allowed_lateness
    status = topic.status()
    logs = {log.progress.log: log for log in status.logs}
    assert logs[busy].progress.watermark == topic.start + HOUR - lateness
    assert logs[silent].progress.watermark == topic.start - lateness
    # Silence that was seen is complete, whatever the watermark: both are read to ends that were seen.
    for log in logs.values():
        seen = log.progress.log_end_seen_at
        assert seen is not None
        assert seen >= before
        assert log.complete_to == seen - lateness
    assert status.complete_to == min(log.complete_to or 0 for log in logs.values())

    # Nothing new, an hour further on for all that is known: completeness moves on with each sight of the ends.
    topic.run()
    later = topic.status()
    assert later.complete_to is not None
    assert status.complete_to is not None
    assert later.complete_to > status.complete_to
    assert {log.progress.log: log.progress.watermark for log in later.logs} == {
        log.progress.log: log.progress.watermark for log in status.logs
    }

    # It wakes: by its own watermark an event of the old hour is not late, and the next one of that hour is.
    topic.send(1, HOUR, "an hour old", timestamp=60 * SECOND)
    topic.send(1, HOUR, "of now")
    topic.send(1, HOUR, "an hour old too", timestamp=60 * SECOND)
    topic.send(1, HOUR, "first", timestamp=0)  # a retry, long past the horizon: counted again, and late
    topic.send(1, HOUR, "of now")  # a retry within it
    topic.run()
    _, (_, woken) = in_store(topic.store, topic.name, 2)
    assert (woken.counts.accepted, woken.counts.late, woken.counts.duplicates) == (5, 2, 1)
    assert woken.watermark == topic.start + HOUR - lateness


def test_a_partition_that_was_not_read_holds_completeness_back(kafka: str, tmp_path: Path) -> None:
    """Silent by what was read, but with records that wait: usage is complete to its watermark and no further."""
    topic = Topic(kafka, tmp_path)
    topic.send(1, 0, "first")
    topic.send(0, HOUR, "busy")
    topic.run()
    with open_store(topic.store, create=False) as store:
        # The end was seen one record further on than reading has come.
        store.command(
            "INSERT INTO progress SELECT * REPLACE (log_end + 1 AS log_end) FROM progress FINAL WHERE partition = '1'"
        )
        status = read_status(store, time.time_ns() // 1000)
    assert {log.progress.log.partition: log.lag for log in status.logs} == {"0": 0, "1": 1}
    assert status.complete_to == topic.start - SETTINGS.allowed_lateness
