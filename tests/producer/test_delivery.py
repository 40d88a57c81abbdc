"""Over a real broker: everything that was added arrives once, in its partition, and the reports say exactly that."""

import itertools
import threading
from collections import Counter
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from dataflows.sources.kafka_topic import Property
from schemas.errors import SettingsError
from tally.producer import ProducerClosed, ProducerError, Undelivered, UsageEvent, UsageProducer
from tally.producer.events import Scalar
from tally.producer.packing import Packing
from tally.producer.placement import key_of, spread
from tests.kafka.helpers import create_topic, set_topic_config
from tests.producer.topics import CATALOGUE, NOW, arrived, decoded, events, reported, sums, topics, values

pytestmark = pytest.mark.kafka
PACKINGS = pytest.mark.parametrize("packing", ["json", "ndjson", "arrow"])


@PACKINGS
def test_everything_arrives_once_and_is_reported(kafka: str, packing: Packing) -> None:
    topic = topics(kafka)
    sent = events(5_000)
    with UsageProducer(kafka, topic, source="relay", packing=packing, catalogue=CATALOGUE) as producer:
        assert producer.add_many(sent[:4_000]) == 4_000
        producer.flush()
        assert producer.pending == 0
        found = arrived(kafka, topic)
        said = reported(kafka, topic)
        assert (said.events, said.quantities) == sums(found)
        assert [one.closed for one in said.instances] == [False]
        for event in sent[4_000:]:
            producer.add(
                event.org_id,
                event.category,
                event.quantity,
                timestamp=event.timestamp,
                event_id=event.event_id,
                project_id=event.project_id,
                attributes={"region": "eu", "share": 0.5, "paid": True, "n": event.quantity},
            )
    found = arrived(kafka, topic)
    assert Counter(one.event.event_id for one in found) == Counter(event.event_id for event in sent)
    names = CATALOGUE.names
    assert sorted(
        UsageEvent(e.event_id or "", e.org_id, names[e.category], e.quantity, e.timestamp, e.project_id)
        for _, e in found
    ) == sorted(sent)
    assert all(partition == spread(key_of(event.org_id), 4) for partition, event in found)
    said = reported(kafka, topic)
    assert (said.events, said.quantities) == sums(found)
    (own,) = said.instances
    assert own.closed
    assert (own.events, own.quantity) == (5_000, sum(event.quantity for event in sent))
    assert own.instance == producer.instance or own.sequence > 1


def test_an_id_is_made_where_none_is_given(kafka: str) -> None:
    topic = topics(kafka)
    with UsageProducer(kafka, topic, source="relay", controls=None) as producer:
        made = [producer.add(1, "error", 1, timestamp="2026-11-22T10:00:00Z") for _ in range(10)]
    assert sorted(made) == sorted(one.event.event_id or "" for one in arrived(kafka, topic))
    assert not values(kafka, f"{topic}.controls")


def test_a_partition_is_the_one_that_other_clients_choose_for_the_key(kafka: str) -> None:
    ours, theirs = topics(kafka, 7), create_topic(kafka, 7)
    with UsageProducer(kafka, ours, source="relay") as producer:
        producer.add_many(events(200, orgs=200))
    other = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for event in events(200, orgs=200):
        other.produce(theirs, event.event_id.encode(), b"%d" % event.org_id)
    assert other.flush(30) == 0
    placed = {value.decode(): partition for partition, value in values(kafka, theirs)}
    assert {event.event_id: partition for partition, event in arrived(kafka, ours)} == placed


@PACKINGS
def test_a_salted_organisation_is_spread_and_a_retry_meets_itself(kafka: str, packing: Packing) -> None:
    topic = topics(kafka, 6)
    for _ in range(2):
        with UsageProducer(kafka, topic, source="relay", packing=packing, salted={7: 3}) as producer:
            producer.add_many(event._replace(org_id=7 if n % 2 else 8) for n, event in enumerate(events(600)))
    places: dict[tuple[int, str | None], Counter[int]] = {}
    for partition, event in arrived(kafka, topic):
        places.setdefault((event.org_id, event.event_id), Counter())[partition] += 1
    assert len(places) == 600
    assert all(list(found.values()) == [2] for found in places.values())
    spread_over = Counter(next(iter(found)) for (org, _), found in places.items() if org == 7)
    assert len(spread_over) == 3
    assert min(spread_over.values()) > 50
    said = reported(kafka, topic)
    assert said.events.total() == 1_200  # two instances add up: what arrived, duplicates with it
    assert len(said.instances) == 2


def test_keys_are_organisations(kafka: str) -> None:
    topic = topics(kafka, 1)
    with UsageProducer(kafka, topic, source="relay") as producer:
        producer.add_many(events(20))
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "keys", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(topic, 0, 0)])
    messages: list[Message] = []
    while len(messages) < 20:
        messages += reader.consume(20, 1.0)
    reader.close()
    for message in messages:
        (event,) = decoded(message.value() or b"")
        assert message.key() == b"%d" % event.org_id


@PACKINGS
def test_batches_are_as_large_as_was_said(kafka: str, packing: Packing) -> None:
    topic = topics(kafka, 1)
    size = {} if packing == "json" else {"batch_events": 250}
    with UsageProducer(kafka, topic, source="relay", packing=packing, linger=30, **size) as producer:  # type: ignore[arg-type]
        producer.add_many(events(1_100))
    sizes = [len(decoded(value)) for _, value in values(kafka, topic)]
    assert sizes == ([1] * 1_100 if packing == "json" else [250] * 4 + [100])


@PACKINGS
def test_a_record_is_never_too_large(kafka: str, packing: Packing) -> None:
    topic = topics(kafka, 1, max_message_bytes="12000")
    size = {} if packing == "json" else {"batch_events": 100_000}
    with UsageProducer(
        kafka,
        topic,
        source="relay",
        packing=packing,
        linger=30,
        largest_record=10_000,
        properties={"compression.type": "none"},
        **size,  # type: ignore[arg-type]
    ) as producer:
        sent = [event._replace(attributes={f"name-{n % 90}": "x" * (n % 3_000)}) for n, event in enumerate(events(900))]
        producer.add_many(sent)
        with pytest.raises(ValueError, match="a record may have 8,000"):
            producer.add(1, "error", 1, timestamp=NOW, attributes={"a": "x" * 8_000})
    assert len(arrived(kafka, topic)) == 900


@PACKINGS
def test_a_batch_goes_out_when_it_has_waited_long_enough(kafka: str, packing: Packing) -> None:
    topic = topics(kafka)
    with UsageProducer(kafka, topic, source="relay", packing=packing, linger=0.02, controls_every=0.05) as producer:
        producer.add_many(events(30))
        while producer.pending:  # nobody flushes; the test's timeout ends what would not end
            threading.Event().wait(0.01)
        while reported(kafka, topic).events.total() < 30:
            threading.Event().wait(0.05)
        assert len(arrived(kafka, topic)) == 30


@PACKINGS
def test_what_the_broker_refuses_is_handed_back_whole(kafka: str, packing: Packing) -> None:
    """The topic takes smaller records than the producer was told; the way out is the one that the page gives."""
    topic = topics(kafka, 1, max_message_bytes="2000")
    odd: dict[str, Scalar] = {"a": "ü", "b": 1.5, "c": False, "d": -3}
    large = [event._replace(attributes={**odd, "text": str(n) * 2_000}) for n, event in enumerate(events(7))]
    properties: dict[str, Property] = {"compression.type": "none"}
    with UsageProducer(kafka, topic, source="relay", packing=packing, linger=0, properties=properties) as producer:
        producer.add_many(large)
        with pytest.raises(Undelivered, match=r"7 events were not delivered: .*too large.*`events` has them") as caught:
            producer.flush()
        assert sorted(caught.value.events) == sorted(large)
        assert producer.pending == 0
        producer.flush()  # handed back: no longer this producer's
        set_topic_config(kafka, topic, "max.message.bytes", "1000000")
        producer.add_many(caught.value.events)
    found = arrived(kafka, topic)
    assert sorted(one.event.event_id or "" for one in found) == sorted(event.event_id for event in large)
    said = reported(kafka, topic)
    assert (said.events, said.quantities) == sums(found)
    (own,) = said.instances
    assert own.closed


def test_refused_events_are_told_by_the_next_add_which_takes_nothing(kafka: str) -> None:
    topic = topics(kafka, 1, max_message_bytes="1000")
    # The broker's limit holds for what is sent together; so small ones are sent in small companies here.
    properties: dict[str, Property] = {"compression.type": "none", "batch.size": 800}
    with UsageProducer(kafka, topic, source="relay", properties=properties) as producer:
        producer.add(1, "error", 1, timestamp=NOW, event_id="large", attributes={"a": "x" * 2_000})
        small = (UsageEvent(f"small-{n}", 1, "error", 1, NOW) for n in itertools.count())
        with pytest.raises(Undelivered) as caught:
            producer.add_many(small)
        assert [event.event_id for event in caught.value.events] == ["large"]
    ids = {one.event.event_id for one in arrived(kafka, topic)}
    assert ids == {f"small-{k}" for k in range(len(ids))}
    assert len(ids) == caught.value.added


@PACKINGS
def test_threads_share_a_producer(kafka: str, packing: Packing) -> None:
    topic = topics(kafka)
    producer = UsageProducer(kafka, topic, source="relay", packing=packing, linger=0.01, controls_every=0.05)
    problems: list[Exception] = []

    def work(number: int) -> None:
        try:
            for event in events(1_000, number * 1_000):
                producer.add_many([event])
                if event.quantity == number and event.org_id == 0:
                    producer.flush()
        except Exception as problem:  # noqa: BLE001 - to be shown by the test
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.close()
    assert not problems
    found = arrived(kafka, topic)
    assert Counter(one.event.event_id for one in found) == Counter(event.event_id for event in events(6_000))
    said = reported(kafka, topic)
    assert (said.events, said.quantities) == sums(found)


def test_a_flush_waits_for_what_was_added_before_it_and_for_nothing_else(kafka: str) -> None:
    """Another thread never stops adding, and every flush comes back all the same, with its own events in the log."""
    topic = topics(kafka)
    stop = threading.Event()
    with UsageProducer(kafka, topic, source="relay", packing="ndjson", max_bytes=8 << 20) as producer:

        def pour() -> None:
            n = 0
            while not stop.wait(0.001):
                producer.add_many(events(50, 1_000_000 + n))
                n += 50

        thread = threading.Thread(target=pour)
        thread.start()
        try:
            for n in range(5):
                producer.add_many(events(1, n))
                producer.flush()
                wanted = f'"event_id":"event-{n}"'.encode()
                assert any(wanted in value for _, value in values(kafka, topic))
        finally:
            stop.set()
            thread.join()


def test_restarts_add_up_by_source(kafka: str) -> None:
    topic = topics(kafka)
    for life in range(3):
        for source in ("relay-1", "relay-2"):
            with UsageProducer(kafka, topic, source=source) as producer:
                number = life * 2 + (source == "relay-2")
                producer.add_many(events(100 + life, number * 1_000))
    found = arrived(kafka, topic)
    said = reported(kafka, topic)
    assert (said.events, said.quantities) == sums(found)
    assert len(said.instances) == 6
    by_source = Counter[str]()
    for one in said.instances:
        by_source[one.source] += one.events
    assert by_source == {"relay-1": 303, "relay-2": 303}


def test_a_closed_producer_takes_nothing(kafka: str) -> None:
    producer = UsageProducer(kafka, topics(kafka), source="relay")
    producer.close()
    producer.close()
    for ask in (lambda: producer.add_many(events(1)), producer.flush):
        with pytest.raises(ProducerClosed, match="the producer is closed"):
            ask()


def test_an_exception_in_the_block_still_delivers(kafka: str) -> None:
    topic = topics(kafka)

    def failing() -> None:
        with UsageProducer(kafka, topic, source="relay", packing="arrow", linger=30) as producer:
            producer.add_many(events(3))
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert len(arrived(kafka, topic)) == 3


@pytest.mark.parametrize("missing", ["events", "controls"])
def test_a_topic_that_there_is_not_is_named(kafka: str, missing: str) -> None:
    topic = create_topic(kafka) if missing == "controls" else f"{create_topic(kafka)}-misspelt"
    if missing == "events":
        create_topic(kafka, 1, f"{topic}.controls")
    wanted = "no topic .*controls' for the control totals" if missing == "controls" else "no topic .*-misspelt'"
    producer = UsageProducer(kafka, topic, source="relay")
    producer.add_many(events(5))
    with pytest.raises(ProducerError, match=wanted):
        producer.flush()
    with pytest.raises(ProducerError, match=wanted):
        producer.add_many(events(1, 5))
    with pytest.raises(Undelivered, match=wanted) as caught:
        producer.close()
    assert caught.value.events == events(5)


def test_a_salt_over_more_partitions_than_there_are_is_named(kafka: str) -> None:
    producer = UsageProducer(kafka, topics(kafka, 2), source="relay", salted={1: 3})
    producer.add_many(events(5))
    with pytest.raises(ProducerError, match="organisation 1 over 3 partitions; the topic has 2"):
        producer.flush()
    with pytest.raises(Undelivered):
        producer.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"source": ""}, "source: name the producer"),
        ({"packing": "xml"}, "packing: there is no 'xml'"),
        ({"batch_events": 5}, "json is one event a record"),
        ({"packing": "arrow", "batch_events": 0}, "batch_events: found 0"),
        ({"max_bytes": 1_000}, "max_bytes: found 1,000"),
        ({"largest_record": 10}, "largest_record: found 10"),
        ({"properties": {"acks": 1}}, "acks: must stay 'all'"),
        ({"properties": {"enable.idempotence": False}}, "enable.idempotence: must stay 'true'"),
        ({"properties": {"transactional.id": "x"}}, "transactional.id: it is the producer's own"),
        ({"properties": {"no.such": 1}}, "no.such"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        UsageProducer("127.0.0.1:1", "usage", **{"source": "relay", **settings})
