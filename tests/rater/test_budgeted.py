"""A budget inside rating: what it does not pay for is on the line, refused, and not billed."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.pool import of_parts
from rater.rate import rate
from schemas.errors import SettingsError
from schemas.statements import CategoryUsage, OrgUsage, Rating, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts, failed

CHARGES = {
    "errors": {"category": "error", "included": 10, "price": {"model": "per_unit", "unit_amount": 1}},
    "spans": {"category": "span", "price": {"model": "per_unit", "unit_amount": 2}},
}


def windows(**quantities: Mapping[int, int]) -> OrgUsage:
    """Usage by minute of the period, by category."""
    return OrgUsage(
        1,
        {
            category: of_parts(
                UsagePart(NOVEMBER.start + dt.timedelta(minutes=minute), quantity, 1, quantity)
                for minute, quantity in found.items()
            )
            for category, found in quantities.items()
        },
    )


def limited(budget: dict[str, Any], usage: OrgUsage, **ranks: int) -> Rating:
    version = {"from": "2020-01-01", "charges": CHARGES, "budget": budget}
    return rate(book(versions=[version]), contracts(), usage, NOVEMBER, rank=ranks)


def told(found: Rating) -> dict[str, tuple[Any, Any, Any]]:
    assert found.failures == ()
    assert found.statement is not None
    return {line.charge: (line.quantity, line.refused, line.amount) for line in found.statement.lines}


def test_first_come_first_served_from_one_pool() -> None:
    usage = windows(error={0: 10, 1: 4, 3: 5}, span={0: 1, 2: 3})
    found = limited({"amount": 10}, usage)
    # 2 for the first span, 4 for the errors of minute 1, then 2 of 3 spans; the errors of minute 3 find nothing left.
    assert told(found) == {"errors": (19, 5, 4), "spans": (4, 1, 6)}
    assert found.statement is not None
    assert found.statement.lines[0].explanation() == "5 refused: past the budget; 10 included; 4 × 1 = 4"
    assert found.statement.total == 10


def test_within_a_window_the_category_id_decides() -> None:
    usage = windows(error={0: 15}, span={0: 5})
    assert told(limited({"amount": 10}, usage, error=1, span=2)) == {"errors": (15, 0, 5), "spans": (5, 3, 4)}
    assert told(limited({"amount": 10}, usage, error=2, span=1)) == {"errors": (15, 5, 0), "spans": (5, 0, 10)}


def test_totals_are_enough_where_they_fit() -> None:
    usage = OrgUsage(1, {"error": CategoryUsage(15), "span": CategoryUsage(2)})
    assert told(limited({"amount": 10}, usage)) == {"errors": (15, 0, 5), "spans": (2, 0, 4)}
    assert failed(limited({"amount": 8}, usage)) == [("needs_parts", "")]


def test_the_contract_s_budget_stands_in_for_the_plan_s() -> None:
    version = {"from": "2020-01-01", "charges": CHARGES, "budget": {"amount": 0}}
    usage = windows(error={0: 15})
    prices = book(versions=[version])
    assert told(rate(prices, contracts(), usage, NOVEMBER)) == {"errors": (15, 5, 0)}
    agreed = contracts(contract(budget={"amount": None}))
    assert told(rate(prices, agreed, usage, NOVEMBER)) == {"errors": (15, 0, 5)}


@pytest.mark.parametrize(
    "charge",
    [
        {"price": {"model": "volume", "tiers": [{"up_to": None, "unit_amount": 1}]}},
        {"each": "hour", "price": {"model": "per_unit", "unit_amount": 1}},
        {"commitment": {"amount": 1}, "price": {"model": "per_unit", "unit_amount": 1}},
    ],
)
def test_a_budget_needs_prices_that_never_fall(charge: dict[str, Any]) -> None:
    found = {"from": "2020-01-01", "charges": {"it": {"category": "error", **charge}}}
    with pytest.raises(SettingsError, match="a budget needs prices by which more usage never costs less"):
        book(versions=[{**found, "budget": {"amount": 1}}])
    agreed = contracts(contract(budget={"amount": 1}))
    rating = rate(book(versions=[found]), agreed, windows(error={0: 1}), NOVEMBER)
    assert failed(rating) == [("budget_does_not_fit", "")]


minutes = st.dictionaries(st.integers(0, 5), st.integers(1, 30), max_size=4)


@given(st.integers(0, 60), minutes, minutes)
def test_nothing_past_the_budget_is_billed_and_all_else_is(
    budget: int, errors: dict[int, int], spans: dict[int, int]
) -> None:
    found = limited({"amount": budget}, windows(error=errors, span=spans))
    billed: dict[str, int] = {"error": 0, "span": 0}
    left, out = Decimal(budget), set[str]()
    for minute in range(6):
        for category, quantities, price in (("error", errors, 1), ("span", spans, 2)):
            for _ in range(quantities.get(minute, 0)):
                free = category == "error" and billed["error"] < 10
                if category in out or (not free and left < price):
                    out.add(category)
                    continue
                billed[category] += 1
                left -= 0 if free else price
    lines = told(found)
    for category, charge, quantities in (("error", "errors", errors), ("span", "spans", spans)):
        used, refused, _ = lines.get(charge, (Decimal(0), Decimal(0), Decimal(0)))
        assert used == sum(quantities.values())
        assert used - refused == billed[category]
    assert found.statement is not None
    assert found.statement.total == budget - left
