"""Events that are rejected: a flood of them, and a producer whose clock runs ahead."""

import json
import re
from pathlib import Path

import pytest

from schemas.errors import RejectionFlood
from sinks.store import open_store
from tests.flow.topics import SECOND
from tests.kafka.helpers import produce
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, event, holds, now

WITH_WIDGETS = "categories:\n  - {id: 1, name: error}\n  - {id: 900, name: widget}\n"
HOUR = 3_600


def letters(scene: Scene) -> int:
    with open_store(scene.store, create=False) as store:
        return int(store.query("SELECT count() FROM dead_letters FINAL")[0][0])


@carries_out(
    "Dead letters spike",
    "tally deadletters list",
    "tally deadletters show",
    "tally explain",
    "tally deadletters replay --reason unknown_category --dry-run",
    "tally deadletters replay --reason unknown_category",
)
def test_a_flood_of_a_category_that_the_catalogue_lacks(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path, partitions=2)
    scene.send([event(number) for number in range(50)])
    few = [event(number, category="widget", quantity=2) for number in range(100, 110)]
    scene.send(few)
    scene.count()
    flood = [event(number, category="widget", quantity=2) for number in range(1_000, 1_400)]
    batches = [json.dumps(flood[start : start + 100]) for start in range(0, len(flood), 100)]
    produce(kafka, scene.topic, [(1, batch.encode()) for batch in batches])
    on_call.works_with(scene.env)

    # The run stops, and a restart stops at the same place.
    for _ in range(2):
        with pytest.raises(RejectionFlood, match="unknown_category") as stopped:
            scene.count(max_rejected_in_row="200")
        assert str(stopped.value).startswith(f"{scene.log(1)}: 400 events in a row were rejected")
        assert letters(scene) == len(few)

    listed = on_call.type("tally deadletters list")
    assert "10 dead letters: unknown_category 10" in listed.said
    position = f"{scene.topic}/0/50"
    assert position in listed.said
    shown = on_call.type("tally deadletters show", also={"usage/0/4711": position})
    assert "unknown_category" in shown.said
    assert '"source": "relay-7"' in shown.said

    # The message names a record that no run has counted: it can be looked at all the same.
    named = re.search(r"`tally explain (\S+)`", str(stopped.value))
    assert named is not None
    explained = on_call.type("tally explain", also={"TOPIC/PARTITION/OFFSET": named[1]})
    assert "not metered yet" in explained.said
    assert "rejected: unknown_category" in explained.said

    # The flood is kept and the run goes on; the catalogue learns the category; what was rejected is counted.
    scene.count(max_rejected_in_row="500")
    assert letters(scene) == len(few) + len(flood)
    Path("catalogue.yaml").write_text(WITH_WIDGETS, encoding="utf-8")
    on_call.works_with({"TALLY_CATALOGUE": "catalogue.yaml"})
    dry = on_call.type("tally deadletters replay --reason unknown_category --dry-run")
    assert "a dry run: nothing was written" in dry.said
    assert (1, "widget") not in scene.used()
    for _ in range(2):  # it changes nothing twice
        assert on_call.type("tally deadletters replay --reason unknown_category").status == 0
        counted = len(few) + len(flood)
        assert scene.used() == {(1, "error"): (50, 50), (1, "widget"): (2 * counted, counted)}
    scene.send([event(20_000, category="widget", quantity=2)])
    scene.count(catalogue="catalogue.yaml")
    assert scene.used() == {(1, "error"): (50, 50), (1, "widget"): (2 * counted + 2, counted + 1)}
    holds(on_call)


@carries_out(
    "A poisoned producer clock",
    "tally deadletters list --reason from_the_future --limit 20",
    "tally deadletters show",
    "tally deadletters replay --reason from_the_future --dry-run",
)
def test_a_producer_an_hour_ahead(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    scene.send([event(number) for number in range(60)])
    ahead = [event(number, age=-HOUR, source="relay-with-a-bad-clock") for number in range(100, 130)]
    scene.send(ahead)
    scene.send([event(number) for number in range(200, 240)])
    scene.count()
    on_call.works_with(scene.env)
    assert scene.is_exact()
    assert scene.used() == {(1, "error"): (100, 100)}

    listed = on_call.type("tally deadletters list --reason from_the_future --limit 20")
    assert "30 dead letters: from_the_future 30" in listed.said
    assert "the first 20 of 30" in listed.said
    shown = on_call.type("tally deadletters show", also={"usage/0/4711": f"{scene.topic}/0/60"})
    assert "relay-with-a-bad-clock" in shown.said
    dry = on_call.type("tally deadletters replay --reason from_the_future --dry-run")
    assert "a dry run: nothing was written" in dry.said
    assert scene.used() == {(1, "error"): (100, 100)}

    assert on_call.call("deadletters", "replay", "--reason", "from_the_future").status == 0
    assert scene.used() == {(1, "error"): (130, 130)}
    with open_store(scene.store, create=False) as store:
        future = store.query(
            "SELECT sum(events) FROM usage WHERE window_start > {at:DateTime}", {"at": (now() + 600 * SECOND) // SECOND}
        )
    assert future == [(30,)]
    holds(on_call)
