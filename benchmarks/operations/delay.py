"""End-to-end delay: from the moment before an event is produced to the one after which the view `usage` shows it.

Events of organisations of their own, one every tenth of a second, go through the same partition as the load, and a
reader asks the view for them again and again: what it measures has one query's time in it.
"""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from confluent_kafka import Producer

from benchmarks.operations.figures import Figure
from benchmarks.operations.running import Failed, Flow, Tell, broker, producing, serving
from sinks.store import Store, open_store
from tally.units import show_instant
from tests.flow.topics import ends_of
from tests.kafka.helpers import create_topic

FIRST: Final = 1 << 40
"""The first organisation of ours: the load's are small numbers."""
EVERY: Final = 0.1
LOOK_EVERY: Final = 0.03
WARM_UP: Final = 5.0
BACKLOG: Final = 1_000_000
"""Events of the backlog whose draining says at which rate the search begins."""
STEPS: Final = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
KEEPING_UP: Final = 2.0
"""Seconds of traffic that may wait at the end of a step for its rate to count as one that the flow keeps up with."""
MAKING_UP: Final = 1.1
"""How many times the rate counts as more than it."""
LAST: Final = 60.0
"""Seconds after the load for which the last events are waited for."""


class Load:
    """A flow over a topic of one partition, under load, beside its broker and its store's server."""

    def __init__(self, address: str, store: str, folder: Path, rate: float, seconds: float, seed: int) -> None:
        self.topic = create_topic(address, message_timestamp_type="LogAppendTime")
        self.address = address
        self._rate = rate
        url = f"kafka://{address}/{self.topic}"
        self.producer = producing(url, rate, WARM_UP + seconds + 2 * LAST, folder / "producer.log", seed)
        self.flow = Flow(url, store, folder / "flow.log")

    def produced(self) -> int:
        """Return how many records there are."""
        return ends_of(self.address, self.topic, 1)[0]

    def begin(self) -> None:
        """Wait until traffic goes through at its rate: a producer makes up first for the time that its start took."""
        self.flow.until_said("tally_records_total", 1)
        time.sleep(WARM_UP)
        deadline = time.monotonic() + LAST
        while self._rate_now() > self._rate * MAKING_UP and time.monotonic() < deadline:
            self.producer.check()

    def _rate_now(self) -> float:
        before, began = self.produced(), time.monotonic()
        time.sleep(1.0)
        return (self.produced() - before) / (time.monotonic() - began)

    def end(self) -> None:
        """Stop both."""
        self.producer.kill()
        self.flow.kill()


def full_rate(address: str, store: str, folder: Path, seconds: float, tell: Tell) -> float:
    """Return the highest rate (of a few) with which a flow keeps up beside its producer, events a second."""
    drained = _drain_rate(address, store, folder)
    tell(f"a backlog drains at {drained:,.0f} events/s")
    for number, share in enumerate(STEPS):
        load = Load(address, store, folder, drained * share, seconds, seed=10 + number)
        try:
            load.begin()
            first, began = load.produced(), time.monotonic()
            time.sleep(seconds)
            rate = (load.produced() - first) / (time.monotonic() - began)
            keeps_up = load.flow.behind_at_most(KEEPING_UP * rate)
        finally:
            load.end()
        verdict = "keeps up" if keeps_up else "falls behind"
        tell(f"asked for {drained * share:,.0f}, produced {rate:,.0f} events/s: {verdict}")
        if keeps_up:
            return rate
    raise Failed("the flow keeps up with no rate that was tried")


def _drain_rate(address: str, store: str, folder: Path) -> float:
    topic = create_topic(address, message_timestamp_type="LogAppendTime")
    url = f"kafka://{address}/{topic}"
    with producing(url, 1e9, BACKLOG / 1e9, folder / "producer.log", seed=9) as producer:
        producer.wait()
    with Flow(url, store, folder / "flow.log") as flow:
        began = flow.until_said("tally_records_total", 1)
        done = flow.metric("tally_records_total") or 0
        ended = flow.until_said("tally_records_total", BACKLOG)
        flow.kill()
    if ended - began < 0.2:
        raise Failed("the backlog was drained before it could be looked at")
    return (BACKLOG - done) / (ended - began)


def delays(
    address: str, store: str, folder: Path, rate: float, seconds: float, tell: Tell
) -> tuple[list[float], float]:
    """Return the delay of every event of ours in seconds, and the rate at which was produced meanwhile."""
    load = Load(address, store, folder, rate, seconds, seed=int(rate))
    sent: list[float] = []
    seen: list[float] = []
    stop = threading.Event()
    try:
        load.begin()
        with open_store(store) as opened:
            looking = threading.Thread(target=_look, args=(opened, sent, seen, stop), daemon=True)
            looking.start()
            first, began = load.produced(), time.monotonic()
            _send(address, load.topic, sent, began + seconds)
            produced = (load.produced() - first) / (time.monotonic() - began)
            deadline = time.monotonic() + LAST
            while len(seen) < len(sent) and time.monotonic() < deadline:
                load.flow.check()
                time.sleep(LOOK_EVERY)
            lag = load.flow.metric("tally_lag_records") or 0
            stop.set()
            looking.join(30)
    finally:
        stop.set()
        load.end()
    if len(seen) < len(sent):
        raise Failed(
            f"{len(sent) - len(seen)} of {len(sent)} events were not visible {LAST:g} s after the last one: at "
            f"{produced:,.0f} events/s the flow is {lag:,.0f} records behind"
        )
    tell(f"{produced:,.0f} events/s: {len(seen)} delays")
    return [at - then for then, at in zip(sent, seen, strict=True)], produced


def _send(address: str, topic: str, sent: list[float], until: float) -> None:
    """Produce one event every EVERY seconds; `sent` gets the time just before each."""
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "acks": "all", "log_level": 0})
    while (now := time.monotonic()) < until:
        number = len(sent)
        event = {
            "event_id": f"ours-{number}",
            "org_id": FIRST + number,
            "project_id": 1,
            "category": "error",
            "quantity": 1,
            "timestamp": show_instant(time.time_ns() // 1000),
        }
        sent.append(now)
        producer.produce(topic, json.dumps(event).encode(), partition=0)
        producer.poll(0)
        time.sleep(max(0.0, now + EVERY - time.monotonic()))
    if producer.flush(LAST):
        raise Failed("the broker did not take every event")


def _look(store: Store, sent: Sequence[float], seen: list[float], stop: threading.Event) -> None:
    """Ask the view which of ours it shows; `seen` gets the time after the answer for each, in order."""
    while not stop.is_set():
        (newest,) = store.query(f"SELECT max(org_id) FROM usage WHERE org_id >= {FIRST + len(seen)}")[0]
        shown = int(newest or 0) - FIRST + 1
        now = time.monotonic()
        seen += [now] * (min(shown, len(sent)) - len(seen))
        stop.wait(LOOK_EVERY)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the values do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def measure(folder: Path, seconds: float, full: float | None, tell: Tell) -> list[Figure]:
    """Measure at half load and at full load; `full` (events a second) is looked for where it is not given."""
    figures: list[Figure] = []
    with TemporaryDirectory(dir=folder) as place, broker(folder) as address:
        if full is None:
            with serving(Path(place) / "search") as store:
                full = full_rate(address, store, Path(place), seconds / 2, tell)
        for name, share in (("half", 0.5), ("full", 1.0)):
            with serving(Path(place) / name) as store:
                found, produced = delays(address, store, Path(place), full * share, seconds, tell)
            how = f"{produced:,.0f} events/s, a record each, one partition; {len(found)} events"
            figures += [
                Figure(f"produced until visible, {name} load, p50", [percentile(found, 50)], "s", how, 2),
                Figure(f"produced until visible, {name} load, p99", [percentile(found, 99)], "s", how, 2),
                Figure(f"produced until visible, {name} load, longest", [max(found)], "s", how, 2),
            ]
    return figures
