"""Reports are read into the store: once or twice, in one go or in pieces, they say the same."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataflows.sources.kafka import KafkaSource
from schemas.controls import ControlInstance, ControlTotal, Report, to_wire
from schemas.log import LogId
from sinks.control_rows import ControlBatch, tables
from sinks.store import Store, open_store
from tally.cli import run
from tally.controls import ControlsRead, ControlsReader
from tally.producer import UsageProducer
from tests.kafka.helpers import create_topic, delete_records, delete_topic, produce, producer
from tests.producer.topics import MINUTE, NOW, events, topics


def total(sequence: int = 1, minute: int = NOW, **change: Any) -> ControlTotal:
    about = {"topic": "usage", "source": "relay", "instance": "one", "category": "error", "sent_at": NOW}
    return ControlTotal(**{**about, "sequence": sequence, "minute": minute, "events": 5, "quantity": 7, **change})


def instance(sequence: int = 1, **change: Any) -> ControlInstance:
    about = {"topic": "usage", "source": "relay", "instance": "one", "started_at": NOW, "sent_at": NOW}
    return ControlInstance(**{**about, "sequence": sequence, "events": 5, "quantity": 7, "closed": False, **change})


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        opened.migrate()
        yield opened


def insert(store: Store, *reports: Report) -> None:
    batch = ControlBatch("id")
    batch.totals += [report for report in reports if isinstance(report, ControlTotal)]
    batch.instances += [report for report in reports if isinstance(report, ControlInstance)]
    for name, table in tables(batch):
        store.insert(name, table)


def sent(store: Store) -> list[tuple[Any, ...]]:
    """What the view says: category, minute, source, events, quantity, instances."""
    sql = (
        "SELECT category, toUnixTimestamp(minute) * 1000000, source, events, quantity, instances "
        "FROM controls WHERE topic = 'usage' ORDER BY 1, 2, 3"
    )
    return store.query(sql)


def test_the_newest_report_holds_in_whatever_order_they_are_read(store: Store) -> None:
    newer = total(3, events=9, quantity=2**100)
    insert(store, newer, total(2, events=8))
    insert(store, total(1), newer)
    insert(store, total(1, minute=NOW + MINUTE))
    insert(store, total(1, instance="two", events=1), total(1, source="other", events=2), instance(), instance(2))
    expected = [
        ("error", NOW, "other", 2, 7, 1),
        ("error", NOW, "relay", 10, 2**100 + 7, 2),
        ("error", NOW + MINUTE, "relay", 5, 7, 1),
    ]
    assert sent(store) == expected
    assert store.query("SELECT sequence FROM control_instances FINAL") == [(2,)]
    for name in ("control_totals", "control_instances"):
        store.command(f"OPTIMIZE TABLE {name} FINAL")
    assert sent(store) == expected


def test_reports_on_many_years_are_written(store: Store) -> None:
    """More months than one insert may touch."""
    minutes = [NOW // MINUTE * MINUTE + n * 30 * 86_400 * 1_000_000 for n in range(-40, 80)]
    insert(store, *(total(minute=minute) for minute in minutes))
    assert len(sent(store)) == len(minutes)


# ---- from the topic ----


def read(address: str, topic: str, store: Store, tell: Callable[[str], None] = print) -> ControlsRead:
    source = KafkaSource(address, topic, until_end=True, trust_producer_time=True, route="portable")
    return ControlsReader(source, store, every=1_000_000, clock=lambda: NOW, stopping=lambda: False, tell=tell).run()


@pytest.mark.kafka
def test_it_goes_on_where_it_stopped_and_keeps_what_is_no_report(kafka: str, store: Store) -> None:
    topic = create_topic(kafka, 2)
    told: list[str] = []
    records = [(0, to_wire(total())), (1, to_wire(instance())), (0, b"{}"), (0, b"\xff" * 2_000_000)]
    produce(kafka, topic, records, message_max_bytes=4_000_000)
    found = read(kafka, topic, store, told.append)
    assert (found.records, found.totals, found.instances, found.removed, found.malformed) == (4, 1, 1, 0, 2)
    assert [line.partition(": ")[0] for line in told] == [f"{topic}/0/1", f"{topic}/0/2"]
    client = producer(kafka)
    client.produce(topic, None, b"key", 0)
    client.produce(topic, to_wire(total(2, events=6)), b"key", 0)
    client.flush()
    found = read(kafka, topic, store, told.append)
    assert (found.records, found.totals, found.removed, found.malformed) == (2, 1, 1, 0)
    assert read(kafka, topic, store, told.append).records == 0
    assert sent(store) == [("error", NOW, "relay", 6, 7, 1)]
    letters = store.query(
        "SELECT topic, partition, offset, detail, length(raw), raw_size FROM control_dead_letters FINAL ORDER BY offset"
    )
    assert [row[:3] + row[4:] for row in letters] == [(topic, "0", 1, 2, 2), (topic, "0", 2, 1 << 20, 2_000_000)]
    assert "kind" in letters[0][3]
    # The position is only a saving.
    store.command("TRUNCATE TABLE control_reads")
    assert read(kafka, topic, store, told.append).records == 6
    assert sent(store) == [("error", NOW, "relay", 6, 7, 1)]
    assert store.query("SELECT count() FROM control_dead_letters FINAL") == [(2,)]


@pytest.mark.kafka
def test_a_reader_that_is_killed_between_its_writes_loses_nothing(kafka: str, store: Store) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, to_wire(total(n, minute=NOW + n % 3 * MINUTE, events=n))) for n in range(1, 50)])

    class Killed(Exception):
        pass

    for survives in range(3):
        budget = survives

        class Dying:
            query = store.query

            def insert(self, name: str, table: Any) -> None:
                nonlocal budget
                if budget == 0:
                    raise Killed
                budget -= 1
                store.insert(name, table)

        with pytest.raises(Killed):
            read(kafka, topic, Dying())  # type: ignore[arg-type]
        assert store.query("SELECT count() FROM control_reads") == [(0,)]
    assert read(kafka, topic, store).totals == 49
    assert [row[3] for row in sent(store)] == [48, 49, 47]


@pytest.mark.kafka
def test_records_that_are_gone_and_another_topic_of_the_name_are_told_and_read(kafka: str, store: Store) -> None:
    topic = create_topic(kafka)
    told: list[str] = []
    produce(kafka, topic, [(0, to_wire(total(1)))])
    read(kafka, topic, store, told.append)
    produce(kafka, topic, [(0, to_wire(total(n, events=n))) for n in range(2, 5)])
    delete_records(kafka, topic, 0, 3)
    assert read(kafka, topic, store, told.append).records == 1
    assert told == [f"{topic}/0: records 1 to 2 are gone; what only they reported is missing"]
    delete_topic(kafka, topic)
    create_topic(kafka, 1, topic)
    produce(kafka, topic, [(0, to_wire(total(1, instance="two")))])
    assert read(kafka, topic, store, told.append).records == 1
    assert len(told) == 1
    assert sent(store) == [("error", NOW, "relay", 9, 14, 2)]
    assert store.query("SELECT count() FROM control_reads WHERE partition = '0'")[0][0] >= 2


@pytest.mark.kafka
def test_a_log_that_has_lost_its_end_is_read_again(kafka: str, store: Store) -> None:
    topic = create_topic(kafka)
    told: list[str] = []
    produce(kafka, topic, [(0, to_wire(total(1)))])
    read(kafka, topic, store, told.append)
    batch = ControlBatch(store.query("SELECT topic_id FROM control_reads")[0][0])
    batch.next_offsets[LogId(topic, "0")] = 100
    for name, table in tables(batch):
        store.insert(name, table)
    assert read(kafka, topic, store, told.append).records == 1
    assert told == [f"{topic}/0: was read to 100, and ends at 1 now; reading it again"]


# ---- all of it ----


@pytest.mark.kafka
def test_what_producers_report_is_what_the_meter_counts(kafka: str, store_url: str) -> None:
    """Three producers, three packings, one topic: metered, and the control totals are the usage rows' sums."""
    topic = topics(kafka)
    for number, packing in enumerate(("json", "ndjson", "arrow")):
        with UsageProducer(kafka, topic, source=f"relay-{number}", packing=packing, salted={3: 2}) as client:  # type: ignore[arg-type]
            client.add_many(events(3_000, number * 3_000))
    place = f"kafka://{kafka}/{topic}"
    assert (
        run(["run", place, "--store", store_url, "--until-end", "--max-age", "36500d", "--max-future", "36500d"]) == 0
    )
    for _ in range(2):
        assert run(["controls", "read", f"{place}.controls", "--store", store_url, "--until-end", "--json"]) == 0
    with open_store(store_url) as store:
        said = store.query(
            "SELECT category, minute, sum(events), sum(quantity) FROM controls WHERE topic = {topic:String} "
            "GROUP BY category, minute ORDER BY category, minute",
            {"topic": topic},
        )
        counted = store.query(
            "SELECT category, toStartOfMinute(window_start) AS minute, sum(events), sum(quantity) FROM usage "
            "GROUP BY category, minute ORDER BY category, minute"
        )
        instances = store.query("SELECT source, closed, events FROM control_instances FINAL ORDER BY source")
    assert said == counted
    assert sum(row[2] for row in said) == 9_000
    assert instances == [(f"relay-{number}", True, 3_000) for number in range(3)]


def test_reports_come_from_kafka(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["controls", "read", "reports.ndjson"]) == 2
    assert "reports are read from kafka://host:port/topic" in capsys.readouterr().err
