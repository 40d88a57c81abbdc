"""Usage that is right and old: a producer that sends an old day, a topic of which nothing comes, one never read."""

from pathlib import Path

import pytest

from schemas.errors import SourceError
from sinks.store import open_store
from tally.status import Status, read_status
from tests.flow.topics import SECOND
from tests.reconcile.stores import delete
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, event, holds, now

DAY = 86_400
LATENESS = 120 * SECOND


def status_of(scene: Scene) -> Status:
    with open_store(scene.store, create=False) as store:
        return read_status(store, now())


@carries_out("Watermark stuck", "tally explain", "tally status")
def test_a_producer_that_sends_an_old_day_again(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    scene.send([event(number) for number in range(100)])
    scene.count()
    on_call.works_with(scene.env)
    (before,) = status_of(scene).logs
    used = scene.used()
    began = now()
    scene.send([event(number, age=3 * DAY) for number in range(100, 200)])
    scene.count()

    # Records are counted, and the watermark stands.
    status = on_call.type("tally status", "--json")
    (after,) = status_of(scene).logs
    assert after.progress.next_offset == before.progress.next_offset + 100
    assert after.progress.watermark == before.progress.watermark
    assert f'"next_offset": {after.progress.next_offset}' in status.out

    # A recent record says its time, its source, and what became of it.
    position = f"{scene.topic}/0/{after.progress.next_offset - 1}"
    explained = on_call.type("tally explain", also={"TOPIC/PARTITION/OFFSET": position})
    assert explained.status == 0
    assert "accepted, late: its window had been closed; counted in full" in explained.said
    assert "event_id e-199" in explained.said
    assert "source relay-7" in explained.said

    # It is counted, and completeness follows from having read the log to its end.
    assert after.complete_to is not None
    assert after.complete_to >= began - LATENESS
    assert scene.used() == {(1, "error"): (used[1, "error"][0] + 100, used[1, "error"][1] + 100)}
    assert scene.is_exact()
    holds(on_call)


@carries_out(
    "Completeness behind", "tally source list", "tally status", "tally source retire TOPIC", "tally source revive TOPIC"
)
def test_a_topic_of_which_nothing_comes_any_more(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    old, new = Scene(kafka, tmp_path), Scene(kafka, tmp_path)
    for scene in (old, new):
        scene.send_traffic()
        scene.count()
    on_call.works_with(new.env, TOPIC=old.topic)
    new.send_traffic()
    new.count()  # and nobody reads the old one any more

    found = on_call.type("tally source list", "--json")
    rows = [line for line in found.out.splitlines() if '"topic"' in line]
    assert old.topic in rows[0]
    held = status_of(new)
    assert held.complete_to == next(log.complete_to for log in held.logs if log.progress.log == old.log())
    assert old.topic in on_call.type("tally status").out

    assert on_call.type("tally source retire").status == 0
    freed = status_of(new)
    assert held.complete_to is not None
    assert freed.complete_to is not None
    assert freed.complete_to > held.complete_to
    with pytest.raises(SourceError, match="retired"):
        old.count()
    assert on_call.type("tally source revive").status == 0
    old.send_traffic()
    old.count()
    assert old.is_exact()
    assert new.is_exact()
    holds(on_call)


@carries_out("Completeness behind", "tally status")
def test_partitions_without_progress(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    """As a worker leaves them that died before its first write."""
    scene = Scene(kafka, tmp_path, partitions=2)
    scene.send([event(number) for number in range(50)])
    scene.count()
    with open_store(scene.store) as store:
        delete(store, "progress", "partition = '1'")
    on_call.works_with(scene.env)
    status = on_call.type("tally status")
    assert status.status == 1
    assert f"{scene.topic}: 1 of its partitions have no progress yet" in status.said
    assert status_of(scene).complete_to is None

    scene.send([event(number) for number in range(50, 90)], partition=1)
    scene.count()
    assert on_call.type("tally status").status == 0
    assert scene.is_exact()
    holds(on_call)
