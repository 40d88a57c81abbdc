"""The log loses its beginning: topics of their own, and each of the outcomes that a start may have then.

What was metered and closed may go: nothing changes. The mark gone: a new generation where progress is, or, after an
unclean stop, a refusal. What was not metered gone: a refusal, and with --accept-gap a generation behind the gap, which
`tally reconcile` shows as the one difference that there is, in its place and of its size.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import Store, open_store
from tests import oracle
from tests.chaos.check import compare, reconciliation
from tests.chaos.flows import Flows, Process
from tests.chaos.rounds import Bench, Totals
from tests.chaos.serving import Serving
from tests.flow.test_kafka_logs import after
from tests.flow.topics import Traffic, read_back, send_stamped
from tests.flow.truth import Truth, expected, rules_of, stored
from tests.kafka.helpers import create_topic, delete_records

SECOND: Final = 1_000_000
TRIES: Final = 20
SETTINGS: Final = MeterSettings(load_catalogue(), trust_producer_time=True)


class Wrong(AssertionError):
    """An outcome that is not the one that must be."""


class _Topic:
    """A topic of one partition; its producer's time lets hours pass, so that the mark moves on."""

    def __init__(self, bench: Bench, serving: Serving, flows_folder: Path, name: str) -> None:
        self._address = bench.brokers.address
        self.name = create_topic(
            self._address, 1, f"cut-{name}-{os.getpid()}-{time.time_ns()}", message_timestamp_type="CreateTime"
        )
        self.log = LogId(self.name, "0")
        self.url = serving.url()
        source = f"kafka://{bench.brokers.for_flows}/{self.name}"
        flags = ["--store", self.url, "--trust-producer-time", "--flush-interval", "1us", "--batch-bytes", "2KiB"]
        folder = flows_folder / name
        folder.mkdir()
        self._flows = Flows(bench.zygote, folder, [source, *flags, "--until-end"], {})
        self._flows.excused_until = float("inf")
        self._traffic = Traffic(name, time.time_ns() // 1000 - 10_000 * SECOND)
        self._chance = random.Random(name)

    def produce(self, events: int) -> None:
        records = []
        for _ in range(events):
            self._traffic.now += self._chance.choice([0, 1, 3, 20]) * SECOND
            records.append((0, json.dumps(self._traffic.event()).encode(), self._traffic.now))
        send_stamped(self._address, self.name, records)

    def records(self) -> list[oracle.Record]:
        return read_back(self._address, self.name, 1, SETTINGS)[0]

    def cut(self, before: int) -> None:
        delete_records(self._address, self.name, 0, before)

    def start(self, *more: str, point: str = "", count: int = 1) -> Process:
        process = self._flows.start(*more, point=point, count=count)
        if self._flows.wait(process) is None:
            raise Wrong(f"{self.name}: the run does not end: {process.words()}")
        return process

    def killed(self, point: str, count: int, totals: Totals) -> None:
        """Let a run die at that point; where it comes to the end before, there is more to read for the next one."""
        for _ in range(TRIES):
            process = self.start(point=point, count=count)
            if process.status == -signal.SIGKILL:
                totals.kills[point] += 1
                return
            _must(process.status == 0, f"{self.name}: not killed {point}: {process.words()}")
            self.produce(300)
        raise Wrong(f"{self.name}: no run could be killed {point}")

    def goes_on(self, *more: str, says: str = "") -> None:
        process = self.start(*more)
        _must(process.status == 0 and says in process.words(), f"{self.name}: {process.status}, {process.words()}")

    def refused(self, says: str) -> None:
        process = self.start()
        _must(process.status == 2 and says in process.words(), f"{self.name}: {process.status}, {process.words()}")

    def progress(self, store: Store) -> Progress:
        return store.progress(self.name)[self.log]

    def must_be(self, store: Store, truth: Truth, generation: int) -> None:
        """Check what the store says of a generation; counts are those of the newest one."""
        found = stored(store, self.log, generation)
        if generation != self.progress(store).generation:
            found = found._replace(counts=truth.counts)
        _must_not(compare(f"{self.name}, generation {generation}", truth, found))


def truncated(bench: Bench, folder: Path, totals: Totals) -> list[str]:
    """Go through all outcomes; return what was not as it must be. Kills are added to the totals."""
    place = folder / "truncation"
    place.mkdir()
    with ExitStack() as stack:
        serving = stack.enter_context(Serving(place / "served"))
        store = stack.enter_context(open_store(serving.url()))
        store.migrate()
        try:
            _cut_again_and_again(_Topic(bench, serving, place, "beginning"), store, totals)
            _cut_after_an_unclean_stop(_Topic(bench, serving, place, "unclean"), store, totals)
        except AssertionError as wrong:
            return [f"truncation: {wrong}"]
    totals.faults["log truncated"] += 4
    return []


def _cut_again_and_again(topic: _Topic, store: Store, totals: Totals) -> None:
    topic.produce(700)
    for _ in range(TRIES):
        topic.killed("before_progress", 12, totals)
        at = topic.progress(store)
        if at.mark.warm_offset:
            break
    _must(0 < at.mark.warm_offset < at.next_offset, f"{topic.name}: the mark stands still: {at}")

    # Up to the mark: nobody needs it any more.
    topic.produce(100)
    whole = topic.records()
    topic.cut(at.mark.warm_offset)
    topic.goes_on()
    topic.must_be(store, expected(whole, SETTINGS), generation=1)

    # The mark itself, after a clean stop: a generation with an empty index.
    end = topic.progress(store)
    topic.produce(200)
    topic.cut(end.mark.warm_offset + 1)
    topic.goes_on(says=f"retention deleted the replay mark; generation 2 starts at offset {end.next_offset}")
    rest = [record for record in topic.records() if record.offset >= end.next_offset]
    before = oracle.meter(whole, rules_of(SETTINGS))
    topic.must_be(store, expected(whole, SETTINGS), generation=1)
    topic.must_be(store, after(before, rest), generation=2)
    _must(reconciliation(topic.url)["differences"] == 0, f"{topic.name}: {reconciliation(topic.url)}")

    # What was not metered: refused, until the gap is accepted, which then is a difference for ever.
    end = topic.progress(store)
    topic.produce(150)
    first = end.next_offset + 60
    topic.cut(first)
    topic.refused(says=f"records were lost: the log starts at offset {first}")
    topic.goes_on("--accept-gap", says=f"60 offsets from {end.next_offset} on are gone")
    found = reconciliation(topic.url)
    gaps = [
        (law["law"], finding["left"], finding["right"])
        for law in found["laws"]
        for finding in law["findings"]
        if finding["standing"] == "difference"
    ]
    _must(gaps == [("ranges", end.next_offset, first)], f"{topic.name}: the gap is not what reconcile shows: {gaps}")


def _cut_after_an_unclean_stop(topic: _Topic, store: Store, totals: Totals) -> None:
    topic.produce(300)
    topic.killed("before_progress", 4, totals)
    at = topic.progress(store)
    topic.cut(at.mark.warm_offset + 1)
    topic.refused(says="usage rows lie past progress")
    _must(topic.progress(store) == at, f"{topic.name}: a refused run changed progress")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


def _must_not(differences: Iterable[str]) -> None:
    found = list(differences)
    _must(not found, "; ".join(found))
