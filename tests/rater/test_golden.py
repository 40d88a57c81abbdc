"""Each price model against a table that a person can check: golden/NAME.yaml."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rater.models import MODELS
from rater.pool import of_events, of_parts
from rater.strict_yaml import load
from schemas.formats.canonical import canonical_json
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, UsagePart
from tests.rater.books import NOVEMBER, book, rated

GOLDEN = Path(__file__).with_name("golden")
CASES = [
    pytest.param(case["charge"], expect, id=f"{path.stem}: {case['says']}: {number}")
    for path in sorted(GOLDEN.glob("*.yaml"))
    for case in load(path.read_text(encoding="utf-8")).content["cases"]
    for number, expect in enumerate(case["expect"])
]


def test_every_model_has_its_table_and_nothing_else_has() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == MODELS.keys()
    for name in MODELS:
        cases = load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")).content["cases"]
        assert {case["charge"]["price"]["model"] for case in cases} == {name}


@pytest.mark.parametrize(("charge", "expect"), CASES)
def test_a_charge_costs_what_the_table_says(charge: dict[str, Any], expect: dict[str, Any]) -> None:
    category = charge.get("category", "error")
    usage = OrgUsage(1, {category: usage_of(expect)} if "category" in charge else {})
    [line] = rated(book({"it": charge}), usage).lines
    assert line.exact == Decimal(expect["exact"])
    assert line.amount == Decimal(expect["amount"])
    assert line.explanation() == expect["explained"]
    assert sum(step.amount for step in line.steps) == line.exact


def usage_of(expect: dict[str, Any]) -> CategoryUsage:
    """What was used: a quantity (and a number of events), events one by one, or groups."""
    if "groups" in expect:
        return of_parts(
            UsagePart(NOVEMBER.start, group["quantity"], 1, group["quantity"], canonical_json(group["attributes"]))
            for group in expect["groups"]
        )
    if "events" in expect:
        return of_events(_event(number, event) for number, event in enumerate(expect["events"]))
    return CategoryUsage(Decimal(expect["used"]), events=expect.get("count", 0))


def _event(number: int, event: Any) -> KeptEvent:
    told = event if isinstance(event, dict) else {"quantity": event}
    amount = told.get("amount")
    return KeptEvent(
        NOVEMBER.start + dt.timedelta(minutes=number),
        told.get("quantity", 1),
        amount=None if amount is None else Decimal(amount),
    )
