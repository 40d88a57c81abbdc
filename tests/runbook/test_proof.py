"""The first look, and the proof that nothing was lost: each step of it fails on what it is there to find."""

import json
from pathlib import Path

from sinks.store import open_store
from tally.producer import UsageEvent, UsageProducer
from tests.flow.processes import crashing
from tests.flow.topics import SECOND
from tests.kafka.helpers import create_topic
from tests.reconcile.stores import delete
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, event, now


@carries_out(
    "From symptom to action",
    "tally status",
    "tally source list",
    "tally deadletters list",
    "tally reconcile --no-logs --no-keep",
    "tally reconcile",
    "tally --version",
)
def test_the_first_look_shows_each_symptom(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    scene.send([event(number) for number in range(300)])
    on_call.works_with(scene.env)
    assert on_call.type("tally status").status == 2  # nothing was read yet: there is no store
    scene.count()
    assert on_call.type("tally status").status == 0
    assert scene.topic in on_call.type("tally source list").said
    assert "no dead letters" in on_call.type("tally deadletters list").said
    assert on_call.type("tally reconcile --no-logs --no-keep").status == 0
    assert on_call.type("tally --version").out.startswith("tally ")

    scene.send([event(number, quantity=-1) for number in range(400, 425)])
    scene.count()
    listed = on_call.type("tally deadletters list")
    assert "25 dead letters: bad_quantity 25" in listed.said
    assert "the first 20 of 25" in listed.said
    with open_store(scene.store) as store:
        delete(store, "usage_windows", "events > 0")
    looked = on_call.type("tally reconcile --no-logs --no-keep")
    assert looked.status == 1
    assert "accepted" in looked.said
    assert on_call.type("tally reconcile").status == 1


@carries_out(
    "Prove that nothing was lost",
    "tally status --max-lag 1000 --max-age 1min",
    "tally reconcile",
    "tally recount --topic",
    "tally controls read",
    "tally deadletters list",
)
def test_every_step_of_the_proof(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    reports = f"{scene.topic}.controls"
    create_topic(kafka, 1, reports, cleanup_policy="compact")
    sent_at = now() - 300 * SECOND
    with UsageProducer(kafka, scene.topic, source="relay-7") as producer:
        producer.add_many(UsageEvent(f"e-{number}", number % 7, "error", 2, sent_at) for number in range(3_000))
    on_call.works_with(
        scene.env,
        **{
            "usage": scene.topic,
            "1000000": "0",
            "2000000": "3000",
            "kafka://broker:9092/usage.controls": f"kafka://{kafka}/{reports}",
        },
    )
    small_steps = ("--batch-bytes", "16KiB", "--flush-interval", "1us")
    assert crashing("after_progress", 1, "run", scene.source, "--store", scene.store, *small_steps)

    # 1. A worker has died on the way: the end of the log is far ahead.
    behind = on_call.type("tally status --max-lag 1000 --max-age 1min")
    assert behind.status == 1
    assert "behind the log's end, more than 1,000" in behind.said
    scene.count()
    assert on_call.type("tally status --max-lag 1000 --max-age 1min").status == 0

    # 2., 3. Every law holds, and the other path comes to the same.
    assert on_call.type("tally reconcile").status == 0
    with open_store(scene.store) as store:
        assert store.query("SELECT count() > 0 FROM reconciliations FINAL") == [(1,)]
    recounted = on_call.type("tally recount --topic")
    assert recounted.status == 0
    assert "3,000 records read" in recounted.said

    # 4. What was sent is what arrived.
    read = on_call.type("tally controls read", "--json")
    assert read.status == 0, read.said
    found = json.loads(on_call.type("tally reconcile", "--json").out)
    control = next(law for law in found["laws"] if law["law"] == "control")
    assert control["compared"] > 0
    assert control["verdict"] == "holds"

    # 5. No event waits for a replay.
    assert "no dead letters" in on_call.type("tally deadletters list").said
    assert scene.is_exact()
    assert scene.used()[1, "error"] == (2 * 429, 429)

    # A row that is gone is found by the second step and by the third.
    with open_store(scene.store) as store:
        delete(store, "usage_windows", "org_id = 3")
    assert on_call.type("tally reconcile").status == 1
    assert on_call.type("tally recount --topic").status == 1
