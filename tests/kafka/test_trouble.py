"""The Kafka source while its broker, or its topic, goes away and comes back."""

from collections.abc import Callable

import pytest

from dataflows.sources.kafka import KafkaSource
from schemas.errors import SourceError
from schemas.log import LogId
from tests.kafka.broker import Broker
from tests.kafka.helpers import SourceMaker, admin, create_topic, delete_topic, grow, produce, read_all, read_until

pytestmark = pytest.mark.kafka


class Clock:
    """A wall clock that a test moves; it runs half a second a look, so that waits need no waiting."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        self.now += 500_000
        return self.now


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_goes_and_comes_back_is_ridden_out(
    own_broker: Callable[..., Broker], source_of: SourceMaker, how: str
) -> None:
    broker = own_broker()
    topic = create_topic(broker.address, 2)
    sent = [(number % 2, b"%d " % number * 20) for number in range(40_000)]
    produce(broker.address, topic, sent[:20_000])
    logs = [LogId(topic, "0"), LogId(topic, "1")]
    said: list[str] = []
    clock = Clock()
    source = source_of(broker.address, topic, batch_bytes=5_000, clock=clock, on_wait=said.append)
    reader = source.open(dict.fromkeys(logs, 0))
    read = read_until(reader, lambda read: read.records() > 1_000)  # the rest is in the client's queue, or not yet
    broker.stop() if how == "stop" else broker.kill()
    gone_at = clock.now
    read = read_until(reader, lambda _: bool(said), read)
    assert said[0].startswith(f"kafka://{broker.address}/{topic}: out of reach for ")
    assert "nothing is lost" in said[0]
    read = read_until(reader, lambda _: len(said) == 3, read)
    assert all(end.seen_at <= gone_at for end in reader.ends().values())  # no sight of an end without an answer
    broker.start()
    produce(broker.address, topic, sent[20_000:])
    read = read_until(reader, lambda read: read.records() == len(sent), read)
    read = read_until(reader, lambda _: all(reader.ends()[log].offset == 20_000 for log in logs), read)
    for log in logs:
        assert read.values(log) == [value for partition, value in sent if str(partition) == log.partition]
        assert read.offsets(log) == list(range(20_000))
    reader.close()


def test_a_reader_that_was_busy_elsewhere_calls_no_broker_away(kafka: str) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, b"x")])
    said: list[str] = []
    clock = Clock()
    reader = KafkaSource(kafka, topic, clock=clock, on_wait=said.append).open({LogId(topic, "0"): 0})
    for _ in range(20):
        reader.poll()
        clock.now += 30_000_000  # a write that waited for its store
    assert said == []
    reader.close()


def test_a_reader_closes_while_the_broker_is_down(own_broker: Callable[..., Broker], source_of: SourceMaker) -> None:
    broker = own_broker()
    topic = create_topic(broker.address)
    produce(broker.address, topic, [(0, b"x")])
    source = source_of(broker.address, topic, timeout=1.0)
    reader = source.open({LogId(topic, "0"): 0})
    read_until(reader, lambda read: read.records() == 1)
    broker.kill()
    reader.close()
    with pytest.raises(SourceError, match="no answer from the brokers within 1 s"):
        source.list_logs()


def test_a_misspelt_topic_is_not_created(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker({"auto.create.topics.enable": "true"})
    source = KafkaSource(broker.address, "misspelt")
    for ask in (source.list_logs, lambda: source.open({LogId("misspelt", "0"): 0})):
        with pytest.raises(SourceError, match="no topic 'misspelt'"):
            ask()
    assert "misspelt" not in admin(broker.address).list_topics(timeout=10).topics


def test_a_topic_that_is_deleted_is_waited_for(kafka: str) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, b"1")])
    said: list[str] = []
    reader = KafkaSource(kafka, topic, clock=Clock(), on_wait=said.append).open({LogId(topic, "0"): 0})
    read = read_until(reader, lambda read: read.records() == 1)
    delete_topic(kafka, topic)
    read_until(reader, lambda _: bool(said), read)
    assert "out of reach for" in said[0]
    reader.close()


@pytest.mark.parametrize("records", [0, 10])
def test_a_topic_that_is_deleted_and_made_again_is_another(kafka: str, records: int) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, b"old")] * 2)
    log = LogId(topic, "0")
    reader = KafkaSource(kafka, topic, clock=Clock()).open({log: 0})
    read = read_until(reader, lambda read: read.records() == 2)
    delete_topic(kafka, topic)
    create_topic(kafka, name=topic)
    produce(kafka, topic, [(0, b"new")] * records)
    with pytest.raises(SourceError, match=r"deleted and created again|past the log's end"):
        read_until(reader, lambda _: False, read)
    reader.close()


def test_a_partition_that_is_added_stops_a_run_that_would_not_read_it(kafka: str) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, b"1")] * 3)
    log = LogId(topic, "0")
    endless = KafkaSource(kafka, topic, clock=Clock()).open({log: 0})
    to_the_end = KafkaSource(kafka, topic, until_end=True).open({log: 0})
    grow(kafka, topic, 2)
    with pytest.raises(SourceError, match="has 2 partitions now, of which 1 are being read; start again"):
        read_until(endless, lambda _: False)
    endless.close()
    assert read_all(to_the_end).records() == 3
    assert len(KafkaSource(kafka, topic).list_logs()) == 2
