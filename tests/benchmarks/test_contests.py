"""Every case that needs no broker, small: all programs give one answer. And a wrong answer or a failed run is told."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.__main__ import needs_broker
from benchmarks.cases import CONTESTS, Case, Contest, Place, chosen
from benchmarks.contest import Inputted, hold
from benchmarks.inputs import Inputs
from benchmarks.measure import Command
from benchmarks.report import as_json, bars, markdown

EVENTS = 20_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputted:
    return Inputted(Inputs(tmp_path_factory.mktemp("inputs")), None)


def duckdb(place: Place) -> Command:
    return Command.module("benchmarks.peers.duckdb_scan", place.source, place.out)


def duckdb_dedupe(place: Place) -> Command:
    return Command.module("benchmarks.peers.duckdb_scan", place.source, place.out, "--dedupe")


def fails(place: Place) -> Command:
    return Command((sys.executable, "-c", f"raise SystemExit('no {Path(place.source).suffix} today')"))


@pytest.mark.parametrize("contest", [one for one in CONTESTS if not needs_broker(one)], ids=lambda one: one.name)
def test_every_case_gives_the_same_answer(contest: Contest, inputs: Inputted) -> None:
    outcome = hold(contest, round(EVENTS / contest.share), 1, inputs, warm_up=False)
    assert not outcome.problem
    assert outcome.events == EVENTS
    assert outcome.agreed, [(result.case.name, result.answers) for result in outcome.results]
    (answer,) = outcome.results[0].answers
    assert 0 < answer["rows"] <= answer["events"] <= EVENTS


def test_answers_that_differ_are_told(inputs: Inputted) -> None:
    contest = Contest(
        "wrong", "", "well-formed", (Case("with", "", duckdb_dedupe), Case("without", "", duckdb)), least_ratio=1.0
    )
    outcome = hold(contest, EVENTS, 2, inputs, warm_up=False)
    assert not outcome.problem
    assert not outcome.agreed
    assert [len(result.hashes()) for result in outcome.results] == [1, 1]
    assert "| NO |" in markdown([outcome], "python -m benchmarks")
    assert as_json([outcome])["contests"][0]["agreed"] is False


def test_a_case_that_fails_is_told_with_its_last_words(inputs: Inputted) -> None:
    contest = Contest("broken", "", "well-formed", (Case("good", "", duckdb), Case("bad", "", fails, bar=1)))
    outcome = hold(contest, 1_000, 1, inputs, warm_up=False)
    assert "no .ndjson today" in outcome.problem
    assert not outcome.agreed
    assert list(bars(outcome)) == []
    assert "NOT RUN" in markdown([outcome], "python -m benchmarks")


@pytest.mark.parametrize(("commands", "status"), [((duckdb, duckdb), 0), ((duckdb, duckdb_dedupe), 1)])
def test_the_command_prints_every_measurement_and_exits_with_the_comparison(
    commands: tuple[Callable[[Place], Command], ...],
    status: int,
    inputs: Inputted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = tuple(Case(f"case-{number}", "", command) for number, command in enumerate(commands))
    monkeypatch.setattr(benchmarks, "code_digest", lambda: "")  # an editor may save while tests run
    monkeypatch.setattr(benchmarks, "chosen", lambda _: [Contest("small", "", "well-formed", cases)])
    options = ("--events", str(EVENTS), "--runs", "1", "--json", "--data", str(inputs.inputs.folder))
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    assert benchmarks.main() == status
    (contest,) = json.loads(capsys.readouterr().out)["contests"]
    assert [case["case"] for case in contest["cases"]] == ["case-0", "case-1"]
    assert contest["agreed"] is (status == 0)
    for case in contest["cases"]:
        assert len(case["wall_s"]) == len(case["cpu_s"]) == len(case["peak_bytes"]) == 1
        assert min(case["start_s"]) > 0
        assert case["cpu_s"][0] > 0
        assert case["peak_bytes"][0] > 10_000_000


def test_code_that_changes_while_it_is_measured_is_told(inputs: Inputted, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["before", "after"])
    monkeypatch.setattr(benchmarks, "code_digest", lambda: next(digests))
    contest = Contest("small", "", "well-formed", (Case("one", "", duckdb),))
    (outcome,) = benchmarks.hold_all([contest], 1_000, 1, inputs.inputs)
    assert "the code changed" in outcome.problem
    assert not outcome.agreed


def test_contests_are_chosen_by_their_name_or_a_case() -> None:
    assert chosen([]) == list(CONTESTS)
    assert [one.name for one in chosen(["two", "file"])] == ["file", "two"]
    (fold,) = chosen(["fold-window"])
    assert [case.name for case in fold.cases] == ["file", "fold-window"]
    with pytest.raises(ValueError, match="no contest or case is called nothing"):
        chosen(["nothing"])


def test_names_are_unique_within_a_contest() -> None:
    for contest in CONTESTS:
        names = [case.name for case in contest.cases]
        assert len(set(names)) == len(names)
        assert set(contest.rivals) <= set(names[1:])
