"""Clusters of two processes over a topic: `tally run --processes`, and Bytewax's own runner with settings alone."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from sinks.store import open_store
from tests.flow.processes import ok
from tests.flow.running import Running, free_ports, run, until
from tests.flow.topics import Producing, Traffic, in_store, read_back, truths
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic
from tests.store.serving import ServerProcess

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())


def traffic(name: str) -> list[Traffic]:
    return [Traffic(f"{name}-{partition}", time.time_ns() // 1000) for partition in range(4)]


def test_two_processes_are_drained_and_resumed_over_an_embedded_store(kafka: str, tmp_path: Path) -> None:
    topic, store_url = create_topic(kafka, 4), f"chdb:{tmp_path / 'store'}"
    command = (f"kafka://{kafka}/{topic}", "--store", store_url, "--processes", "2")
    with Producing(kafka, topic, traffic("processes")):
        with run(*command) as drained:
            drained.until_counted(500)
            assert drained.end(signal.SIGTERM) == 0
        assert drained.complaints == []
    logs = read_back(kafka, topic, 4, SETTINGS)
    found, progress = in_store(store_url, topic, 4)
    assert found == truths(logs, SETTINGS, progress)  # no row past progress, none missing
    assert all(read.next_offset > 0 for read in progress)  # both processes read

    ok("run", *command, "--until-end")
    found, _ = in_store(store_url, topic, 4)
    assert found == [expected(log, SETTINGS) for log in logs]


def test_bytewax_runs_the_flow_of_the_settings(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, 4)
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(2))
    with ServerProcess(tmp_path / "store") as server:
        env = {"TALLY_STORE": server.url, "TALLY_SOURCES": f"kafka://{kafka}/{topic}", "TALLY_FLUSH_INTERVAL": "10ms"}

        def cluster(**more: str) -> list[Running]:
            arguments = ["dataflows.usage:flow()", "-a", addresses, "-i"]
            return [Running([*arguments, str(i)], module="bytewax.run", env={**env, **more}) for i in range(2)]

        with Producing(kafka, topic, traffic("bytewax")), ExitStack() as stack:
            workers = [stack.enter_context(worker) for worker in cluster()]
            with open_store(server.url) as store:
                store.migrate()
                until(lambda: [found.next_offset > 100 for found in store.progress(topic).values()] == [True] * 4)
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            assert [worker.end() for worker in workers] == [0, 0]
            assert [worker.said for worker in workers] == [[], []]
        logs = read_back(kafka, topic, 4, SETTINGS)
        found, progress = in_store(server.url, topic, 4)
        assert found == truths(logs, SETTINGS, progress)

        with ExitStack() as stack:
            workers = [stack.enter_context(worker) for worker in cluster(TALLY_UNTIL_END="true")]
            assert [worker.end() for worker in workers] == [0, 0]
        found, _ = in_store(server.url, topic, 4)
        assert found == [expected(log, SETTINGS) for log in logs]
