"""Topics of events and of reports, read back plainly: what arrived, and what the reports on it add up to."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from dataflows.sources.kafka import KafkaSource
from schemas.catalogue import load_catalogue
from schemas.controls import ControlInstance, ControlTotal, Report, from_wire
from schemas.formats.base import Decoded
from schemas.formats.judge import judge
from schemas.metering import MeterSettings
from tally.producer import UsageEvent
from tests.kafka.helpers import create_topic, read_all

CATALOGUE: Final = load_catalogue()
SETTINGS: Final = MeterSettings(CATALOGUE)
NOW: Final = 1_795_341_600_000_000
"""2026-11-22T10:00:00Z."""
MINUTE: Final = 60_000_000

Minutes = Counter[tuple[str, str, int]]
"""A number by source, category and minute."""


class Arrived(NamedTuple):
    """An event as the native format reads it, and the partition that it is in."""

    partition: int
    event: Decoded


def topics(address: str, partitions: int = 4, **config: str) -> str:
    """Create a topic of events with its topic of reports, and return its name."""
    topic = create_topic(address, partitions, **config)
    create_topic(address, 2, f"{topic}.controls", cleanup_policy="compact")
    return topic


def values(address: str, topic: str) -> list[tuple[int, bytes]]:
    """Return (partition, value) of every record, each partition's in order."""
    source = KafkaSource(address, topic, until_end=True, trust_producer_time=True, route="portable")
    read = read_all(source.open({listed.log: 0 for listed in source.list_logs()}))
    return [(int(log.partition), value) for log in sorted(read.batches) for value in read.values(log)]


def decoded(value: bytes) -> list[Decoded]:
    found = [judged.outcome for judged in judge(value, SETTINGS)]
    assert all(isinstance(one, Decoded) for one in found), found
    return [one for one in found if isinstance(one, Decoded)]


def arrived(address: str, topic: str) -> list[Arrived]:
    """Return every event of a topic; one that does not decode is a failure."""
    return [Arrived(partition, event) for partition, value in values(address, topic) for event in decoded(value)]


def events(count: int, start: int = 0, *, orgs: int = 50) -> list[UsageEvent]:
    """Return that many different events over several minutes, organisations and categories."""
    names = ("error", "transaction", "span", "attachment")
    return [
        UsageEvent(f"event-{n}", n % orgs, names[n % 4], n % 7, NOW + n * 37_003, n % 3)
        for n in range(start, start + count)
    ]


def sums(found: Sequence[Arrived]) -> tuple[Minutes, Minutes]:
    """Return the events and the quantities that arrived."""
    counts, quantities = Minutes(), Minutes()
    for _, event in found:
        key = (event.source, CATALOGUE.names[event.category], event.timestamp // MINUTE * MINUTE)
        counts[key] += 1
        quantities[key] += event.quantity
    return counts, +quantities


class Reported(NamedTuple):
    """What reports say, the highest sequence of each key alone, instances added up."""

    events: Minutes
    quantities: Minutes
    instances: list[ControlInstance]


def reported(address: str, topic: str) -> Reported:
    """Return what the reports on a topic say."""
    return summed([from_wire(value) for _, value in values(address, f"{topic}.controls")])


def summed(reports: Sequence[Report]) -> Reported:
    newest: dict[bytes, Report] = {}
    for report in reports:
        before = newest.get(report.key())
        if before is None or before.sequence <= report.sequence:
            assert before is None or before.sequence < report.sequence or before == report
            newest[report.key()] = report
    counts, quantities = Minutes(), Minutes()
    for report in newest.values():
        if isinstance(report, ControlTotal):
            key = (report.source, report.category, report.minute)
            counts[key] += report.events
            quantities[key] += report.quantity
    instances = [report for report in newest.values() if isinstance(report, ControlInstance)]
    return Reported(counts, +quantities, instances)
