"""The Kafka source over a real broker: what it lists, what it reads, what it refuses."""

import random
import time

import numpy as np
import pytest

from dataflows.sources.kafka import KafkaSource
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId
from tests.kafka.helpers import (
    Record,
    SourceMaker,
    create_topic,
    delete_records,
    produce,
    producer,
    read_all,
    read_until,
    set_topic_config,
    transaction,
)

pytestmark = pytest.mark.kafka


def numbered(count: int, partition: int = 0, first: int = 0) -> list[Record]:
    return [(partition, b"record %d" % number) for number in range(first, first + count)]


def test_every_record_of_every_partition_comes_once_and_in_order(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, 3)
    chance = random.Random(1)
    sent = [(chance.randrange(3), b"%d" % number) for number in range(20_000)]
    produce(kafka, topic, sent)
    source = source_of(kafka, topic, until_end=True, batch_bytes=10_000)
    listed = source.list_logs()
    assert [each.log for each in listed] == [LogId(topic, "0"), LogId(topic, "1"), LogId(topic, "2")]
    assert [(each.partitions, each.finite, each.log_start) for each in listed] == [(3, False, 0)] * 3
    read = read_all(source.open({each.log: each.log_start for each in listed}))
    for each in listed:
        wanted = [value for partition, value in sent if str(partition) == each.log.partition]
        assert read.values(each.log) == wanted
        assert read.offsets(each.log) == list(range(len(wanted)))
        assert read.next_offset(each.log) == each.log_end == len(wanted)
        assert len(read.batches[each.log]) > 1


def test_identity_names_the_place_and_the_topic_id(kafka: str) -> None:
    topic = create_topic(kafka)
    other = create_topic(kafka)
    found = KafkaSource(kafka, topic).list_logs()[0].identity
    assert found["uri"] == f"kafka://{kafka}/{topic}"
    assert len(found["topic_id"]) == 22
    assert found == KafkaSource(kafka, topic).list_logs()[0].identity
    assert found["topic_id"] != KafkaSource(kafka, other).list_logs()[0].identity["topic_id"]


def test_reading_resumes_at_any_offset(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, numbered(1000))
    log = LogId(topic, "0")
    for start in (0, 1, 437, 999, 1000):
        read = read_all(source_of(kafka, topic, until_end=True).open({log: start}))
        assert read.offsets(log) == list(range(start, 1000))


def test_reading_goes_on_with_what_comes_later(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    log = LogId(topic, "0")
    reader = source_of(kafka, topic).open({log: 0})
    read = read_until(reader, lambda _: bool(reader.ends()))
    assert read.records() == 0
    for first in (0, 10):
        produce(kafka, topic, numbered(10, first=first))
        read = read_until(reader, lambda read, first=first: read.records() == first + 10, read)  # type: ignore[misc]
    assert read.values(log) == [value for _, value in numbered(20)]
    assert not reader.exhausted
    reader.close()
    reader.close()


def test_a_stop_is_exact_though_more_has_come_since(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, 2)
    produce(kafka, topic, numbered(50) + numbered(50, partition=1))
    source = source_of(kafka, topic, until_end=True)
    logs = [LogId(topic, "0"), LogId(topic, "1")]
    reader = source.open(dict.fromkeys(logs, 0))
    produce(kafka, topic, numbered(70, first=50))
    read = read_all(reader)
    assert [read.next_offset(log) for log in logs] == [50, 50]
    assert read.values(logs[0]) == [value for _, value in numbered(50)]


def test_timestamps_are_the_brokers_in_microseconds(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    before = time.time_ns() // 1_000_000 * 1000
    produce(kafka, topic, numbered(100))
    after = time.time_ns() // 1000
    log = LogId(topic, "0")
    found = read_all(source_of(kafka, topic, until_end=True).open({log: 0})).timestamps(log)
    assert len(found) == 100
    assert before <= min(found) <= max(found) <= after
    assert found == sorted(found)


def test_a_tombstone_is_an_empty_value_and_keys_and_headers_are_ignored(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    client = producer(kafka)
    client.produce(topic, b"plain")
    client.produce(topic, None, key=b"key")
    client.produce(topic, b"", key=b"other", headers={"h": b"1"})
    client.produce(topic, b"last", key=b"k" * 500, headers=[("h", None), ("h", b"2" * 500)])
    assert client.flush(30) == 0
    log = LogId(topic, "0")
    read = read_all(source_of(kafka, topic, until_end=True).open({log: 0}))
    assert read.values(log) == [b"plain", b"", b"", b"last"]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_codec_is_read(kafka: str, source_of: SourceMaker, codec: str) -> None:
    topic = create_topic(kafka)
    sent = [(0, b"%d " % number * 50) for number in range(3000)]
    produce(kafka, topic, sent, compression_type=codec)
    log = LogId(topic, "0")
    read = read_all(source_of(kafka, topic, until_end=True).open({log: 0}))
    assert read.values(log) == [value for _, value in sent]


def test_large_messages_come_whole_and_few_at_a_time(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, max_message_bytes="12000000")
    chance = random.Random(2)
    sizes = [10_000_000, 1, 6_000_000, 3_000_000, 0, 5_000_000]
    sent = [(0, chance.randbytes(size)) for size in sizes]
    produce(kafka, topic, sent, message_max_bytes=12_000_000)
    log = LogId(topic, "0")
    read = read_all(source_of(kafka, topic, until_end=True).open({log: 0}))
    assert read.values(log) == [value for _, value in sent]


def test_batches_keep_to_their_bounds(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, [(0, b"x" * 1000)] * 5000)
    log = LogId(topic, "0")
    read = read_all(source_of(kafka, topic, until_end=True, batch_bytes=100_000).open({log: 0}))
    assert max(len(batch.data) for batch in read.batches[log]) <= 110_000
    read = read_all(source_of(kafka, topic, until_end=True, batch_messages=7).open({log: 0}))
    assert max(len(batch) for batch in read.batches[log]) == 7


def test_aborted_records_never_come_and_the_gaps_that_they_leave_are_passed(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    client = producer(kafka, transactional_id=f"{topic}-writer")
    client.init_transactions(30)
    transaction(client, topic, numbered(3), commit=True)  # 0 to 2, marker 3
    transaction(client, topic, [(0, b"never")] * 4, commit=False)  # 4 to 7, marker 8
    transaction(client, topic, numbered(2, first=3), commit=True)  # 9 and 10, marker 11
    transaction(client, topic, [(0, b"never")] * 2, commit=False)  # 12 and 13, marker 14
    log = LogId(topic, "0")
    source = source_of(kafka, topic, until_end=True)
    assert source.list_logs()[0].log_end == 15
    read = read_all(source.open({log: 0}))
    assert read.values(log) == [value for _, value in numbered(5)]
    assert read.offsets(log) == [0, 1, 2, 9, 10]
    assert read.next_offset(log) == 15
    for start in (3, 5, 8, 11, 13, 14):
        again = read_all(source.open({log: start}))
        assert again.offsets(log) == [offset for offset in (9, 10) if offset >= start]
        assert again.next_offset(log) == 15


def test_trailing_control_records_move_the_position_without_a_record(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    client = producer(kafka, transactional_id=f"{topic}-writer")
    client.init_transactions(30)
    log = LogId(topic, "0")
    reader = source_of(kafka, topic).open({log: 0})
    transaction(client, topic, [(0, b"never")], commit=False)
    read = read_until(reader, lambda read: log in read.batches)
    assert (read.records(), read.next_offset(log)) == (0, 2)
    transaction(client, topic, [(0, b"one")], commit=True)
    read = read_until(reader, lambda read: read.next_offset(log) == 4, read)
    assert (read.values(log), read.offsets(log)) == ([b"one"], [2])
    reader.close()


def test_an_open_transaction_holds_the_end_back_and_until_end_does_not_wait_for_it(
    kafka: str, source_of: SourceMaker
) -> None:
    topic = create_topic(kafka)
    log = LogId(topic, "0")
    produce(kafka, topic, numbered(5))
    client = producer(kafka, transactional_id=f"{topic}-writer")
    client.init_transactions(30)
    client.begin_transaction()
    client.produce(topic, b"held", partition=0)
    client.flush(30)
    assert source_of(kafka, topic).list_logs()[0].log_end == 6
    read = read_all(source_of(kafka, topic, until_end=True).open({log: 0}))
    assert read.next_offset(log) == 5

    now = 1_000_000_000
    reader = source_of(kafka, topic, clock=lambda: now).open({log: 0})
    read = read_until(reader, lambda read: read.records() == 5)
    for _ in range(30):
        now += 500_000
        read.add(reader.poll())
    assert reader.ends() == {}  # nothing was ever seen to be complete
    committed = now
    client.commit_transaction(30)
    now += 60_000_000

    def seen() -> bool:
        nonlocal now
        now += 500_000
        return log in reader.ends() and reader.ends()[log].seen_at > committed

    read = read_until(reader, lambda _: seen(), read)
    read = read_until(reader, lambda read: read.next_offset(log) == 7, read)
    assert read.values(log)[-1] == b"held"
    assert reader.ends()[log].offset == 7
    reader.close()


def test_ends_say_when_they_were_seen(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, 2)
    produce(kafka, topic, numbered(8))
    logs = [LogId(topic, "0"), LogId(topic, "1")]
    now = 5_000_000
    reader = source_of(kafka, topic, clock=lambda: now).open(dict.fromkeys(logs, 0))
    assert reader.ends() == {}
    read_until(reader, lambda _: len(reader.ends()) == 2)
    assert reader.ends() == {logs[0]: (8, 5_000_000), logs[1]: (0, 5_000_000)}
    produce(kafka, topic, numbered(1, partition=1))
    now = 7_000_000
    read_until(reader, lambda _: reader.ends()[logs[1]].seen_at == 7_000_000)
    assert reader.ends() == {logs[0]: (8, 7_000_000), logs[1]: (1, 7_000_000)}
    reader.close()


def test_producer_time_is_refused_unless_it_is_trusted(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, message_timestamp_type="CreateTime", message_timestamp_before_max_ms=str(2**62))
    client = producer(kafka)
    client.produce(topic, b"old", timestamp=1_700_000_000_123)
    assert client.flush(30) == 0
    with pytest.raises(SourceError, match=r"message\.timestamp\.type=CreateTime.*LogAppendTime.*trust_producer_time"):
        source_of(kafka, topic).list_logs()
    source = source_of(kafka, topic, trust_producer_time=True, until_end=True)
    log = source.list_logs()[0].log
    assert read_all(source.open({log: 0})).timestamps(log) == [1_700_000_000_123_000]


def test_a_record_from_before_the_topic_had_the_brokers_time_is_refused(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka, message_timestamp_type="CreateTime")
    produce(kafka, topic, numbered(3))
    set_topic_config(kafka, topic, "message.timestamp.type", "LogAppendTime")
    produce(kafka, topic, numbered(3, first=3))
    log = LogId(topic, "0")
    source = source_of(kafka, topic, until_end=True)
    assert source.list_logs()[0].log_end == 6
    reader = source.open({log: 0})
    with pytest.raises(SourceError, match="partition 0, offset 0 carries its producer's time"):
        read_until(reader, lambda _: reader.exhausted)
    reader.close()
    assert read_all(source.open({log: 3})).records() == 3


def test_a_missing_topic_is_named(kafka: str) -> None:
    source = KafkaSource(kafka, "no-such-topic")
    with pytest.raises(SourceError, match=f"kafka://{kafka}/no-such-topic: the broker has no topic 'no-such-topic'"):
        source.list_logs()
    with pytest.raises(SourceError, match="no topic"):
        source.open({LogId("no-such-topic", "0"): 0})


def test_a_partition_that_is_not_there_is_refused(kafka: str) -> None:
    topic = create_topic(kafka)
    with pytest.raises(SourceError, match="no partition 1"):
        KafkaSource(kafka, topic).open({LogId(topic, "1"): 0})
    with pytest.raises(SourceError, match="elsewhere/0 is no partition of this topic"):
        KafkaSource(kafka, topic).open({LogId("elsewhere", "0"): 0})


def test_an_unreachable_broker_is_given_up_with_the_reason() -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"kafka://127.0.0.1:1/t: no answer .* within 1 s .*Connection refused"):
        KafkaSource("127.0.0.1:1", "t", timeout=1.0).list_logs()
    assert time.monotonic() - started < 10


def test_a_name_that_does_not_resolve_is_given_up_with_the_reason() -> None:
    with pytest.raises(SourceError, match=r"no answer .*(resolve|Name|name)"):
        KafkaSource("no-such-host.invalid:9092", "t", timeout=1.0).list_logs()


def test_tls_to_a_broker_without_it_is_given_up_with_the_reason(kafka: str) -> None:
    secure = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "pw-1"}
    with pytest.raises(SourceError, match=r"SSL (handshake failed|connection closed)") as caught:
        KafkaSource(kafka, "t", timeout=1.0, properties=secure).list_logs()
    assert "pw-1" not in str(caught.value)


def test_a_log_truncated_below_the_start_names_the_lost_range(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, numbered(100))
    delete_records(kafka, topic, 0, 60)
    log = LogId(topic, "0")
    source = source_of(kafka, topic, until_end=True)
    assert source.list_logs()[0].log_start == 60
    reader = source.open({log: 20})
    with pytest.raises(SourceError, match="partition 0: offsets 20 to 59 are gone"):
        read_until(reader, lambda _: reader.exhausted)
    reader.close()
    assert read_all(source.open({log: 60})).offsets(log) == list(range(60, 100))


def test_a_start_past_the_end_is_refused(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, numbered(10))
    log = LogId(topic, "0")
    reader = source_of(kafka, topic).open({log: 11})
    with pytest.raises(SourceError, match="offset 11 is past the log's end at 10"):
        read_until(reader, lambda _: False)
    reader.close()


def test_no_partition_is_read_to_its_end_at_once(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    for until_end in (True, False):
        reader = source_of(kafka, topic, until_end=until_end).open({})
        assert reader.exhausted
        assert reader.poll() == []
        reader.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "latest"),
        ("enable.auto.commit", True),
        ("bootstrap.servers", "elsewhere:9092"),
        ("no.such.property", "1"),
        ("security.protocol", "carrier pigeon"),
    ],
)
def test_properties_that_cannot_be_are_refused_by_name(name: str, value: str | bool) -> None:
    with pytest.raises(SettingsError, match=name.replace(".", r"\.")):
        KafkaSource("127.0.0.1:1", "t", properties={name: value})


def test_security_properties_reach_the_consumer_and_the_admin_client(kafka: str) -> None:
    topic = create_topic(kafka)
    properties = {"security.protocol": "plaintext", "client.id": "meter", "isolation.level": "read_committed"}
    source = KafkaSource(kafka, topic, properties=properties)
    assert len(source.list_logs()) == 1


def test_record_batch_columns_have_their_types(kafka: str, source_of: SourceMaker) -> None:
    topic = create_topic(kafka)
    produce(kafka, topic, numbered(3))
    log = LogId(topic, "0")
    read = read_all(source_of(kafka, topic, until_end=True).open({log: 0}))
    batch = read.batches[log][0]
    assert type(batch.data) is bytes
    for column in (batch.starts, batch.ends, batch.offsets, batch.timestamps):
        assert isinstance(column, np.ndarray)
        assert column.dtype == np.int64
        assert column.flags.c_contiguous
