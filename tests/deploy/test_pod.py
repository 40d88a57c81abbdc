"""One process a host: where it is in its cluster, and a cluster of two that is killed, drained, frozen, left alone."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.pod import ANY_ADDRESS, Place, read_arguments
from tests.deploy.test_kubernetes import SETTINGS as STATEFULSET_SETTINGS
from tests.flow.conftest import kafka
from tests.flow.running import DEADLINE, Running, free_ports, until
from tests.flow.topics import Producing, Traffic, in_store, read_back, truths
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic
from tests.store.serving import ServerProcess

__all__ = ["kafka"]

SETTINGS = MeterSettings(load_catalogue())


def test_a_place_follows_from_the_hosts_name() -> None:
    assert Place.find("tally-worker-1", 3, "tally-worker", 2101) == Place(
        1, ("tally-worker-0.tally-worker:2101", f"{ANY_ADDRESS}:2101", "tally-worker-2.tally-worker:2101")
    )
    assert read_arguments(["--name=worker-0", "--processes=2"]) == Place(0, (f"{ANY_ADDRESS}:2101", "worker-1:2101"))
    assert Place.find("w-10", 11).addresses[9] == "w-9:2101"


@pytest.mark.parametrize(
    ("name", "processes", "port", "said"),
    [
        ("worker", 2, 2101, "must end with the process's number"),
        ("worker-", 2, 2101, "must end with the process's number"),
        ("-1", 2, 2101, "must end with the process's number"),
        ("worker-1x", 2, 2101, "must end with the process's number"),
        ("worker-2", 2, 2101, "this is process 2, and with --processes 2 the last one is 1"),
        ("worker-0", 0, 2101, "1 to 10,000 processes"),
        ("worker-0", 10_001, 2101, "1 to 10,000 processes"),
        ("worker-0", 1, 0, "1 to 65535"),
        ("worker-0", 1, 65_536, "1 to 65535"),
    ],
)
def test_a_wrong_place_is_refused(name: str, processes: int, port: int, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Place.find(name, processes, port=port)


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--name=w-2", "--processes=2"], {}, "tally: --name w-2: this is process 2"),
        (["--name=w-0", "--processes=1"], {"TALLY_WINDOW": "7min"}, "tally: window (TALLY_WINDOW)"),
        (["--name=w-0", "--processes=2"], {}, "tally: "),
    ],
)
def test_a_container_with_a_wrong_setting_ends_at_once_with_one_message(
    arguments: list[str], env: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no settings file, and nothing to read
    with Running(arguments, module="tally.pod", env=env) as pod:
        assert pod.end() == 2
    assert pod.only_message().startswith(said.removeprefix("tally: "))


def test_one_process_is_a_cluster_of_its_own(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    event = {"org_id": 1, "project_id": 7, "category": "error", "quantity": 1, "timestamp": "2026-11-22T10:00:00Z"}
    events.write_text("".join(json.dumps({**event, "event_id": str(i)}) + "\n" for i in range(100)))
    env = {"TALLY_STORE": f"chdb:{tmp_path / 'store'}", "TALLY_SOURCES": str(events)}
    with Running(["--name=w-0", "--processes=1"], module="tally.pod", env=env) as pod:
        assert pod.end() == 0
    with open_store(env["TALLY_STORE"]) as store:
        (progress,) = store.progress().values()
    assert progress.counts.accepted == 100


class Cluster:
    """Two processes over a topic of four partitions, each with a port for its pages."""

    def __init__(self, kafka: str, topic: str, store: str) -> None:
        self.bytewax = free_ports(2)
        self.pages = free_ports(2)
        self.store = store
        self.topic = topic
        self.env = {"TALLY_STORE": store, "TALLY_SOURCES": f"kafka://{kafka}/{topic}", "TALLY_FLUSH_INTERVAL": "50ms"}

    def start(self, number: int, processes: int = 2, **more: str) -> Running:
        env = {**self.env, "TALLY_METRICS_ADDRESS": str(self.pages[number]), **more}
        ports = map(str, self.bytewax[:processes])
        return Running([str(number), *ports], module="tests.deploy.pods", env=env)

    @contextmanager
    def some(self, processes: int, **more: str) -> Iterator[list[Running]]:
        with ExitStack() as stack:
            yield [stack.enter_context(self.start(number, processes, **more)) for number in range(processes)]

    def status(self, number: int, page: str) -> int:
        """The status of a page; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.pages[number]}{page}", timeout=5) as answer:
                found: int = answer.status
                return found
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def until_counting(self) -> None:
        """Wait until every partition has got further."""
        with open_store(self.store) as store:
            store.migrate()
            before = {log: found.next_offset for log, found in store.progress(self.topic).items()}
            until(
                lambda: (
                    len(now := store.progress(self.topic)) == 4
                    and all(found.next_offset > before.get(log, 0) for log, found in now.items())
                )
            )


@pytest.mark.timeout(900)  # nine starts of an engine, on a machine that may be busy
@pytest.mark.kafka
def test_two_pods_are_killed_left_alone_and_drained_and_count_everything_once(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, 4)
    traffic = [Traffic(f"pods-{partition}", time.time_ns() // 1000) for partition in range(4)]
    with ServerProcess(tmp_path / "store") as server:
        cluster = Cluster(kafka, topic, server.url)
        with Producing(kafka, topic, traffic):
            with cluster.some(2) as (first, second):
                cluster.until_counting()
                assert [cluster.status(number, "/readyz") for number in range(2)] == [200, 200]
                second.send_signal(signal.SIGKILL)
                assert first.end() != 0  # they live and die together

            # The pod that was started again alone waits, alive and not ready, and is stopped at once.
            with cluster.start(0) as alone:
                until(lambda: cluster.status(0, "/readyz") == 503)
                assert cluster.status(0, "/healthz") == 200
                assert alone.end(signal.SIGTERM) == 0
                assert "before all processes of the cluster were there" in alone.only_message()

            # One is drained alone: it does not wait for the other for ever, which ends with it.
            with cluster.some(2) as (first, second):
                cluster.until_counting()
                assert second.end(signal.SIGTERM) == 1
                assert "the other processes of the cluster go on" in second.said[-1]
                assert first.end() != 0

            with cluster.some(2) as pods:
                cluster.until_counting()
                for pod in pods:
                    pod.send_signal(signal.SIGTERM)
                assert [pod.end() for pod in pods] == [0, 0]
                assert [pod.said for pod in pods] == [[], []]
        logs = read_back(kafka, topic, 4, SETTINGS)
        found, progress = in_store(server.url, topic, 4)
        assert found == truths(logs, SETTINGS, progress)

        with cluster.some(2, TALLY_UNTIL_END="true") as pods:
            assert [pod.end() for pod in pods] == [0, 0]
        found, _ = in_store(server.url, topic, 4)
        assert found == [expected(log, SETTINGS) for log in logs]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.kafka
def test_two_workers_become_one_and_two_again_with_the_settings_of_the_statefulset(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, 4)
    traffic = [Traffic(f"scaled-{partition}", time.time_ns() // 1000) for partition in range(4)]
    with ServerProcess(tmp_path / "store") as server:
        cluster = Cluster(kafka, topic, server.url)
        # The addresses are this machine's; the rest is what the pods are given.
        cluster.env = {**STATEFULSET_SETTINGS, **cluster.env}
        cluster.env.pop("TALLY_FLUSH_INTERVAL")
        with Producing(kafka, topic, traffic):
            for processes in (2, 1, 2):
                with cluster.some(processes) as pods:
                    cluster.until_counting()
                    assert cluster.status(0, "/readyz") == 200
                    for pod in pods:
                        pod.send_signal(signal.SIGTERM)
                    assert [pod.end() for pod in pods] == [0] * processes
                    assert [pod.said for pod in pods] == [[]] * processes
                    cluster.pages = free_ports(2)  # the old ones may still be closing
        with cluster.some(2, TALLY_UNTIL_END="true") as pods:
            assert [pod.end() for pod in pods] == [0, 0]
        logs = read_back(kafka, topic, 4, SETTINGS)
        found, _ = in_store(server.url, topic, 4)
        assert found == [expected(log, SETTINGS) for log in logs]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.kafka
def test_a_pod_that_vanishes_without_a_word_is_noticed_by_the_probes(kafka: str, tmp_path: Path) -> None:
    """The other stands still at the next epoch; its liveness fails after ten times stall_after; it can be stopped."""
    topic = create_topic(kafka, 4)
    traffic = [Traffic(f"frozen-{partition}", time.time_ns() // 1000) for partition in range(4)]
    with ServerProcess(tmp_path / "store") as server, Producing(kafka, topic, traffic):
        cluster = Cluster(kafka, topic, server.url)
        with cluster.some(2, TALLY_STALL_AFTER="1s") as (first, second):
            cluster.until_counting()
            second.send_signal(signal.SIGSTOP)
            until(lambda: cluster.status(0, "/readyz") == 503)
            assert cluster.status(0, "/healthz") == 200
            until(lambda: cluster.status(0, "/healthz") == 503)
            began = time.monotonic()
            assert first.end(signal.SIGTERM) == 1
            assert time.monotonic() - began < DEADLINE
            second.send_signal(signal.SIGKILL)
            second.end()
        with cluster.some(2, TALLY_STALL_AFTER="30s") as pods:
            cluster.until_counting()
            for pod in pods:
                pod.send_signal(signal.SIGTERM)
            assert [pod.end() for pod in pods] == [0, 0]
