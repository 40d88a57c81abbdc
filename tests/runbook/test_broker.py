"""A broker that is killed, records that are gone before they were counted, and a topic made anew under its name."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SourceError
from sinks.store import open_store
from tests.flow.running import free_ports, run, until
from tests.kafka.broker import Broker
from tests.kafka.helpers import create_topic, delete_records, delete_topic
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, event, holds
from tests.runbook.test_store import what
from tests.telemetry.scraping import probe, scrape

SECTION = "The broker is away or has lost data"


@carries_out(SECTION)
def test_a_broker_that_is_killed(own_broker: Callable[..., Broker], tmp_path: Path, on_call: OnCall) -> None:
    broker, (port,) = own_broker(), free_ports(1)
    scene = Scene(broker.address, tmp_path)
    scene.send_traffic()
    flags = ("--metrics-address", str(port), "--stall-after", "1s", "--store", scene.store)
    with run(scene.source, *flags) as going:
        until(lambda: probe(port, "/readyz")[0] == 200)
        broker.kill()
        until(lambda: what(port) == ["log"])
        assert scrape(port).total("tally_log_end_age_seconds") > 1
        assert probe(port, "/healthz")[0] == 200
        broker.start()
        scene.send_traffic()
        until(lambda: probe(port, "/readyz")[0] == 200 and scrape(port).total("tally_records_total") >= 400)
        assert going.end(signal.SIGTERM) == 0
    on_call.works_with(scene.env)
    assert scene.is_exact()
    holds(on_call)


@carries_out(SECTION, "tally run", "tally reconcile")
def test_records_that_retention_deleted_before_they_were_counted(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    scene.send([event(number) for number in range(50)])
    scene.count()
    lost = [event(number, org_id=2) for number in range(100, 130)]
    scene.send(lost)
    scene.send([event(number) for number in range(200, 240)])
    delete_records(kafka, scene.topic, 0, 80)
    on_call.works_with(scene.env, FILE="archive.ndjson", NAME="usage-archive")
    for _ in range(2):
        with pytest.raises(SourceError, match="records were lost: the log starts at offset 80"):
            scene.count()

    # Found in an archive, they are counted from there; then the workers pass over the gap.
    Path("archive.ndjson").write_text("".join(json.dumps(one) + "\n" for one in lost), encoding="utf-8")
    archive = on_call.type("tally run")
    assert archive.status == 0, archive.err
    scene.count(accept_gap=True)
    assert scene.used() == {(1, "error"): (90, 90), (2, "error"): (30, 30)}
    # The gap is a difference for ever, with its offsets.
    for _ in range(2):
        answer = on_call.type("tally reconcile")
        assert answer.status == 1
        assert "1 difference in" in answer.said
        assert "offsets 50 to 79 were never metered" in answer.said
        scene.count()


@carries_out(SECTION, "tally source retire", "tally reconcile")
def test_a_topic_that_was_made_anew_under_its_name(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    scene.send([event(number) for number in range(50)])
    scene.count()
    delete_topic(kafka, scene.topic)
    create_topic(kafka, name=scene.topic)
    scene.send([event(number) for number in range(100, 180)])
    on_call.works_with(scene.env, TOPIC=scene.topic)
    with pytest.raises(SourceError, match="deleted and made again"):
        scene.count()
    assert scene.used() == {(1, "error"): (50, 50)}

    # Read under another name; the old one holds nothing back any more.
    fresh = Scene(kafka, tmp_path)
    fresh.send([event(number) for number in range(100, 180)])
    fresh.count()
    assert on_call.type("tally source retire").status == 0
    on_call.works_with(fresh.env)
    assert fresh.used() == {(1, "error"): (130, 130)}
    with open_store(fresh.store) as store:
        assert (store.complete_to() or 0) > 0
    # It differs for as long as another topic has its name.
    answer = on_call.type("tally reconcile")
    assert answer.status == 1
    assert "not the log that was metered: topic_id changed" in answer.said
    delete_topic(kafka, scene.topic)
    answer = on_call.type("tally reconcile")
    print(answer.out)
    assert answer.status == 0
