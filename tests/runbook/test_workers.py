"""Workers that are killed, misconfigured, alone, frozen, or slower than their producers."""

import signal
import urllib.request
from pathlib import Path

import pytest

from sinks.store import open_store
from tally.status import read_status
from tests.deploy.test_pod import Cluster
from tests.flow.running import QUICK, Running, free_ports, run, until
from tests.kafka.helpers import grow
from tests.overload.test_slow_store import run_slowly, set_delay
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, holds, now
from tests.runbook.test_store import what
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe, scrape


@carries_out("Nobody counts", "tally status")
def test_a_worker_that_was_killed_and_is_started_again(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    with ServerProcess(tmp_path / "store") as server:
        scene = Scene(kafka, tmp_path, store=server.url)
        scene.send_traffic()
        on_call.works_with(scene.env)
        with run(scene.source, "--store", server.url) as killed:
            killed.until_counted(200)
            assert killed.end(signal.SIGKILL) == -signal.SIGKILL  # 137 to a kubelet
        died = now()
        scene.send_traffic()

        # Usage stands as it was, and the status says since when nobody has looked.
        with open_store(server.url) as store:
            (log,) = read_status(store, now()).logs
        assert log.lag == 0
        assert log.flushed_at is not None
        assert log.flushed_at <= died
        status = on_call.type("tally status", "--max-age", "1ms")
        assert status.status == 1
        assert "last flushed" in status.said
        assert "flushed_at" in status.said

        with run(scene.source, "--store", server.url, "--until-end") as again:
            assert again.end() == 0
        assert scene.is_exact()
        holds(on_call)


@carries_out("Nobody counts")
@pytest.mark.usefixtures("on_call")
def test_a_wrong_setting_ends_every_start_with_one_message(tmp_path: Path) -> None:
    env = {"TALLY_STORE": f"chdb:{tmp_path / 'store'}", "TALLY_SOURCES": "kafka://127.0.0.1:1/usage"}
    said = set()
    for _ in range(2):
        with Running(["--name=w-0", "--processes=1"], module="tally.pod", env={**env, "TALLY_WINDOW": "7min"}) as pod:
            assert pod.end() == 2
        said.add(pod.only_message())
    (message,) = said
    assert "window (TALLY_WINDOW)" in message
    assert not (tmp_path / "store").exists()


@carries_out("Nobody counts")
def test_a_worker_whose_peer_is_missing_says_that_it_is_starting(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    with ServerProcess(tmp_path / "store") as server:
        scene = Scene(kafka, tmp_path, partitions=2, store=server.url)
        scene.send_traffic()
        cluster = Cluster(kafka, scene.topic, server.url)
        with cluster.start(0) as alone:
            until(lambda: what(cluster.pages[0]) == ["starting"])
            assert cluster.status(0, "/healthz") == 200
            assert alone.end(signal.SIGTERM) == 0
        on_call.works_with(scene.env)
        scene.count()
        assert scene.is_exact()
        holds(on_call)


@carries_out("The flow stands still")
def test_a_worker_without_a_processor_is_killed_and_started_again(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    (port,) = free_ports(1)
    with ServerProcess(tmp_path / "store") as server:
        scene = Scene(kafka, tmp_path, store=server.url)
        scene.send_traffic()
        flags = ("--store", server.url, "--metrics-address", str(port))
        with run(scene.source, *flags) as frozen:
            until(lambda: probe(port, "/readyz")[0] == 200)
            frozen.send_signal(signal.SIGSTOP)
            scene.send_traffic()
            with pytest.raises(TimeoutError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=0.5)
            assert frozen.end(signal.SIGKILL) == -signal.SIGKILL  # any worker may be killed at any moment
        with run(scene.source, *flags, "--until-end") as again:
            assert again.end() == 0
        on_call.works_with(scene.env)
        assert scene.is_exact()
        holds(on_call)


@pytest.mark.slow
@pytest.mark.timeout(600)
@carries_out("The flow stands still")
def test_a_worker_that_vanished_leaves_the_other_standing(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    with ServerProcess(tmp_path / "store") as server:
        scene = Scene(kafka, tmp_path, partitions=2, store=server.url)
        scene.send_traffic()
        cluster = Cluster(kafka, scene.topic, server.url)
        with cluster.some(2, TALLY_STALL_AFTER="1s") as pods:
            until(lambda: [cluster.status(number, "/readyz") for number in range(2)] == [200, 200])
            pods[1].send_signal(signal.SIGSTOP)
            scene.send_traffic()
            until(lambda: what(cluster.pages[0]) == ["flow"])
            for pod in pods:  # not to wait for the liveness probe: all of them at once
                pod.send_signal(signal.SIGKILL)
            assert [pod.end() for pod in pods] == [-signal.SIGKILL] * 2
        with cluster.some(2, TALLY_UNTIL_END="true") as pods:
            assert [pod.end() for pod in pods] == [0, 0]
        on_call.works_with(scene.env)
        assert scene.is_exact()
        holds(on_call)


@carries_out("Lag grows", "tally plan")
def test_a_store_slower_than_the_producers_and_a_topic_that_grows(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    (port,), delay = free_ports(1), tmp_path / "delay"
    set_delay(delay, "0.2")
    with ServerProcess(tmp_path / "store") as server, open_store(server.url) as store:
        scene = Scene(kafka, tmp_path, store=server.url)
        scene.send_traffic(300)

        def lag() -> int:
            return read_status(store, 0).lag

        store.migrate()
        flags = ("--store", server.url, *QUICK, "--batch-bytes", "16KiB", "--metrics-address", str(port))
        with run_slowly(delay, scene.source, *flags) as going:
            until(lambda: lag() > 100)
            before = lag()
            scene.send_traffic(600)
            until(lambda: lag() > before)
            found = scrape(port)
            for name in ("tally_insert_duration_seconds", "tally_flush_duration_seconds"):
                assert found.total(f"{name}_sum") > 0.2  # where the time goes
            # After an outage nothing is to be done: the lag falls.
            set_delay(delay, "0")
            until(lambda: lag() == 0 and scrape(port).total("tally_lag_records") == 0)
            grow(kafka, scene.topic, 2)
            assert going.end() == 2
        assert "the topic has 2 partitions now, of which 1 are being read; start again" in going.only_message()
        assert scene.is_exact()
        scene = scene.grown()
        scene.send_traffic()
        with run(scene.source, "--store", server.url, "--until-end") as again:
            assert again.end() == 0
        on_call.works_with(scene.env)
        assert scene.is_exact()
        holds(on_call)
    planned = on_call.type("tally plan", "--events-per-day", "100e9")
    assert planned.status == 0
    assert "workers" in planned.said
