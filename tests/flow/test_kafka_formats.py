"""Whole runs over a topic of the real broker: every wire format, several partitions, transactions."""

import itertools
import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Counts
from sinks.store import open_store
from tests.flow.processes import ok
from tests.flow.topics import (
    IN_FORMAT,
    Traffic,
    arrays,
    arrow_streams,
    ndjson,
    read_back,
    singles,
)
from tests.flow.truth import expected, stored
from tests.kafka.helpers import create_topic, produce, producer, transaction

pytestmark = pytest.mark.kafka


def now() -> int:
    return time.time_ns() // 1000


@pytest.mark.parametrize("format_", list(IN_FORMAT))
def test_every_wire_format_is_counted_as_the_oracle_counts_it(kafka: str, tmp_path: Path, format_: str) -> None:
    settings, store_url = MeterSettings(load_catalogue(), format=format_), f"chdb:{tmp_path / 'store'}"
    ways = [singles, arrays, ndjson, arrow_streams][: 4 if format_ == "tally" else 3]
    topic = create_topic(kafka, len(ways) + 1)  # and a partition that is empty
    for partition, pack in enumerate(ways):
        events = [IN_FORMAT[format_](event) for event in Traffic(f"{format_}-{partition}", now()).events(600)]
        produce(kafka, topic, [(partition, value) for value in pack(events)])
    before = now()
    summary = ok("run", f"kafka://{kafka}/{topic}", "--store", store_url, "--format", format_, "--until-end")
    truths = [expected(log, settings) for log in read_back(kafka, topic, len(ways) + 1, settings)]
    with open_store(store_url, create=False) as store:
        found = [stored(store, LogId(topic, str(partition))) for partition in range(len(truths))]
        complete_to = store.complete_to()
    assert found == truths
    assert summary["total"]["events"] == sum(truth.counts.events for truth in truths) >= 600 * len(ways)
    assert complete_to is not None
    # Every partition was read to the end that was seen after `before`.
    assert before - settings.allowed_lateness <= complete_to <= now()
    counts = Counts.total(truth.counts for truth in truths)
    assert counts.late
    assert {"not_json", "too_old", "from_the_future", "unknown_category", "bad_quantity"} <= counts.rejected.keys()
    if format_ == "sentry-outcomes":
        assert counts.not_billable
    else:
        assert counts.duplicates
        assert counts.rejected["conflicting_duplicate"]


def transactional(address: str, name: str) -> Producer:
    client = producer(address, transactional_id=name)
    client.init_transactions(30)
    return client


def test_aborted_and_open_transactions_are_not_counted(kafka: str, tmp_path: Path) -> None:
    settings, store_url = MeterSettings(load_catalogue()), f"chdb:{tmp_path / 'store'}"
    topic = create_topic(kafka, 2)
    run = ("run", f"kafka://{kafka}/{topic}", "--store", store_url, "--until-end")
    traffic = [Traffic(f"transactions-{partition}", now()) for partition in range(2)]
    client = transactional(kafka, f"{topic}-done")

    def records(count: int) -> list[tuple[int, bytes | None]]:
        return [(number % 2, json.dumps(traffic[number % 2].event()).encode()) for number in range(count)]

    for size, commit in zip((40, 30, 1, 25, 60, 8), itertools.cycle((True, False)), strict=False):
        transaction(client, topic, records(size), commit=commit)
    held = transactional(kafka, f"{topic}-held")
    held.begin_transaction()
    for partition, value in records(10):
        held.produce(topic, value, partition=partition)
    held.flush(30)
    transaction(client, topic, records(12), commit=True)  # behind the open one: not to be read before that ends

    first = ok(*run)
    logs = read_back(kafka, topic, 2, settings)
    assert first["total"]["records"] == sum(map(len, logs)) == 101  # 40 + 1 + 60
    with open_store(store_url, create=False) as store:
        assert [stored(store, LogId(topic, str(number))) for number in range(2)] == [
            expected(x, settings) for x in logs
        ]
        progress = [store.progress()[LogId(topic, str(number))] for number in range(2)]
    assert not any(found.fully_read for found in progress)  # the head of an open transaction is no end
    assert all(found.next_offset > found.counts.records for found in progress)  # what was aborted took offsets

    held.commit_transaction(30)
    transaction(client, topic, records(20), commit=False)
    second = ok(*run)
    logs = read_back(kafka, topic, 2, settings)
    assert second["total"]["records"] == 22  # 10 + 12
    with open_store(store_url, create=False) as store:
        assert [stored(store, LogId(topic, str(number))) for number in range(2)] == [
            expected(x, settings) for x in logs
        ]
        assert all(found.fully_read for found in store.progress().values())
