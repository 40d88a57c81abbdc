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


# ---- a budget over a price that changes inside the period ----

CHANGE = dt.date(2026, 11, 16)
LATER = 15 * 24 * 60
"""The first minute of the later price."""


def changing(before: Mapping[str, Any], after: Mapping[str, Any], budget: dict[str, Any]) -> Any:
    """A book whose charges change on 16 November, with one budget."""
    return book(
        versions=[
            {"from": "2020-01-01", "until": str(CHANGE), "charges": before, "budget": budget},
            {"from": str(CHANGE), "charges": after, "budget": budget},
        ]
    )


def runs(found: Rating) -> dict[str, list[tuple[Any, Any, Any]]]:
    assert found.failures == ()
    assert found.statement is not None
    lines: dict[str, list[tuple[Any, Any, Any]]] = {}
    for line in found.statement.lines:
        lines.setdefault(line.charge, []).append((line.quantity, line.refused, line.amount))
    return lines


def each(amount: Any, **more: Any) -> dict[str, Any]:
    return {"category": "error", "price": {"model": "per_unit", "unit_amount": amount}, **more}


def test_what_was_used_before_the_change_draws_at_its_own_price() -> None:
    prices = changing({"it": each(1)}, {"it": each(3)}, {"amount": 20})
    found = rate(prices, contracts(), windows(error={0: 8, LATER: 3, LATER + 1: 9}), NOVEMBER)
    # 8 at 1, then 3 at 3, then one more fits in the 3 that are left; 8 are refused.
    assert runs(found) == {"it": [(8, 0, 8), (12, 8, 12)]}
    assert found.statement is not None
    first, second = found.statement.lines
    assert (
        second.explanation() == "8 refused: past the budget; 12 × 3 = 36; less 24 for the 8 used at the earlier price"
    )
    assert first.part_of_period == (NOVEMBER.start, dt.datetime(2026, 11, 16, tzinfo=dt.UTC))
    assert found.statement.total == 20


def test_what_is_refused_before_the_change_stays_so_after_it() -> None:
    prices = changing({"it": each(1)}, {"it": each("0.5")}, {"amount": 5})
    found = rate(prices, contracts(), windows(error={0: 8, LATER: 3}), NOVEMBER)
    assert runs(found) == {"it": [(8, 3, 5), (3, 3, 0)]}


def test_included_units_of_the_later_price_are_used_up_by_what_came_before() -> None:
    prices = changing({"it": each(1, included=4)}, {"it": each(2, included=6)}, {"amount": 7})
    found = rate(prices, contracts(), windows(error={0: 5, LATER: 9}), NOVEMBER)
    # 1 at 1; then of 9 one is still included, and of the others 3 fit in the 6 that are left.
    assert runs(found) == {"it": [(5, 0, 1), (9, 5, 6)]}


def test_a_charge_of_another_name_has_a_turn_of_its_own() -> None:
    prices = changing({"old": each(1)}, {"new": each(2)}, {"amount": 10})
    found = rate(prices, contracts(), windows(error={0: 12, LATER: 3}), NOVEMBER)
    assert runs(found) == {"new": [(3, 3, 0)], "old": [(12, 2, 10)]}
    found = rate(prices, contracts(), windows(error={0: 6, LATER: 3}), NOVEMBER)
    assert runs(found) == {"new": [(3, 1, 4)], "old": [(6, 0, 6)]}


def test_units_past_the_included_ones_are_limited_over_the_change() -> None:
    limit = {"overage_units": {"it": 5}}
    prices = changing({"it": each(1, included=4)}, {"it": each(2, included=4)}, limit)
    found = rate(prices, contracts(), windows(error={0: 6, LATER: 9}), NOVEMBER)
    assert runs(found) == {"it": [(6, 0, 2), (9, 6, 6)]}


def test_a_budget_over_a_change_needs_windows_and_one_that_changes_has_no_answer() -> None:
    prices = changing({"it": each(1)}, {"it": each(3)}, {"amount": 20})
    total = OrgUsage(1, {"error": CategoryUsage(2)})
    assert ("needs_parts", "") in failed(rate(prices, contracts(), total, NOVEMBER))
    same = changing({"it": each(1)}, {"it": each(1)}, {"amount": 20})
    assert told(rate(same, contracts(), total, NOVEMBER)) == {"it": (2, 0, 2)}
    other = book(
        versions=[
            {"from": "2020-01-01", "until": str(CHANGE), "charges": {"it": each(1)}, "budget": {"amount": 1}},
            {"from": str(CHANGE), "charges": {"it": each(1)}},
        ]
    )
    assert failed(rate(other, contracts(), total, NOVEMBER)) == [("price_changes_inside_period", "")]
    agreed = contracts(contract(budget={"amount": 1}))
    assert failed(rate(other, agreed, total, NOVEMBER)) == [("needs_parts", "")]


cents = st.integers(0, 300).map(lambda number: Decimal(number).scaleb(-2))
turns = st.dictionaries(
    st.sampled_from([0, 1, 2, LATER, LATER + 1, LATER + 2]), st.integers(1, 25), min_size=1, max_size=5
)


@st.composite
def terms(draw: st.DrawFn) -> list[tuple[int, list[tuple[int | None, Decimal]]]]:
    """What is included and a ladder, before and after a change."""
    found = []
    for _ in range(2):
        bound = draw(st.integers(1, 30))
        found.append((draw(st.integers(0, 20)), [(bound, draw(cents)), (None, draw(cents))]))
    return found


@given(st.integers(0, 60), turns, turns, terms(), terms())
def test_over_a_change_every_unit_takes_its_turn_at_the_price_of_its_time(
    budget: int, errors: dict[int, int], spans: dict[int, int], one: list[Any], other: list[Any]
) -> None:
    def charges(number: int) -> dict[str, Any]:
        made = {}
        for category, (included, ladder) in (("error", one[number]), ("span", other[number])):
            tiers = [{"up_to": bound, "unit_amount": amount} for bound, amount in ladder]
            made[category] = {
                "category": category,
                "included": included,
                "price": {"model": "graduated", "tiers": tiers},
            }
        return made

    prices = changing(charges(0), charges(1), {"amount": budget})
    found = rate(prices, contracts(), windows(error=errors, span=spans), NOVEMBER)
    billed = {"error": [0, 0], "span": [0, 0]}
    left, out = Decimal(budget), set[str]()
    for minute in sorted({*errors, *spans}):
        later = minute >= LATER
        for category, quantities, agreed in (("error", errors, one), ("span", spans, other)):
            included, ladder = agreed[later]
            for _ in range(quantities.get(minute, 0)):
                place = sum(billed[category]) + 1 - included
                price = next(amount for bound, amount in ladder if bound is None or place <= bound)
                price = price if place > 0 else Decimal(0)
                if category in out or left < price:
                    out.add(category)
                    continue
                billed[category][later] += 1
                left -= price
    lines = runs(found)
    for category, quantities in (("error", errors), ("span", spans)):
        assert sum(used - refused for used, refused, _ in lines[category]) == sum(billed[category])
        assert sum(used for used, _, _ in lines[category]) == sum(quantities.values())
    assert found.statement is not None
    assert found.statement.total == budget - left


@given(st.integers(0, 60), turns, turns, terms())
def test_a_change_in_name_alone_changes_nothing_that_a_budget_pays_for(
    budget: int, errors: dict[int, int], spans: dict[int, int], agreed: list[Any]
) -> None:
    charges = {
        category: {
            "category": category,
            "included": included,
            "price": {
                "model": "graduated",
                "tiers": [{"up_to": bound, "unit_amount": price} for bound, price in ladder],
            },
        }
        for category, (included, ladder) in zip(("error", "span"), agreed, strict=True)
    }
    named = {id_: {**charge, "name": "the same"} for id_, charge in charges.items()}
    usage = windows(error=errors, span=spans)
    whole = runs(rate(changing(charges, charges, {"amount": budget}), contracts(), usage, NOVEMBER))
    split = runs(rate(changing(charges, named, {"amount": budget}), contracts(), usage, NOVEMBER))

    def sums(found: dict[str, list[tuple[Any, Any, Any]]]) -> dict[str, list[Any]]:
        return {id_: [sum(column) for column in zip(*lines, strict=True)] for id_, lines in found.items()}

    assert sums(split) == sums(whole)
