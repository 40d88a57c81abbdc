"""Near the worked examples: other numbers of each, other words that mean the same, and what is wrong with either."""

import copy
import json
import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.examples.__main__ import main
from tests.examples.mutants import mutants
from tests.examples.running import PERIODS, PRICING, Result, load, run

EXAMPLES: Final = load(PRICING)
PASSED: Final = [example for example in EXAMPLES if run(example).verdict == "passed"]
NEIGHBOURS: Final = load(PRICING.with_name("neighbours.json"))
"""Examples of our own in the same vocabulary: what it says beside what the sources happened to ask."""
ROUNDS: Final = 1 + int(os.environ.get("TALLY_TEST_EXAMPLES", "0")) // 400
JUNK: Final[tuple[Any, ...]] = (
    None, "", [], {}, "abc", -1, "-5", 0, "0", True, 10**30, "1e5", "9" * 30, [["1"]], {"a": "1"}, "2026-02-30", "3/0",
    ["x"], Decimal("1.5"), "0.333333333333", "0001-01-01", "9999-12-31", "2099-12", "max", ["2", "3"], 31, 366,
)  # fmt: skip
NO_PRICE: Final = ("where the tiers end", "sold in proportion", "no whole number of")
"""What the product does not price: usage above the last tier of a closed ladder, and parts of a third of a package."""


@pytest.mark.parametrize("example", NEIGHBOURS, ids=lambda found: found["id"])
def test_what_the_vocabulary_says_beside_the_examples(example: dict[str, Any]) -> None:
    assert run(example).verdict == "passed", run(example)


@pytest.mark.parametrize("primitive", sorted({example["primitive"] for example in PASSED}))
def test_other_numbers_come_to_what_fractions_say(primitive: str) -> None:
    results: list[Result] = []
    for example in PASSED:
        if example["primitive"] != primitive:
            continue
        dice = random.Random(example["id"])
        for _ in range(ROUNDS):
            for mutant, _ in mutants(copy.deepcopy(example), dice):
                result = run({**mutant, "id": "mutant"})
                results.append(result)
                if not any(told in result.detail for told in NO_PRICE):
                    assert result.verdict == "passed", (result, mutant)
    assert results, "the oracle has nothing to say"


def bumped(text: str) -> Iterator[str]:
    """Yield a number with one more, and with one less, in its last digit."""
    number = Decimal(text)
    for by in (1, -1):
        yield f"{number + Decimal(by).scaleb(int(number.as_tuple().exponent)):f}"


def test_every_number_that_is_expected_is_compared_to_its_last_digit() -> None:
    planted = 0
    for example in PASSED:
        wrong = [{**example, "expected_amount": text} for text in bumped(example["expected_amount"])]
        for place, line in enumerate(example.get("expected_lines", ())):
            for text in bumped(line["amount"]):
                lines = [*example["expected_lines"]]
                lines[place] = {**line, "amount": text}
                wrong.append({**example, "expected_lines": lines})
        if "expected_lines" in example:
            wrong.append({**example, "expected_lines": [*example["expected_lines"], {"label": "", "amount": "0.01"}]})
        for one in wrong:
            assert run(one).verdict == "failed", one
        planted += len(wrong)
    assert planted > 800


@pytest.mark.parametrize("words", [{"expected_quantity": "7"}, {"expected_lines": [{"amount": "1", "units": "7"}]}])
def test_what_is_expected_and_cannot_be_compared_is_not_understood(words: dict[str, Any]) -> None:
    for example in PASSED:
        result = run({**example, **words})
        assert result.verdict == "not understood", example["id"]
        assert "expected_" in result.detail


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in words."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@pytest.mark.parametrize("offset", range(8))
def test_nothing_that_stands_in_an_example_stops_the_run(offset: int) -> None:
    dice = random.Random(offset)
    for example in [*EXAMPLES, *load(PERIODS)][offset::8]:
        parts = ("definition", "usage") if "definition" in example else ("expected_boundaries", "start", "interval")
        for path in (path for part in parts for path in places({part: example[part]})):
            for _ in range(ROUNDS):
                broken = copy.deepcopy(example)
                found: Any = broken
                for key in path[:-1]:
                    found = found[key]
                if dice.random() < 0.15 and isinstance(found, dict):
                    del found[path[-1]]
                else:
                    found[path[-1]] = dice.choice(JUNK)
                result = run(broken)
                told = result.verdict != "failed" or result.detail.startswith(("expected", "refused"))
                assert told, (result, broken)


def test_a_file_that_holds_no_examples_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.json").write_text(json.dumps({"examples": []}))
    with pytest.raises(ValueError, match="is a list of objects"):
        load(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("[")
    assert main([str(tmp_path / name) for name in ("no.json", "bad.json", "missing.json")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in told] == ["no.json", "bad.json", "missing.json"]
