"""Another release over the same topic and store, under load: the right way, the wrong way, and clusters by mistake."""

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests.deploy.test_pod import Cluster
from tests.flow.conftest import kafka
from tests.flow.processes import tally
from tests.flow.running import Running, free_ports, until
from tests.flow.topics import Producing, Traffic, in_store, read_back
from tests.flow.truth import expected, rules_of
from tests.kafka.helpers import create_topic
from tests.oracle import meter
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe, scrape

__all__ = ["kafka"]

SETTINGS = MeterSettings(load_catalogue())
PARTITIONS = 4
NEWER = {"TALLY_TEST_METER_VERSION": "1000"}
"""A release whose meter answers otherwise, as far as anybody can tell: it starts a new generation."""
UNTIL_END = {"TALLY_UNTIL_END": "true"}

Totals = dict[tuple[Any, ...], tuple[int, int]]
"""Quantity and events by partition, organisation, category, project, window, and whether late."""


def traffic(name: str) -> list[Traffic]:
    return [Traffic(f"{name}-{partition}", time.time_ns() // 1000) for partition in range(PARTITIONS)]


def counted(url: str, topic: str) -> Totals:
    """Return what is counted over all generations."""
    with open_store(url, create=False) as store:
        rows = store.query(
            "SELECT partition, org_id, category, project_id, toUnixTimestamp(window_start), segment != 0, "
            "sum(quantity), sum(events) FROM usage_windows FINAL WHERE topic = {topic:String} GROUP BY ALL",
            {"topic": topic},
        )
    return {tuple(row[:6]): (int(row[6]), int(row[7])) for row in rows}


def owed(kafka: str, topic: str) -> Totals:
    """Return what the oracle counts of the topic, as if it had been read in one go."""
    found: dict[tuple[Any, ...], Counter[str]] = {}
    for number, log in enumerate(read_back(kafka, topic, PARTITIONS, SETTINGS)):
        for (org, category, project, _, start, segment), row in meter(log, rules_of(SETTINGS)).rows.items():
            key = (str(number), org, category, project, start // 1_000_000, int(segment != 0))
            found.setdefault(key, Counter()).update(quantity=row.quantity, events=row.events)
    return {key: (sums["quantity"], sums["events"]) for key, sums in found.items()}


def generations(url: str, topic: str) -> set[int]:
    with open_store(url, create=False) as store:
        return {found.generation for found in store.progress(topic).values()}


def drained(pods: Sequence[Running]) -> list[int]:
    """Ask all to stop, as `kubectl delete pod` does, and return how they ended."""
    for pod in pods:
        pod.send_signal(signal.SIGTERM)
    return [pod.end() for pod in pods]


def what(cluster: Cluster, number: int) -> tuple[str, ...]:
    """Return what a worker says is in its way."""
    return tuple(problem["what"] for problem in probe(cluster.pages[number], "/readyz")[1].get("problems", []))


def upgrade(kafka: str, folder: Path, processes: int) -> None:
    """From one release to another the right way, then on to a third the wrong way, while producers go on."""
    topic = create_topic(kafka, PARTITIONS)
    with ServerProcess(folder / "store") as server:
        cluster = Cluster(kafka, topic, server.url)
        newest = {"TALLY_TEST_METER_VERSION": "1001"}
        with Producing(kafka, topic, traffic(topic)):
            with cluster.some(processes) as pods:
                cluster.until_counting()
                assert drained(pods) == [0] * processes
            assert generations(server.url, topic) == {1}

            # All replaced together after a clean stop. This release has a worker that dies between two writes.
            with cluster.some(processes, **NEWER) as pods:
                cluster.until_counting()
                assert generations(server.url, topic) == {2}
                assert drained(pods) == [0] * processes
            with unclean(cluster, processes) as pods:
                assert all(pod.end() != 0 for pod in pods)

            # The next one refuses, and says what to do; nothing that it did counts.
            before = counted(server.url, topic)
            with cluster.some(processes, **newest) as pods:
                assert {pod.end() for pod in pods} <= {1, 2}
                said = "\n".join(line for pod in pods for line in pod.said)
                assert "but the last run stopped uncleanly: usage rows lie past offset" in said
                assert "Run once more with the settings as they were" in said
            assert counted(server.url, topic) == before
            assert generations(server.url, topic) == {2}

            # So the old release is started once more, and drained.
            with cluster.some(processes, **NEWER) as pods:
                cluster.until_counting()
                assert drained(pods) == [0] * processes
        with cluster.some(processes, **newest, **UNTIL_END) as pods:
            assert [pod.end() for pod in pods] == [0] * processes
        assert generations(server.url, topic) == {3}
        assert counted(server.url, topic) == owed(kafka, topic)
        done = tally("reconcile", "--store", server.url)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


@contextmanager
def unclean(cluster: Cluster, processes: int) -> Iterator[list[Running]]:
    """Give a cluster of the newer release in which the last worker dies after its usage rows, before its progress."""
    with ExitStack() as stack:
        pods = [stack.enter_context(cluster.start(number, processes, **NEWER)) for number in range(processes - 1)]
        crash = {"TALLY_TEST_CRASH": "before_progress 6"}
        yield [*pods, stack.enter_context(cluster.start(processes - 1, processes, **NEWER, **crash))]


@pytest.mark.timeout(600)
@pytest.mark.kafka
def test_a_worker_is_upgraded_under_load_and_one_that_was_killed_on_the_way_is_refused(
    kafka: str, tmp_path: Path
) -> None:
    upgrade(kafka, tmp_path, processes=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.kafka
def test_two_workers_are_upgraded_under_load_and_one_that_was_killed_on_the_way_is_refused(
    kafka: str, tmp_path: Path
) -> None:
    upgrade(kafka, tmp_path, processes=2)


# ---- clusters by mistake ----


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.kafka
def test_workers_that_disagree_on_their_number_count_nothing_and_are_not_ready(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, PARTITIONS)
    with ServerProcess(tmp_path / "store") as server, open_store(server.url) as store:
        store.migrate()
        cluster = Cluster(kafka, topic, server.url)
        cluster.bytewax = [*cluster.bytewax, *free_ports(1)]
        # The first takes the cluster for one of three, the second for one of two, and believes that it is whole.
        load = Producing(kafka, topic, traffic(topic))
        with load, cluster.start(0, 3) as first, cluster.start(1, 2) as second:
            until(lambda: len(store.progress(topic)) == PARTITIONS)
            until(lambda: [what(cluster, number) for number in range(2)] == [("starting",), ("starting",)])
            assert {found.counts.records for found in store.progress(topic).values()} == {0}
            assert first.end(signal.SIGTERM) == 0
            assert "before all processes of the cluster were there" in first.only_message()
            assert second.end(signal.SIGTERM) != 0  # they live and die together
        with cluster.some(2, **UNTIL_END) as pods:
            assert [pod.end() for pod in pods] == [0, 0]
        assert counted(server.url, topic) == owed(kafka, topic)


@pytest.mark.timeout(600)
@pytest.mark.kafka
def test_two_clusters_on_one_topic_count_it_once_and_both_say_that_they_read_it(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, PARTITIONS)
    with ServerProcess(tmp_path / "store") as server:
        one, other = Cluster(kafka, topic, server.url), Cluster(kafka, topic, server.url)
        with Producing(kafka, topic, traffic(topic)), one.some(1) as first, other.some(1) as second:
            one.until_counting()
            until(lambda: [cluster.status(0, "/readyz") for cluster in (one, other)] == [200, 200])
            one.until_counting()
            # What Prometheus sees of it: the partitions of a topic, each from two workers.
            read = [set(scrape(cluster.pages[0]).samples["tally_generation"]) for cluster in (one, other)]
            assert read[0] == read[1]
            assert len(read[0]) == PARTITIONS
            assert drained([*first, *second]) == [0, 0]
            assert [pod.said for pod in (*first, *second)] == [[], []]
        with one.some(1, **UNTIL_END) as pods:
            assert [pod.end() for pod in pods] == [0]
        assert generations(server.url, topic) == {1}
        found, _ = in_store(server.url, topic, PARTITIONS)
        assert found == [expected(log, SETTINGS) for log in read_back(kafka, topic, PARTITIONS, SETTINGS)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.kafka
def test_of_two_clusters_of_different_releases_one_stops_with_a_message(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, PARTITIONS)
    with ServerProcess(tmp_path / "store") as server:
        old, new = Cluster(kafka, topic, server.url), Cluster(kafka, topic, server.url)
        with Producing(kafka, topic, traffic(topic)), old.some(1) as (before,):
            old.until_counting()
            with new.some(1, **NEWER) as (after,):
                until(lambda: before.process.poll() is not None or after.process.poll() is not None)
                stopped, going = (before, after) if before.process.poll() is not None else (after, before)
                assert stopped.end() in {1, 2}
                said = "\n".join(stopped.said)
                wanted = "another run has started generation 2" if stopped is before else "another run is still writing"
                assert wanted in said or "stopped uncleanly" in said, said
                # Where both looked at the same moment, both stop.
                assert going.end(signal.SIGTERM) == 0 or "another run" in "\n".join(going.said)
        release = NEWER if generations(server.url, topic) == {2} else {}
        with old.some(1, **UNTIL_END, **release) as pods:
            assert [pod.end() for pod in pods] == [0]
        # No harm, or it is reported.
        done = tally("reconcile", "--store", server.url)
        assert (counted(server.url, topic) == owed(kafka, topic)) == (done.returncode == 0), done.stdout
