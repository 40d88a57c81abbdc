"""Each price model against a table that a person can check: golden/NAME.yaml."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rater.models import MODELS
from rater.strict_yaml import load
from schemas.statements import CategoryUsage, OrgUsage
from tests.rater.books import book, rated

GOLDEN = Path(__file__).with_name("golden")
CASES = [
    pytest.param(case["charge"], expect, id=f"{path.stem}: {case['says']}: {expect['used']}")
    for path in sorted(GOLDEN.glob("*.yaml"))
    for case in load(path.read_text(encoding="utf-8")).content["cases"]
    for expect in case["expect"]
]


def test_every_model_has_its_table_and_nothing_else_has() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == MODELS.keys()
    for name in MODELS:
        cases = load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")).content["cases"]
        assert {case["charge"]["price"]["model"] for case in cases} == {name}


@pytest.mark.parametrize(("charge", "expect"), CASES)
def test_a_charge_costs_what_the_table_says(charge: dict[str, Any], expect: dict[str, Any]) -> None:
    category = charge.get("category", "error")
    usage = OrgUsage(1, {category: CategoryUsage(Decimal(expect["used"]))} if "category" in charge else {})
    [line] = rated(book({"it": charge}), usage).lines
    assert line.exact == Decimal(expect["exact"])
    assert line.amount == Decimal(expect["amount"])
    assert line.explanation() == expect["explained"]
    assert sum(step.amount for step in line.steps) == line.exact
