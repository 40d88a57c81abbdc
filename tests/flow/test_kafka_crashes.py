"""Runs over a topic, killed, drained and resumed, while its producer goes on: always the oracle's rows."""

import json
import random
import signal
import time
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from tests.flow.crashing import POINTS
from tests.flow.processes import crashing, ok
from tests.flow.running import run
from tests.flow.topics import Producing, Traffic, ends_of, in_store, read_back, send_stamped, truths
from tests.flow.traffic import BROKEN, SECOND
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic

pytestmark = pytest.mark.kafka


def test_killed_at_every_named_point_by_the_producers_time(kafka: str, tmp_path: Path) -> None:
    """The producer's time lets an hour pass: ids are forgotten, windows close, late segments end."""
    settings = MeterSettings(load_catalogue(), trust_producer_time=True)
    store_url, chance = f"chdb:{tmp_path / 'store'}", random.Random(17)
    topic = create_topic(kafka, 2, message_timestamp_type="CreateTime")
    traffic = [Traffic(f"points-{partition}", time.time_ns() // 1000 - 7200 * SECOND) for partition in range(2)]
    records = []
    for number in range(1_600):
        one = traffic[number % 2]
        one.now += chance.choice([0, 0, 1, 3, 20]) * SECOND
        value = chance.choice(BROKEN) if chance.random() < 0.02 else json.dumps(one.event()).encode()
        records.append((number % 2, value, one.now))
    send_stamped(kafka, topic, records)

    command = ("run", f"kafka://{kafka}/{topic}", "--store", store_url, "--trust-producer-time", "--until-end")
    small_steps = ("--batch-bytes", "2KiB", "--flush-interval", "1us")
    for point in POINTS:
        countdown = chance.randrange(3, 6) if point == "before_dead_letters" else chance.randrange(8, 14)
        assert crashing(point, countdown, *command, *small_steps), point
    half_way = in_store(store_url, topic, 2)[1]
    ok(*command)

    found, progress = in_store(store_url, topic, 2)
    logs = read_back(kafka, topic, 2, settings)
    assert found == truths(logs, settings, progress) == [expected(log, settings) for log in logs]
    # The last run went on in the middle, and replayed something but not all.
    assert any(0 < read.mark.warm_offset < read.next_offset < 800 for read in half_way), half_way
    for log in logs:
        stamps = [record.timestamp or 0 for record in log]
        assert max(stamps) - min(stamps) > 1800 * SECOND


def test_killed_drained_and_resumed_while_the_producer_goes_on(kafka: str, tmp_path: Path) -> None:
    settings = MeterSettings(load_catalogue(), bucket=SECOND, horizon_buckets=1, allowed_lateness=SECOND)
    flags = ("--dedupe-bucket", "1s", "--dedupe-horizon", "1s", "--allowed-lateness", "1s")
    topic, store_url = create_topic(kafka, 2), f"chdb:{tmp_path / 'store'}"
    command = (f"kafka://{kafka}/{topic}", "--store", store_url, *flags)
    traffic = [Traffic(f"going-on-{partition}", 0, memory=1_200) for partition in range(2)]
    chance = random.Random(5)

    with Producing(kafka, topic, traffic):
        for _ in range(3):
            with run(*command) as killed:
                killed.until_counted(chance.randrange(1, 1_500))
                assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        with run(*command) as drained:
            drained.until_counted(500)
            assert drained.end(signal.SIGTERM) == 0
        assert drained.complaints == []
    found, progress = in_store(store_url, topic, 2)
    # No row lies past progress, and none is missing.
    assert found == truths(read_back(kafka, topic, 2, settings), settings, progress)

    with Producing(kafka, topic, traffic):
        with run(*command, "--until-end") as to_the_end:
            to_the_end.until_counted(1)
            ends = ends_of(kafka, topic, 2)
            assert to_the_end.end() == 0
        assert to_the_end.complaints == []
    found, progress = in_store(store_url, topic, 2)
    logs = read_back(kafka, topic, 2, settings)
    assert found == truths(logs, settings, progress)
    assert all(read.next_offset <= end for read, end in zip(progress, ends, strict=True))

    ok("run", *command, "--until-end")
    found, progress = in_store(store_url, topic, 2)
    assert found == [expected(log, settings) for log in logs]
    for truth in found:
        assert truth.counts.duplicates
        assert truth.counts.late
        assert len({key[5] for key in truth.rows}) > 2  # late segments
