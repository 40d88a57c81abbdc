"""A store that is killed, one without space, and one that was restored from a backup, under workers that count."""

import shutil
import signal
from pathlib import Path

from sinks.store import open_store
from tests.flow.running import Running, free_ports, only_message, run, until
from tests.flow.test_faults import leave_free, small_disk
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, holds
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe

__all__ = ["small_disk"]

SECTION = "The store is down or full"


def worker(scene: Scene, *flags: str) -> Running:
    return run(scene.source, "--store", scene.store, *flags)


def what(port: int) -> list[str]:
    """What a worker's /readyz says is in the way."""
    return [problem["what"] for problem in probe(port, "/readyz")[1].get("problems", [])]


def read(scene: Scene) -> int:
    with open_store(scene.store, create=False) as store:
        return sum(found.next_offset for found in store.progress(scene.topic).values())


@carries_out(SECTION)
def test_a_store_that_is_killed_is_waited_for(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    (port,) = free_ports(1)
    with ServerProcess(tmp_path / "store") as server:
        scene = Scene(kafka, tmp_path, store=server.url)
        scene.send_traffic()
        with worker(scene, "--metrics-address", str(port), "--stall-after", "300ms") as going:
            until(lambda: probe(port, "/readyz")[0] == 200)
            before = read(scene)
            server.kill()
            scene.send_traffic()
            until(lambda: what(port) == ["store"])
            assert probe(port, "/healthz")[0] == 200  # a restart would not help

            # Brought up; nothing is done with the worker.
            server.start()
            until(lambda: probe(port, "/readyz")[0] == 200)
            until(lambda: read(scene) == 2 * before)
            assert going.end(signal.SIGTERM) == 0
        on_call.works_with(scene.env)
        assert scene.is_exact()
        holds(on_call)


@carries_out(SECTION)
def test_a_store_without_space_ends_its_workers_and_loses_nothing(
    kafka: str, tmp_path: Path, small_disk: Path, on_call: OnCall
) -> None:
    with ServerProcess(small_disk / "store") as server:
        scene = Scene(kafka, tmp_path, store=server.url)
        scene.send_traffic()
        scene.count()
        leave_free(small_disk, 200_000)
        scene.send_traffic(600)
        for _ in range(2):  # as often as a supervisor starts it
            with worker(scene, "--batch-bytes", "16KiB") as ended:
                assert ended.end() in {1, 2}
            message = only_message("\n".join(ended.complaints))
            assert "the disk is full" in message
            assert "free some space and start again: nothing is lost" in message
        (small_disk / "filler").unlink()
        with worker(scene, "--until-end") as going:
            assert going.end() == 0
        on_call.works_with(scene.env)
        assert scene.is_exact()
        holds(on_call)


@carries_out(SECTION, "tally reconcile")
def test_a_store_that_was_restored_from_a_backup(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    store, backup = tmp_path / "store", tmp_path / "backup"
    scene.send_traffic()
    scene.count()
    shutil.copytree(store, backup, symlinks=True)  # all tables, of one moment
    scene.send_traffic()
    scene.count()
    used = scene.used()
    shutil.rmtree(store)
    backup.rename(store)
    assert scene.used() != used
    on_call.works_with(scene.env)
    assert "in flight" in on_call.type("tally reconcile").said  # what is to be counted again
    scene.count()
    assert scene.used() == used
    assert scene.is_exact()
    holds(on_call)
