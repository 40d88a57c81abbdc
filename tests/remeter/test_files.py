"""`tally remeter` on files, by the command line: a release that counted repeats is put right, and back, and again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.cli import run
from tally.rating import rate_period, read_known
from tally.settings import Settings, load_settings
from tally.statement_store import StatementStore
from tests.flow.traffic import write_log
from tests.flow.truth import Truth, expected, records_of_file, stored
from tests.rater.books import contracts
from tests.reconcile.stores import BOOK, NOVEMBER
from tests.remeter.steps import Usage, letters, plus, usage, usage_of
from tests.remeter.wrong import run_wrongly
from tests.repository.code import ROOT

TOPIC = "in"
FILES = ("0.ndjson", "1.ndjson")


class Answer(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Tally = Callable[..., Answer]


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tally:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_STORE", f"chdb:{tmp_path / 'store'}")

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        status = run(arguments)
        return Answer(status, *capfd.readouterr())

    return call


@pytest.fixture
def settings(tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a folder of two files that the wrong release has metered."""
    del tally  # it has set the store
    for number, name in enumerate(FILES):
        write_log(tmp_path / TOPIC / name, 700, seed=number)
    found = load_settings(sources=(str(tmp_path / TOPIC),))
    run_wrongly(found, monkeypatch)
    return found


def truths(folder: Path, rules: MeterSettings) -> list[Truth]:
    return [expected(records_of_file(folder / TOPIC / name, rules), rules) for name in FILES]


def seen(url: str) -> tuple[Usage, dict[tuple[int, int], str]]:
    with open_store(url, create=False) as store:
        return usage(store), letters(store)


def test_a_wrong_release_is_put_right_and_back(settings: Settings, tally: Tally, tmp_path: Path) -> None:
    right = truths(tmp_path, settings.meter_settings())
    total = plus(*(usage_of(truth.rows) for truth in right))
    wrong, _ = seen(settings.store)
    assert sum(events for _, events in wrong.values()) > sum(events for _, events in total.values())

    shown = tally("remeter", "run", "--topic", TOPIC, "--json").document
    name = shown["remeter"]
    assert shown["can_be_switched_to"]
    assert seen(settings.store)[0] == wrong
    assert tally("reconcile").status == 0, "what is not in force is in no law"
    assert tally("remeter", "run", "--topic", TOPIC, "--json").document["remeter"] == name

    # What is shown is the difference, for whom and when; in SQL too.
    rows = tally("remeter", "show", name, "--by", "window", "--json").document["rows"]
    whole = tally("remeter", "show", name, "--by", "all", "--json").document["rows"]
    changed = {(row["org_id"], row["category"]): row for row in whole}
    assert changed
    by_window: dict[tuple[Any, ...], int] = {}
    for usage_side, sign in ((total, 1), (wrong, -1)):
        for (org, category, _, _, start), (quantity, _) in usage_side.items():
            by_window[org, category, start] = by_window.get((org, category, start), 0) + sign * quantity
    assert sum(row["difference"] for row in rows) == sum(by_window.values())
    assert {(row["org_id"], row["category"]): row["difference"] for row in changed.values()}.items() >= {
        key: sum(found for (org, category, _), found in by_window.items() if (org, category) == key) for key in changed
    }.items()
    sizes = [abs(row["difference"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    counts = shown["verdicts"]
    assert counts["after"]["duplicates"] == sum(truth.counts.duplicates for truth in right)
    assert counts["before"]["accepted"] > counts["after"]["accepted"]
    with open_store(settings.store, create=False) as store:
        sums = store.query(
            "SELECT sum(quantity_before), sum(quantity_after), sum(events_before), sum(events_after) "
            "FROM remeter_changes WHERE remeter = {name:String}",
            {"name": name},
        )[0]
    both = [[sum(one[place] for one in side.values()) for side in (wrong, total)] for place in (0, 1)]
    assert list(map(int, sums)) == [*both[0], *both[1]]

    assert tally("remeter", "switch", name).status == 0
    rejected = {at: why for truth in right for at, why in truth.letters.items()}
    assert seen(settings.store) == (total, rejected)
    assert tally("reconcile").status == 0
    for file in FILES:
        assert tally("recount", "--topic", TOPIC, "--partition", file).status == 0
    assert tally("status").status == 0
    again = tally("run", TOPIC)
    assert again.status == 0, again.err
    assert seen(settings.store) == (total, rejected)
    assert "already" in tally("remeter", "switch", name).err
    assert "undo it first" in tally("remeter", "drop", name).err
    assert "in force" in tally("remeter", "list").out

    assert tally("remeter", "undo", name).status == 0
    assert seen(settings.store)[0] == wrong
    assert tally("reconcile").status == 0
    assert tally("remeter", "drop", name).status == 0
    assert "dropped" in tally("remeter", "switch", name).err
    other = tally("remeter", "run", "--topic", TOPIC, "--json").document["remeter"]
    assert other != name
    assert tally("remeter", "switch", other).status == 0
    assert seen(settings.store) == (total, rejected)


@pytest.mark.parametrize(
    ("point", "countdown"), [("before_usage", 2), ("before_progress", 2), ("before_progress", 3), ("after_progress", 3)]
)
def test_killed_midway_and_started_again(
    settings: Settings, tally: Tally, tmp_path: Path, point: str, countdown: int
) -> None:
    wrong = seen(settings.store)
    words = ("remeter", "run", "--topic", TOPIC, "--json")
    died = subprocess.run(
        [sys.executable, "-m", "tests.remeter.crashing", point, str(countdown), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=ROOT,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert seen(settings.store) == wrong
    assert tally("reconcile").status == 0
    name = tally("remeter", "list", "--json").document["rows"][0]["remeter"]
    refused = tally("remeter", "switch", name)
    assert refused.status != 0
    assert "tally remeter run" in refused.err
    assert seen(settings.store) == wrong

    shown = tally(*words).document
    assert shown["remeter"] == name
    with open_store(settings.store, create=False) as store:
        for file, truth in zip(FILES, truths(tmp_path, settings.meter_settings()), strict=True):
            assert stored(store, LogId(TOPIC, file), shown["logs"][0]["generation"]).rows == truth.rows
    assert tally("remeter", "switch", name).status == 0
    assert tally("reconcile").status == 0


def test_a_candidate_that_does_not_balance_is_refused(settings: Settings, tally: Tally) -> None:
    shown = tally("remeter", "run", "--topic", TOPIC, "--json").document
    generation = shown["logs"][0]["generation"]
    with open_store(settings.store, create=False) as store:
        of_it = f"FROM usage_windows WHERE generation = {generation}"
        key = store.query(f"SELECT org_id, category, window_start {of_it} LIMIT 1")[0]
        store.command(
            f"ALTER TABLE usage_windows DELETE WHERE generation = {generation} AND org_id = {key[0]} AND category = "
            f"'{key[1]}' AND window_start = '{key[2]:%Y-%m-%d %H:%M:%S}' SETTINGS mutations_sync = 2"
        )
    refused = tally("remeter", "switch", shown["remeter"])
    assert refused.status != 0
    assert "its rows have" in refused.err
    assert "Nothing was changed" in refused.err


def test_refusals_say_what_is_wrong(settings: Settings, tally: Tally, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        answer = tally("remeter", *arguments)
        assert answer.status == 2, answer
        return answer.err

    assert "it knows in" in refused("run", "--topic", "other")
    assert "0.ndjson, 1.ndjson" in refused("run", "--topic", TOPIC, "--partition", "7")
    assert "the generations that count" in refused("run", "--topic", TOPIC, "--from-offset", "99999999")
    assert "leave --from-offset" in refused("run", "--topic", TOPIC, "--generation", "1", "--from-offset", "5")
    assert "exclusive" in refused("run", "--topic", TOPIC, "--from-offset", "5", "--to-offset", "5")
    assert "8 hex digits" in refused("show", "usage")
    assert "no remeter '00000000'" in refused("switch", "00000000")
    narrowed = tally("remeter", "run", "--topic", TOPIC, "--partition", "0.ndjson", "--from-offset", "1000", "--json")
    assert "widened to offsets 0 to" in narrowed.err
    name = narrowed.document["remeter"]
    assert "not in force" in refused("undo", name)
    file = tmp_path / TOPIC / "1.ndjson"
    whole = file.read_bytes()
    file.write_bytes(whole + b"{}\n")
    assert "not the log that was metered" in refused("run", "--topic", TOPIC)
    file.unlink()
    assert "1.ndjson" in refused("run", "--topic", TOPIC)
    del settings


def test_statements_of_before_are_stale_until_they_are_rated_again(settings: Settings, tally: Tally) -> None:
    def rated(at: int) -> None:
        with (
            open_store(settings.store, create=False) as store,
            StatementStore(store, BOOK, read_known(store), at) as statements,
        ):
            for rating in rate_period(store, BOOK, contracts(), NOVEMBER):
                assert rating.statement is not None
                statements.add(rating.statement)

    def charges() -> dict[str, Any]:
        laws = {law["law"]: law for law in tally("reconcile", "--json").document["laws"]}
        found: dict[str, Any] = laws["charges"]
        return found

    now = time.time_ns() // 1000
    rated(now)
    assert not charges()["findings"]
    name = tally("remeter", "run", "--topic", TOPIC, "--json").document["remeter"]
    assert not charges()["findings"]
    assert tally("remeter", "switch", name).status == 0
    found = charges()["findings"]
    assert {one["standing"] for one in found} == {"stale"}
    assert all("tally remeter list" in one["note"] for one in found)
    rated(time.time_ns() // 1000)
    assert not charges()["findings"]
