"""The analysts' questions, timed small: the store is filled, every question asked, and the views' counts compared."""

import json
from pathlib import Path

import pytest

from benchmarks import analysts
from benchmarks.analysts_ask import asked
from tests.analysts.page import PAGE, questions


def test_every_question_of_the_page_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysts, "PAGE", tmp_path / "page.md")
    given = ["--rows", "30000", "--runs", "1", "--only", "1", "10", "--write", "--data", str(tmp_path)]
    assert analysts.main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problem"] is None
    # A row in a hundred has late events beside it, and days round up: about as many as asked for.
    assert 30_000 <= told["filled"]["rows"] <= 36_000
    assert told["filled"]["stored_rows"] > told["filled"]["rows"]
    assert [each["question"] for each in told["questions"]] == [asked()[place][0] for place in (0, 9)]
    for each in told["questions"]:
        (run,) = each["runs"]
        assert run["wall_s"] > 0
        assert run["rows_read"] > 0
        assert run["rows"] > 0
    assert told["questions"][1]["runs"][0]["rows_read"] >= told["filled"]["rows"]
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "The views counted exactly what was put in." in page
    assert "| Who uses most? |" in page
    assert "python -m benchmarks.analysts --rows 30000" in page
    assert not list(tmp_path.glob("analysts-*"))


def test_titles_and_queries_of_the_page_belong_together() -> None:
    found = asked()
    assert [sql for _, sql in found] == [sql for sql, _ in questions(PAGE.read_text(encoding="utf-8"))]
    assert found[0][0] == "Who uses most?"


def test_a_view_that_counts_wrongly_is_named() -> None:
    filled = {"rows": 10, "events": 50, "events_of_some": 5}
    right = {"rows": 10, "usage": 5, "usage_hourly": 5, "usage_daily": 50}
    assert analysts.differences(filled, right) == ""
    assert analysts.differences(filled, {**right, "usage_daily": 49}) == "usage_daily: 49 of 50 events"
    assert analysts.differences(filled, {**right, "usage": 6}) == "usage: 6 of 5 events"
    assert analysts.differences(filled, {**right, "rows": 11}) == "rows: 11 of 10"


def test_too_little_disk_is_said_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analysts.main(["--rows", str(10**15), "--data", str(tmp_path)]) == 2
    assert "give --rows" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
