"""A release that counts wrongly, and another one whose settings start a generation that nobody meant."""

import json
from pathlib import Path

import pytest

from sinks.store import open_store
from tests.flow.traffic import write_log
from tests.remeter.wrong import run_wrongly
from tests.runbook.files import DATA, Files, owed
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import Scene, event, holds


@carries_out("A bad release", "tally config")
def test_a_setting_that_was_changed_unseen_is_set_back(kafka: str, tmp_path: Path, on_call: OnCall) -> None:
    scene = Scene(kafka, tmp_path)
    on_call.works_with(scene.env)
    seen = []
    for number, project in enumerate(("false", "true", "false")):
        scene.send([event(50 * number + one) for one in range(50)])
        scene.send([event(50 * number)])  # a repeat, which no generation counts
        on_call.works_with({"TALLY_GROUP_BY_PROJECT": project})
        seen += [line for line in on_call.type("tally config").out.splitlines() if "group_by_project" in line]
        scene.count()
        with open_store(scene.store) as store:
            assert store.progress(scene.topic)[scene.log()].generation == number + 1
    assert len(set(seen)) == 2
    assert all("TALLY_GROUP_BY_PROJECT" in line for line in seen)
    assert scene.used() == {(1, "error"): (150, 150)}
    holds(on_call)


@carries_out(
    "A bad release",
    "tally --version",
    "tally recount",
    "tally remeter run",
    "tally remeter list",
    "tally remeter show",
    "tally remeter switch",
)
def test_a_release_that_forgets_ids_has_counted(
    tmp_path: Path, on_call: OnCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    for number in range(2):
        write_log(files.topic / str(number), 600, seed=number)
    run_wrongly(files.settings(), monkeypatch)
    on_call.works_with(files.env)
    prices = ("--book", str(DATA / "prices.yaml"), "--contracts", str(DATA / "contracts.yaml"))
    rate = ("rate", "--period", "2026-11", *prices)
    assert on_call.call(*rate).status == 0
    wrong = files.used()
    right = owed(files)
    assert wrong[0] > right
    assert not files.is_exact()

    assert on_call.type("tally --version").out.startswith("tally ")
    # The store agrees with itself; the other path does not agree with the store.
    assert on_call.call("reconcile").status == 0
    recounted = on_call.type("tally recount", "--topic", "usage", "--partition", "0")
    assert recounted.status == 1
    assert "difference" in recounted.said

    assert on_call.type("tally remeter run").status == 0
    assert files.used() == wrong
    listed = on_call.type("tally remeter list", "--json")
    (row,) = json.loads(listed.out)["rows"]
    on_call.means["5f3a09c1"] = row["remeter"]
    shown = on_call.type("tally remeter show")
    assert shown.status == 0
    assert "duplicates" in shown.said
    assert on_call.type("tally remeter switch").status == 0
    assert files.used()[0] == right
    assert on_call.call("recount", "--topic", "usage", "--partition", "0").status == 0

    # It can be taken back, and put in place again.
    assert on_call.call("remeter", "undo", row["remeter"]).status == 0
    assert files.used() == wrong
    assert on_call.call("remeter", "switch", row["remeter"]).status == 0
    files.count()  # the good release's workers go on
    assert files.used()[0] == right
    assert "stale" in on_call.call("reconcile").said
    assert on_call.call(*rate).status == 0
    assert "stale" not in on_call.call("reconcile").said
    holds(on_call)
