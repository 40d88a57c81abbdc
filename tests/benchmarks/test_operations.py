"""The operating figures, small: what needs no broker is measured, shown in every form, and a failure is told."""

import json
from pathlib import Path

import pytest

from benchmarks.operations import __main__ as operations
from benchmarks.operations import delay, recovery
from benchmarks.operations.delay import percentile
from benchmarks.operations.figures import Figure
from benchmarks.operations.running import Failed


def test_memory_is_measured_and_printed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert operations.main(["--only", "memory", "--counts", "100000", "--json", "--data", str(tmp_path)]) == 0
    (part,) = json.loads(capsys.readouterr().out)
    assert (part["part"], part["problem"], len(part["load_average"])) == ("memory", None, 2)
    found = {figure["what"]: figure["values"] for figure in part["figures"]}
    assert len(found) == 6
    for what, values in found.items():
        assert len(values) == 1
        # A slot is 24 bytes and a row 120; what grows is at most half empty after it grew, and a little.
        least, most = (24, 70) if "id in" in what else (120, 250)
        if "arrays" in what:
            assert least <= values[0] <= most, what
        assert values[0] > 0, what


def test_a_part_that_fails_is_told_and_the_others_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> list[Figure]:
        raise Failed("the flow does not keep up")

    monkeypatch.setattr(recovery, "measure", fails)
    monkeypatch.setattr(delay, "measure", lambda *_: [Figure("delay", [0.5, 1.5, 1.0], "s", "so", 2)])
    monkeypatch.setattr(operations, "PAGE", tmp_path / "page.md")
    assert operations.main(["--only", "recovery", "delay", "--write", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "recovery: the flow does not keep up" in said.err
    assert "load average" in said.out
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "NOT MEASURED: the flow does not keep up" in page
    assert "| delay | 1.00 | 0.50 to 1.50 | s | 3 | so |" in page
    assert "python -m benchmarks.operations --only recovery delay" in page


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert percentile(values, 50) == 101.0
    assert percentile(values, 99) == 199.0
    assert percentile([7.0], 99) == 7.0
