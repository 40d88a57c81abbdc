"""The rating figures, small: every part is measured and told, and a difference between two ways of rating is."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import rating
from benchmarks.rating_work import CATEGORIES, STEPS, Stopwatch, tiered, usages
from rater.files import load_contracts
from rater.rate import rate
from tally.rating_pass import SAMPLES
from tests.rater.books import NOVEMBER


def measured(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert rating.main([*arguments, "--json", "--data", str(tmp_path)]) == 0
    (part,) = json.loads(capsys.readouterr().out)
    assert part["problem"] is None
    found: dict[str, Any] = {figure["what"]: figure for figure in part["figures"]}
    return found


def test_lines_in_memory_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(tmp_path, capsys, "--only", "lines", "--statements", "50")
    assert [name for name in found if "explanation" not in name] == [
        "ten graduated charges of five tiers",
        "the sample book",
    ]
    for figure in found.values():
        assert len(figure["values"]) == 5
        assert min(figure["values"]) > 0


def test_a_store_is_rated_in_every_way_and_comes_to_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measured(tmp_path, capsys, "--only", "store", "--organisations", "60", "--rows", "3")
    assert found["statement lines"]["values"] == [60 * 10]
    assert found["statement lines"]["how"].startswith("60 statements, hash ")
    assert found["filling the store"]["how"] == "1,800 usage rows, as a flow writes them"
    assert found["2 processes: organisations"]["values"][0] > 0
    shares = {name: figure["values"][0] for name, figure in found.items() if name.startswith("share: ")}
    assert {f"share: {step}" for step, *_ in STEPS} < shares.keys()
    assert all(share > 0 for share in shares.values())
    assert abs(sum(shares.values()) - 100) < 0.001
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_is_measured_and_comes_to_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(tmp_path, capsys, "--only", "simulate", "--organisations", "60")
    assert found["filling the store"]["how"] == "600 usage rows, as a flow writes them"
    for name in ("one process", "2 processes"):
        assert found[f"simulate in {name}: organisations"]["values"][0] > 0
        assert found[f"simulate in {name}: peak memory"]["values"][0] > 50
    told = found["organisations compared"]["how"]
    assert told.endswith(" pay more; the same in every run")
    assert 0 < int(told.split()[0]) <= 60
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(*_: object) -> list[Any]:
        raise rating.Different("statements of 3 organisations differ")

    monkeypatch.setattr(rating, "store", differs)
    assert rating.main(["--only", "store", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "NOT MEASURED: statements of 3 organisations differ" in said.out
    assert "benchmarks.rating: store: statements of 3" in said.err


def test_every_organisation_has_a_line_of_each_tiered_charge() -> None:
    contracts = load_contracts(SAMPLES / "contracts.yaml")
    for usage in usages(20):
        statement = rate(tiered(), contracts, usage, NOVEMBER).statement
        assert statement is not None
        assert len(statement.lines) == len(CATEGORIES)


def test_what_runs_inside_a_step_is_taken_off_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def takes(seconds: float) -> str:
        now[0] += seconds
        return "done"

    monkeypatch.setattr("benchmarks.rating_work.time.perf_counter", lambda: now[0])
    watch = Stopwatch()
    inner = watch.around("inner", lambda: takes(2.0))
    outer = watch.around("outer", lambda: takes(1.0) and inner())
    items = watch.around("items", lambda: (takes(0.5) for _ in range(4)))
    assert outer() == "done"
    assert list(items()) == ["done"] * 4
    assert watch.seconds == {"inner": 2.0, "outer": 1.0, "items": 2.0}
