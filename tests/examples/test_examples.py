"""Every worked example, through the product's own code; those that need tax are the only ones not understood."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.examples.__main__ import main
from tests.examples.otherwise import OTHERWISE
from tests.examples.running import PRICING, load, run

EXAMPLES = load(PRICING)
TAX = "tax stays outside the rater"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found["id"])
def test_an_example_is_answered_as_its_source_does(example: dict[str, Any]) -> None:
    result = run(example)
    if result.verdict == "not understood":
        assert result.detail == TAX
    else:
        assert result.verdict == "passed" or result.id in OTHERWISE, result


def test_no_example_is_answered_wrongly_and_all_are_accounted_for() -> None:
    counts = Counter(run(example).verdict for example in EXAMPLES)
    assert counts["failed"] == 0
    assert counts["passed"] == 294
    assert counts["not understood"] == 14
    assert len(OTHERWISE) < 10
    assert counts.total() == 310 == len({example["id"] for example in EXAMPLES})


def test_the_list_of_those_answered_otherwise_has_none_that_passes() -> None:
    assert {result.id for result in map(run, EXAMPLES) if result.verdict == "otherwise"} == OTHERWISE.keys()


@pytest.mark.parametrize("example", [example for example in EXAMPLES if run(example).verdict == "passed"][::9])
def test_an_example_with_another_expectation_fails(example: dict[str, Any]) -> None:
    assert run({**example, "expected_amount": example["expected_amount"] + "1"}).verdict == "failed"


@pytest.mark.parametrize("where", ["definition", "usage"])
def test_a_word_that_is_not_known_is_never_overlooked(where: str) -> None:
    passed = [example for example in EXAMPLES if run(example).verdict == "passed"]
    for example in passed:
        changed = {**example, where: {**example[where], "quantum_factor": "2"}}
        assert run(changed).verdict == "not understood", example["id"]


def test_the_runner_counts_by_primitive_and_says_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "pricing.json: 310 examples" in printed
    assert "oracle-lease-nontiered" in printed
    wrong = {**EXAMPLES[0], "id": "wrong", "primitive": "per_unit", "expected_amount": "1"}
    wrong.update(definition={"model": "per_unit", "unit_amount": "2"}, usage={"quantity": "3"}, currency="USD")
    file = tmp_path / "more.json"
    file.write_text(json.dumps([wrong, {"id": "a-period", "start": "2026-01-31", "interval": "month"}]))
    assert main([str(file)]) == 1
    printed = capsys.readouterr().out
    assert "wrong [per_unit]: expected 1, got 6.00" in printed
    assert "a-period [period]: no price example" in printed


def test_the_data_names_no_place_on_a_machine() -> None:
    text = PRICING.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/tmp/", "localhost", "127.0.0.1"))  # noqa: S108
