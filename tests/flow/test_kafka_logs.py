"""Runs over a topic whose log is no longer what it was: deleted records, another topic under the name."""

import json
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests import oracle
from tests.flow.processes import crashing, ok, tally
from tests.flow.running import counted, only_message, run
from tests.flow.topics import Traffic, in_store, read_back
from tests.flow.truth import Truth, contents, expected, stored
from tests.kafka.helpers import create_topic, delete_records, delete_topic, grow, produce

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())


class Topic:
    """A topic of one partition, its traffic, and the command that reads it to its end into a store."""

    def __init__(self, kafka: str, name: str, folder: Path) -> None:
        self.kafka = kafka
        self.name = create_topic(kafka)
        self.log = LogId(self.name, "0")
        self.store = f"chdb:{folder / 'store'}"
        self.run = ("run", f"kafka://{kafka}/{self.name}", "--store", self.store, "--until-end")
        self._traffic = Traffic(name, time.time_ns() // 1000)

    def produce(self, events: int) -> None:
        produce(self.kafka, self.name, [(0, json.dumps(event).encode()) for event in self._traffic.events(events)])

    def records(self) -> list[oracle.Record]:
        return read_back(self.kafka, self.name, 1, SETTINGS)[0]

    def stored(self, generation: int | None = None) -> Truth:
        with open_store(self.store, create=False) as store:
            return stored(store, self.log, generation)

    def refused(self) -> str:
        """Run the command, which must refuse and change nothing, and return what it says."""
        before = contents(self.store)
        done = tally(*self.run)
        assert done.returncode == 2, done.stderr
        assert contents(self.store) == before
        return only_message(done.stderr)


def test_retention_that_ate_the_mark_and_then_what_was_not_read(kafka: str, tmp_path: Path) -> None:
    topic = Topic(kafka, "retention", tmp_path)
    topic.produce(400)
    ok(*topic.run)
    whole = topic.records()
    first = topic.stored()
    assert first == expected(whole, SETTINGS)

    # The mark is gone and what was not metered is there: a generation with an empty index.
    topic.produce(300)
    delete_records(kafka, topic.name, 0, 250)
    done = tally(*topic.run)
    assert done.returncode == 0, done.stderr
    (note,) = done.stderr.splitlines()
    assert f"{topic.log}: retention deleted the replay mark; generation 2 starts at offset 400" in note
    before, rest = oracle.meter(whole, oracle.Rules()), [record for record in topic.records() if record.offset >= 400]
    assert topic.stored(generation=1).rows == first.rows
    assert topic.stored(generation=2) == after(before, rest)

    # What was not metered is gone.
    topic.produce(100)
    delete_records(kafka, topic.name, 0, 750)
    said = topic.refused()
    assert f"{topic.log}: records were lost: the log starts at offset 750" in said
    assert "50 offsets from 700 on are gone" in said

    # Another topic has the name.
    delete_topic(kafka, topic.name)
    create_topic(kafka, name=topic.name)
    topic.produce(900)
    assert "it was deleted and made again under its name" in topic.refused()


def test_retention_that_ate_the_mark_of_an_unclean_stop(kafka: str, tmp_path: Path) -> None:
    topic = Topic(kafka, "unclean", tmp_path)
    topic.produce(400)
    assert crashing("before_progress", 6, *topic.run, "--batch-bytes", "2KiB", "--flush-interval", "1us")
    with open_store(topic.store, create=False) as store:
        read = store.progress()[topic.log].next_offset
    assert 1 < read < 399
    delete_records(kafka, topic.name, 0, 1)
    assert "usage rows lie past progress" in topic.refused()
    assert "cannot be rebuilt" in topic.refused()


def test_a_topic_that_grows_or_is_deleted_under_a_run_stops_it(kafka: str, tmp_path: Path) -> None:
    topic = Topic(kafka, "growing", tmp_path)
    endless = topic.run[1:-1]
    topic.produce(100)
    with run(*endless) as stopped:
        stopped.until_counted(100)
        grow(kafka, topic.name, 2)
        assert stopped.end() == 2
    assert "the topic has 2 partitions now, of which 1 are being read; start again" in stopped.only_message()
    produce(kafka, topic.name, [(1, b"{")])
    ok(*topic.run)
    found, progress = in_store(topic.store, topic.name, 2)
    assert found == [expected(log, SETTINGS) for log in read_back(kafka, topic.name, 2, SETTINGS)]
    assert [read.partitions for read in progress] == [2, 2]

    with run(*endless) as stopped:
        stopped.until(lambda line: counted(line) >= 0)
        delete_topic(kafka, topic.name)
        create_topic(kafka, 2, name=topic.name)
        assert stopped.end() == 2
    *waits, message = stopped.complaints
    assert re.match(r"tally: .*(deleted and created again|another one under the same name)", message)
    assert all("nothing is lost" in line for line in waits)
    assert in_store(topic.store, topic.name, 2)[0] == found


def after(before: oracle.Outcome, rest: list[oracle.Record]) -> Truth:
    """Return what the oracle says of records after others of which only the clock and the watermark are known."""
    # An event that is not billable sets both and leaves nothing else behind.
    assert before.max_timestamp is not None
    state = oracle.Event(timestamp=before.max_timestamp, not_billable="state")
    truth = expected([oracle.Record(-1, before.clock, (state,)), *rest], SETTINGS)
    counts = replace(
        truth.counts, records=truth.counts.records - 1, events=truth.counts.events - 1, not_billable=Counter()
    )
    return truth._replace(counts=counts)
