"""Traffic to a real broker: what arrives, read plainly and metered by the oracle, is what is expected."""

import datetime as dt
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from dataflows.sources.base import wall_clock
from dataflows.sources.kafka import KafkaSource
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError, SourceError, TallyError
from schemas.metering import MeterSettings
from schemas.progress import Counts
from tally.generate import Expected, Sum, TrafficSpec
from tally.generate.expected import Key
from tally.generate.spec import Format, Packing
from tally.generate.topic import generate_topic
from tests.generate.plainly import EPOCH, counts_of, event_of, rules_of, values_of
from tests.kafka.helpers import create_topic, produce, read_all
from tests.oracle import Record, meter

pytestmark = pytest.mark.kafka

_names = iter(range(1_000))


def new_name() -> str:
    return f"generated-{wall_clock()}-{next(_names)}"


def values(record: bytes) -> list[Any]:
    if record[:1] != b"\xff":
        return values_of(record)
    try:
        table = pa.ipc.open_stream(record).read_all()
    except pa.ArrowInvalid:
        return ["not_json"]
    columns = table.set_column(5, "timestamp", table["timestamp"].cast(pa.int64())).to_pylist()
    return [row | {"timestamp": (EPOCH + dt.timedelta(microseconds=row["timestamp"])).isoformat()} for row in columns]


def metered(address: str, topic: str, spec: TrafficSpec) -> tuple[dict[str, Counts], dict[Key, Sum]]:
    """Read a topic to its end and let the oracle meter it, by the broker's clock."""
    source = KafkaSource(address, topic, until_end=True)
    logs = source.list_logs()
    read = read_all(source.open({listed.log: listed.log_start for listed in logs}))
    counts: dict[str, Counts] = {}
    quantity: Counter[Key] = Counter()
    events: Counter[Key] = Counter()
    for listed in logs:
        log = listed.log
        rows = zip(read.offsets(log), read.timestamps(log), read.values(log), strict=True)
        records = [
            Record(offset, at, tuple(event_of(value, spec) for value in values(record))) for offset, at, record in rows
        ]
        out = meter(records, rules_of(spec.meter))
        counts[log.partition] = counts_of(out)
        for (org, category, _, _, window, _), row in out.rows.items():
            key = (org, category, (EPOCH + dt.timedelta(microseconds=window)).date())
            quantity[key] += row.quantity
            events[key] += row.events
    return counts, {key: Sum(quantity[key], events[key]) for key in events}


def check(expected: Expected, address: str, topic: str, spec: TrafficSpec) -> None:
    counts, usage = metered(address, topic, spec)
    assert expected.compare_counts(counts) == []
    assert expected.usage == usage
    assert sum(part.events for part in counts.values()) == spec.events


@pytest.mark.parametrize(
    ("form", "per_record", "packing"),
    [
        ("tally", 1, "array"),
        ("tally", 7, "array"),
        ("tally", 7, "ndjson"),
        ("tally", 100, "arrow"),
        ("sentry-outcomes", 1, "array"),
        ("sentry-outcomes", 50, "ndjson"),
        ("cloudevents", 3, "array"),
    ],
)
def test_what_arrives_is_what_is_expected(kafka: str, form: Format, per_record: int, packing: Packing) -> None:
    topic = new_name()
    spec = TrafficSpec(
        events=12_000,
        format=form,
        malformed=0.02,
        from_the_future=0.01,
        too_old=0.01,
        late=0.05,
        partitions=3,
        per_record=per_record,
        packing=packing,
        meter=MeterSettings(load_catalogue(), format=form),
    )
    expected = generate_topic(kafka, topic, spec, create=True)
    check(expected, kafka, topic, spec)
    counts = expected.counts
    assert len(expected.partitions) == 3
    assert all(part.events > 300 for part in expected.partitions.values())
    assert counts.rejected["from_the_future"] > 60
    assert counts.rejected["too_old"] > 60
    assert counts.duplicates > 60 or form == "sentry-outcomes"
    assert counts.records == counts.events if per_record == 1 else counts.records < counts.events * 2 // 3
    assert not expected.late_known


def test_the_same_bytes_whatever_the_chunks(kafka: str) -> None:
    """At a rate the chunks are small; what is produced is the same."""
    now = wall_clock()
    topics = [new_name(), new_name()]
    found = []
    for topic, rate in zip(topics, (None, 40_000.0), strict=True):
        spec = TrafficSpec(events=3_000, rate=rate, start=now, span=1_000_000, per_record=7, duplicates=0)
        generate_topic(kafka, topic, spec, create=True, now=now)
        source = KafkaSource(kafka, topic, until_end=True)
        [listed] = source.list_logs()
        found.append(read_all(source.open({listed.log: 0})).values(listed.log))
    assert found[0] == found[1]
    assert len(found[0]) > 400


def test_a_topic_that_does_not_exist_is_named(kafka: str) -> None:
    with pytest.raises(SourceError, match="no topic 'missing'"):
        generate_topic(kafka, "missing", TrafficSpec(events=10))


def test_no_broker_is_said() -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1"):
        generate_topic("127.0.0.1:1", "any", TrafficSpec(events=10), timeout=1.0)


def test_a_topic_with_records_is_left_alone_unless_told(kafka: str) -> None:
    topic = create_topic(kafka, 2, message_timestamp_type="LogAppendTime")
    produce(kafka, topic, [(0, b"x")])
    with pytest.raises(SettingsError, match="has records already"):
        generate_topic(kafka, topic, TrafficSpec(events=10))
    expected = generate_topic(kafka, topic, TrafficSpec(events=10), append=True)
    assert expected.counts.events == 10
    assert sorted(expected.partitions) == ["0", "1"]
    with pytest.raises(SettingsError, match="has 2 partitions, not 3"):
        generate_topic(kafka, topic, TrafficSpec(events=10, partitions=3), append=True)


def test_a_record_that_cannot_be_delivered_stops_with_a_message(kafka: str) -> None:
    topic = create_topic(kafka, 1, message_timestamp_type="LogAppendTime", max_message_bytes="500")
    with pytest.raises(TallyError, match="was not delivered"):
        generate_topic(kafka, topic, TrafficSpec(events=1_000, per_record=100), properties={"compression.type": "none"})


def test_a_property_that_counts_rest_on_is_refused(kafka: str) -> None:
    with pytest.raises(SettingsError, match=r"enable\.idempotence"):
        generate_topic(kafka, "any", TrafficSpec(events=10), properties={"enable.idempotence": False})
    with pytest.raises(SettingsError, match=r"no\.such\.property"):
        generate_topic(kafka, "any", TrafficSpec(events=10), properties={"no.such.property": 1})
