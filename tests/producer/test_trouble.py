"""The broker away, restarted, gone for good; the process killed, forked, ended without a close: nothing in silence."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from tally.producer import (
    ControlsUndelivered,
    FlushTimeout,
    ProducerClosed,
    ProducerFull,
    Undelivered,
    UsageEvent,
    UsageProducer,
)
from tally.producer.packing import Packing
from tests.kafka.broker import Broker
from tests.kafka.helpers import create_topic, delete_topic
from tests.producer.topics import NOW, arrived, events, reported, sums, topics

pytestmark = pytest.mark.kafka
ALL: Final[tuple[Packing, ...]] = ("json", "ndjson", "arrow")
PACKINGS = pytest.mark.parametrize("packing", ALL)
NOWHERE = "127.0.0.1:1"
"""No broker is here."""


def add_all(producer: UsageProducer, some: list[UsageEvent]) -> None:
    """Add events as the page tells applications to: what was not taken is added again, and so is what comes back."""
    while some:
        try:
            producer.add_many(some)
            return
        except ProducerFull as full:
            some = some[full.added :]
        except Undelivered as failed:
            some = [*failed.events, *some[failed.added :]]


@pytest.mark.parametrize("how", ["kill", pytest.param("restart", marks=pytest.mark.slow)])
def test_a_broker_that_comes_back_is_ridden_out(own_broker: Callable[..., Broker], how: str) -> None:
    broker = own_broker()
    topic = topics(broker.address)
    sent = events(20_000)
    with UsageProducer(
        broker.address, topic, source="relay", packing="ndjson", linger=0.01, max_bytes=4 << 20, controls_every=0.2
    ) as producer:
        adding = threading.Thread(target=add_all, args=(producer, sent))
        adding.start()
        while not arrived(broker.address, topic):
            pass
        if how == "kill":
            broker.kill()
            broker.start()
        else:
            broker.restart()
        adding.join()
        producer.flush()
    found = arrived(broker.address, topic)
    assert Counter(one.event.event_id for one in found) == Counter(event.event_id for event in sent)
    said = reported(broker.address, topic)
    assert (said.events, said.quantities) == sums(found)
    assert [one.closed for one in said.instances] == [True]


def test_a_broker_that_is_away_at_the_start_is_waited_for(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    used = {packing: topics(broker.address) for packing in ALL}
    broker.stop()
    sent = events(3_000)
    made = [UsageProducer(broker.address, used[packing], source="relay", packing=packing) for packing in ALL]
    for producer in made:
        producer.add_many(sent[:2_000])
        assert producer.pending == 2_000
        with pytest.raises(FlushTimeout, match=r"2,000 events are not acknowledged yet.*still being sent"):
            producer.flush(timeout=0)
    broker.start()
    for producer in made:
        producer.add_many(sent[2_000:])
        producer.flush()
        assert producer.pending == 0
    for producer, topic in zip(made, used.values(), strict=True):
        assert reported(broker.address, topic).events.total() == 3_000
        found = arrived(broker.address, topic)
        assert Counter(one.event.event_id for one in found) == Counter(event.event_id for event in sent)
        producer.close()


@PACKINGS
@pytest.mark.parametrize("timeout", [0.0, 0.2])
def test_what_cannot_be_held_is_not_taken(packing: Packing, timeout: float) -> None:
    producer = UsageProducer(
        NOWHERE, "usage", source="relay", packing=packing, max_bytes=1 << 20, largest_record=100_000, timeout=timeout
    )
    sent = events(20_000)
    with pytest.raises(
        ProducerFull, match=r"events wait for the brokers \(.*max_bytes=1,048,576.*add it again"
    ) as full:
        producer.add_many(sent)
    taken = full.value.added
    assert 500 < taken < 5_000
    assert producer.pending == taken
    with pytest.raises(ProducerFull):
        producer.add(1, "error", 1, timestamp=NOW)
    with pytest.raises(Undelivered, match=f"{taken:,} events were not delivered: .*another producer") as lost:
        producer.close()
    assert lost.value.events == sent[:taken]


def test_a_full_producer_blocks_until_the_broker_is_back(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topic = topics(broker.address)
    broker.stop()
    sent = events(10_000)
    with UsageProducer(
        broker.address, topic, source="relay", max_bytes=2 << 20, largest_record=100_000, timeout=None
    ) as producer:
        adding = threading.Thread(target=producer.add_many, args=(sent,))
        adding.start()
        while producer.pending < 1_000:
            pass
        adding.join(0.2)
        assert adding.is_alive()
        assert producer.pending < 5_000
        broker.start()
        adding.join()
    assert Counter(one.event.event_id for one in arrived(broker.address, topic)) == Counter(e.event_id for e in sent)


def test_a_broker_that_stays_away_hands_everything_back(own_broker: Callable[..., Broker]) -> None:
    """Killed while events are on their way: what comes back may have arrived, and is added again with its ids."""
    broker = own_broker()
    used = {packing: topics(broker.address) for packing in ALL}
    sent = events(5_000)
    made = [
        UsageProducer(broker.address, used[packing], source="first", packing=packing, linger=0.0, controls_every=0.05)
        for packing in ALL
    ]
    for producer in made:
        producer.add_many(sent[:2_500])
        producer.flush()
        producer.add_many(sent[2_500:4_000])
    broker.kill()
    lost: dict[Packing, list[UsageEvent]] = {}
    for packing, producer in zip(ALL, made, strict=True):
        producer.add_many(sent[4_000:])
        with pytest.raises(Undelivered, match="events were not delivered") as caught:
            producer.close(timeout=0.5)
        lost[packing] = caught.value.events
        assert len(lost[packing]) >= 1_000
    broker.start()
    for packing, topic in used.items():
        with UsageProducer(broker.address, topic, source="second", packing=packing) as second:
            second.add_many(lost[packing])
        found = arrived(broker.address, topic)
        assert {one.event.event_id for one in found} == {event.event_id for event in sent}
        said = reported(broker.address, topic)
        arrivals, quantities = sums(found)
        assert {one.source: one.closed for one in said.instances} == {"first": False, "second": True}
        for key, number in said.events.items():  # never more than arrived
            assert number <= arrivals[key]
            assert said.quantities[key] <= quantities[key]
        assert sum(number for key, number in said.events.items() if key[0] == "second") == len(lost[packing])


def test_a_report_that_does_not_arrive_is_told_apart(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topic = topics(broker.address)
    producer = UsageProducer(broker.address, topic, source="relay", controls_every=1_000)
    producer.add_many(events(10))
    producer.flush()
    delete_topic(broker.address, f"{topic}.controls")
    producer.add_many(events(10, 10))
    with pytest.raises(ControlsUndelivered, match="events were delivered, but the control totals were not"):
        producer.flush(timeout=3)
    assert len(arrived(broker.address, topic)) == 20
    create_topic(broker.address, 2, f"{topic}.controls")
    producer.close()
    assert reported(broker.address, topic).events.total() == 20


KILLED = """
import sys
from tally.producer import UsageProducer
from tests.producer.topics import events
address, topic, packing = sys.argv[1:]
producer = UsageProducer(address, topic, source="killed", packing=packing, linger=0.005, controls_every=0.01)
for start in range(0, 10_000_000, 100):
    producer.add_many(events(100, start))
    if start % 1_000 == 900:
        producer.flush()
        print(start + 100, flush=True)  # so many are acknowledged
"""


@PACKINGS
def test_what_a_killed_process_had_acknowledged_is_in_the_log(kafka: str, packing: Packing) -> None:
    topic = topics(kafka)
    command = [sys.executable, "-c", KILLED, kafka, topic, packing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= 20_000:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *map(int, re.findall(r"\d+\n", process.stdout.read()))])
    assert process.returncode == -signal.SIGKILL
    found = arrived(kafka, topic)
    ids = Counter(one.event.event_id for one in found)
    assert {f"event-{n}" for n in range(acknowledged)} <= ids.keys()
    assert set(ids.values()) == {1}
    said = reported(kafka, topic)
    arrivals, quantities = sums(found)
    assert said.events.total() >= acknowledged - 1_000  # the last flush may have been cut off before its report
    for key, number in said.events.items():
        assert number <= arrivals[key]
        assert said.quantities[key] <= quantities[key]
    assert [one.closed for one in said.instances] == [False]


LEFT_OPEN = """
import sys
from tally.producer import UsageProducer
from tests.producer.topics import events
address, topic = sys.argv[1:]
producer = UsageProducer(address, topic, source="careless", packing="arrow", linger=30)
producer.add_many(events(500))
"""


def test_a_producer_that_was_left_open_is_closed_with_its_process(kafka: str) -> None:
    topic = topics(kafka)
    done = subprocess.run([sys.executable, "-c", LEFT_OPEN, kafka, topic], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(arrived(kafka, topic)) == 500
    assert [one.closed for one in reported(kafka, topic).instances] == [True]


FORKED = """
import os, sys
from tally.producer import ProducerClosed, UsageProducer, new_event_id
from tests.producer.topics import events
address, topic = sys.argv[1:]
producer = UsageProducer(address, topic, source="parent", packing="ndjson", linger=30)
producer.add_many(events(100))
producer._engine.lock.acquire()  # held by another thread at the fork, as it may be
reading, writing = os.pipe()
child = os.fork()
if not child:
    os.write(writing, new_event_id(1).encode())
    try:
        producer.add_many(events(1, 100))
    except ProducerClosed as problem:
        print(problem, flush=True)
    try:
        producer.close()
    except ProducerClosed:
        with UsageProducer(address, topic, source="child") as own:
            own.add_many(events(100, 100))
    sys.exit(7)  # with everything that the end of an interpreter does
producer._engine.lock.release()
assert os.read(reading, 36).decode() != new_event_id(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
producer.close()
"""


def test_a_fork_takes_no_producer_along(kafka: str) -> None:
    topic = topics(kafka)
    command = [sys.executable, "-c", FORKED, kafka, topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "does not survive a fork" in done.stdout
    found = arrived(kafka, topic)
    assert Counter(one.event.event_id for one in found) == Counter(event.event_id for event in events(200))
    assert {one.source: one.closed for one in reported(kafka, topic).instances} == {"parent": True, "child": True}


BOUNDED = """
import os, sys
from tally.producer import ProducerFull, UsageProducer
from tests.producer.topics import events
address, topic, packing = sys.argv[1:]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
producer = UsageProducer(address, topic, source="relay", packing=packing, max_bytes=32 << 20, timeout=1)
if topic != "away":
    producer.add_many(events(100))
    producer.flush(60)
print(flush=True)
sys.stdin.readline()
before = resident()
try:
    for start in range(0, 10_000_000, 100):
        producer.add_many(events(100, start))
except ProducerFull:
    print(resident() - before, producer.pending, flush=True)
os._exit(0)
"""


def held(address: str, topic: str, packing: Packing, pause: Callable[[], None]) -> tuple[int, int]:
    """Fill a producer of 32 MiB in a process of its own; return the bytes that it has grown by and its events."""
    command = [sys.executable, "-c", BOUNDED, address, topic, packing]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        pause()
        process.stdin.write("\n")
        process.stdin.flush()
        grown, pending = map(int, process.stdout.readline().split())
        return grown, pending


@PACKINGS
def test_memory_is_bounded_while_the_broker_is_away(packing: Packing) -> None:
    grown, pending = held(NOWHERE, "away", packing, lambda: None)
    assert pending > 30_000
    assert grown < 1.3 * (32 << 20), f"{grown:,} bytes for {pending:,} events"


def test_memory_is_bounded_while_the_broker_hangs(own_broker: Callable[..., Broker]) -> None:
    """Records are in the client's queue then, not in ours."""
    broker = own_broker()
    assert broker.pid is not None
    for packing in ALL:
        topic = topics(broker.address)
        try:
            grown, pending = held(broker.address, topic, packing, partial(os.kill, broker.pid, signal.SIGSTOP))
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert pending > 30_000
        assert grown < 1.3 * (32 << 20), f"{packing}: {grown:,} bytes for {pending:,} events"


def test_the_package_is_light() -> None:
    program = "import sys, tally.producer; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numba", "chdb", "bytewax", "pyarrow", "numpy", "clickhouse_connect"}


def test_closing_an_unused_producer_waits_for_nobody() -> None:
    producer = UsageProducer(NOWHERE, "usage", source="relay", timeout=None)
    producer.close()
    with pytest.raises(ProducerClosed):
        producer.add(1, "error", 1, timestamp=NOW)
