"""Each kind of adjustment against a table that a person can check: golden_adjustments/KIND.yaml."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rater.account import Account
from rater.adjustments import ADJUSTMENTS
from rater.grants import Grant
from rater.sheet import Sheet, nets_of
from rater.strict_yaml import load
from schemas.money import exact, round_to
from schemas.period import Period
from tests.rater.sheets import adjusted, adjustment, charged, sheet

GOLDEN = Path(__file__).with_name("golden_adjustments")
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['says']}")
    for path in sorted(GOLDEN.glob("*.yaml"))
    for case in load(path.read_text(encoding="utf-8")).content["cases"]
]


def test_every_kind_has_its_table_and_nothing_else_has() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == ADJUSTMENTS.keys()
    for kind in ADJUSTMENTS:
        cases = load((GOLDEN / f"{kind}.yaml").read_text(encoding="utf-8")).content["cases"]
        assert all(kind in {listed["kind"] for listed in case["adjustments"]} for case in cases)


@pytest.mark.parametrize("case", CASES)
def test_adjustments_write_the_lines_of_the_table(case: dict[str, Any]) -> None:
    made = _sheet(case)
    charges = len(made.lines)
    adjusted(made, *case["adjustments"], scope=case.get("scope"))
    found = [_told(line) for line in made.lines[charges:]]
    assert found == [
        {**told, "amount": Decimal(told["amount"]), "exact": Decimal(told.get("exact", told["amount"]))}
        | {"spread": {key: Decimal(part) for key, part in told.get("spread", {}).items()}}
        for told in case["lines"]
    ]
    with exact():
        assert made.total == Decimal(case["total"])
        assert sum(nets_of(made.lines).values()) == made.total
    for line in made.lines[charges:]:
        with exact():
            owed = sum((step.amount for step in line.steps), Decimal(0))
            assert sum(line.spread.values()) == (line.amount if line.spread else 0)
        assert round_to(owed, made.step, made.rounding) == line.amount


def _sheet(case: dict[str, Any]) -> Sheet:
    account = case.get("account", {})
    changes: dict[str, Any] = {
        "account": Account(
            credit=Decimal(account.get("credit", 0)),
            invoiced={charge: Decimal(amount) for charge, amount in account.get("invoiced", {}).items()},
        ),
        "grants": tuple(map(Grant.model_validate, case.get("grants", ()))),
    }
    if "part" in case:
        changes["part"] = tuple(case["part"])
    return sheet(case["charges"], **changes)


def _told(line: Any) -> dict[str, Any]:
    return {
        "id": line.charge,
        "kind": line.kind,
        "amount": line.amount,
        "exact": line.exact,
        "explained": line.explanation(),
        "spread": dict(line.spread),
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "discount_percent", "percent": 101}, "less than or equal to 100"),
        ({"kind": "discount_percent", "percent": 10.0}, "write a plain decimal number"),
        ({"kind": "discount_amount", "amount": "-1"}, "greater than or equal to 0"),
        ({"kind": "discount_amount", "amount": 1, "spread": "evenly"}, "'pro_rata' or 'in_order'"),
        ({"kind": "commitment", "amount": 0}, "greater than 0"),
        ({"kind": "commitment", "amount": 1, "overage_factor": "-1"}, "greater than or equal to 0"),
        ({"kind": "credits", "order": ["age"]}, "'priority', 'end', 'promotional' or 'oldest'"),
        ({"kind": "credits", "order": ["end", "end"]}, "stands twice"),
        ({"kind": "minimum"}, "amount"),
        ({"kind": "minimum", "amount": 1, "scope": ["a"]}, "Extra inputs are not permitted"),
        ({"kind": "minimum", "amount": 1, "charges": ["a", "a"]}, "a charge stands twice"),
        ({"kind": "minimum", "amount": 1, "charges": []}, "at least 1 item"),
        ({"kind": "minimum", "amount": 1, "from": "2026-02-01", "until": "2026-02-01"}, "is not after from"),
        ({"kind": "rebate", "amount": 1}, "does not match any of the expected tags"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        adjustment(**fields)


def test_an_adjustment_holds_for_the_periods_that_start_between_its_dates() -> None:
    off = {"kind": "discount_percent", "percent": 10, "from": "2026-11-01", "until": "2026-12-01"}
    totals = {month: _total(Period.month(2026, month), off) for month in (10, 11, 12)}
    assert totals == {10: 100, 11: 90, 12: 100}


def _total(period: Period, off: dict[str, Any]) -> Decimal:
    made = adjusted(sheet({"a": 100}, period=period), off)
    with exact():
        return made.total


def test_a_scope_holds_a_line_of_its_own_only_with_all_its_charges() -> None:
    made = adjusted(sheet({"a": 10, "b": 10}), {"kind": "minimum", "amount": 100, "charges": ["a"]})
    adjusted(made, {"kind": "discount_percent", "percent": 50, "charges": ["a"]})
    assert nets_of(made.lines) == {"a": 5, "b": 10, "minimum": 45}
    made = adjusted(sheet({"a": 10, "b": 10}), {"kind": "minimum", "amount": 100})
    adjusted(made, {"kind": "discount_percent", "percent": 50, "charges": ["a"]})
    assert nets_of(made.lines) == {"a": 5, "b": 10, "minimum": 80}


def test_several_lines_of_one_charge_are_one_thing() -> None:
    made = sheet({"a": 10})
    with exact():
        made.add(charged("a", Decimal("-3.335")))  # -3.34
    adjusted(made, {"kind": "minimum", "amount": 8})
    assert [line.amount for line in made.lines] == [10, Decimal("-3.34"), Decimal("1.34")]


def test_an_adjustment_that_names_no_charge_of_the_plan_can_say_so() -> None:
    found = adjustment(kind="maximum", amount=1, charges=["errors", "gone"])
    assert found.lost(frozenset({"errors"})) == ["gone"]
    assert adjustment(kind="maximum", amount=1).lost(frozenset()) == []


def test_lines_of_one_kind_do_not_share_an_id() -> None:
    off = {"kind": "discount_amount", "amount": 1}
    made = adjusted(sheet({"a": 10, "discount_amount": 10}), off, off, {**off, "id": "coupon"})
    ids = [line.charge for line in made.lines]
    assert ids == ["a", "discount_amount", "discount_amount-2", "discount_amount-3", "coupon"]
