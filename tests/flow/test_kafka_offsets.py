"""Progress as a consumer group's offsets: what lag tools see of a run, and that a run does not see it itself."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from tests.flow.processes import ok, tally
from tests.flow.running import run, until
from tests.flow.topics import Producing, Traffic, in_store, read_back
from tests.flow.truth import expected
from tests.kafka.helpers import admin, create_topic, produce

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())


def committed(kafka: str, group: str, topic: str) -> dict[int, int]:
    """Return the group's offsets in a topic, by partition, as an admin client sees them."""
    client = admin(kafka)
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=30)
    found = asked[group].result(30).topic_partitions
    return {at.partition: at.offset for at in found if at.topic == topic and at.offset >= 0}


def commit(kafka: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    client = admin(kafka)
    places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    asked = client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)], request_timeout=30)
    assert [at.error for at in asked[group].result(30).topic_partitions] == [None] * len(offsets)


def fill(kafka: str, topic: str, partitions: int, events: int) -> None:
    for partition in range(partitions):
        traffic = Traffic(f"{topic}-{partition}-{events}", time.time_ns() // 1000)
        produce(kafka, topic, [(partition, json.dumps(event).encode()) for event in traffic.events(events)])


def test_what_was_counted_is_committed_and_never_read(kafka: str, tmp_path: Path) -> None:
    topic, store = create_topic(kafka, 3), f"chdb:{tmp_path / 'store'}"
    command = ("run", f"kafka://{kafka}/{topic}", "--store", store, "--until-end")
    fill(kafka, topic, 2, 200)  # the third stays empty
    ok(*command)
    _, progress = in_store(store, topic, 3)
    group = f"tally-{topic}"
    assert committed(kafka, group, topic) == {int(read.log.partition): read.next_offset for read in progress}
    assert [read.next_offset for read in progress] == [200, 200, 0]

    # Whatever somebody sets it to, a run goes on from its progress.
    for astray in (0, 100_000):
        commit(kafka, group, topic, {0: astray, 1: astray})
        fill(kafka, topic, 3, 100)
        ok(*command)
        found, progress = in_store(store, topic, 3)
        assert found == [expected(log, SETTINGS) for log in read_back(kafka, topic, 3, SETTINGS)]
        assert committed(kafka, group, topic) == {int(read.log.partition): read.next_offset for read in progress}


def test_a_run_that_goes_on_commits_as_it_goes_each_process_its_own(kafka: str, tmp_path: Path) -> None:
    topic, store = create_topic(kafka, 4), f"chdb:{tmp_path / 'store'}"
    flags = ("--store", store, "--processes", "2", "--consumer-group", "billing")
    traffic = [Traffic(f"{topic}-{partition}", time.time_ns() // 1000) for partition in range(4)]
    with Producing(kafka, topic, traffic), run(f"kafka://{kafka}/{topic}", *flags) as going:

        def all_past(least: int) -> bool:
            found = committed(kafka, "billing", topic)
            return len(found) == 4 and min(found.values()) > least

        until(lambda: all_past(0))
        seen = committed(kafka, "billing", topic)
        until(lambda: all_past(max(seen.values())))
        assert going.process.poll() is None
    _, progress = in_store(store, topic, 4)
    for read in progress:  # never ahead of what is in the store
        assert committed(kafka, "billing", topic)[int(read.log.partition)] <= read.next_offset


def test_off_commits_nothing(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka)
    fill(kafka, topic, 1, 50)
    flags = ("--store", f"chdb:{tmp_path / 'store'}", "--until-end", "--consumer-group", "off")
    ok("run", f"kafka://{kafka}/{topic}", *flags)
    client = admin(kafka)
    listed: Any = client.list_consumer_groups(request_timeout=30).result(30)
    assert f"tally-{topic}" not in {group.group_id for group in listed.valid}


def test_a_group_that_refuses_is_said_once_and_holds_up_nothing(kafka: str, tmp_path: Path) -> None:
    topic, store = create_topic(kafka, 1), f"chdb:{tmp_path / 'store'}"
    group = f"taken-{topic}"
    fill(kafka, topic, 1, 300)
    member = Consumer({"bootstrap.servers": kafka, "group.id": group, "log_level": 0})
    try:
        member.subscribe([topic])
        until(lambda: member.poll(0.1) is None and bool(member.assignment()))
        flags = ("--store", store, "--until-end", "--flush-interval", "1us", "--batch-bytes", "2KiB")
        done = tally("run", f"kafka://{kafka}/{topic}", *flags, "--consumer-group", group, "--quiet")
    finally:
        member.close()
    assert done.returncode == 0, done.stderr
    (said,) = done.stderr.splitlines()
    assert f"kafka://{kafka}/{topic}: offsets are not committed as consumer group '{group}'" in said
    assert "nothing is lost" in said
    assert in_store(store, topic, 1)[0] == [expected(log, SETTINGS) for log in read_back(kafka, topic, 1, SETTINGS)]
