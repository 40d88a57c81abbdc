"""Prices that change inside a period: the ladder is climbed by all usage, and each unit costs what it did when used."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rater.account import Account
from rater.book import PriceBook
from rater.contract import Contracts
from rater.pool import of_events, of_parts
from rater.rate import rate
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, Rating, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts, failed
from tests.rater.prices import ladders, models

CHANGE = dt.date(2026, 11, 16)


def changing(before: Mapping[str, Any], after: Mapping[str, Any], **changes: Any) -> PriceBook:
    """A book whose one charge changes on 16 November."""
    return book(
        versions=[
            {"from": "2020-01-01", "until": str(CHANGE), "charges": {"it": {"category": "error", **before}}},
            {"from": str(CHANGE), "charges": {"it": {"category": "error", **after}, **changes}},
        ]
    )


def days(quantities: Mapping[int, int]) -> OrgUsage:
    """Usage of one category by day of November."""
    parts = (
        UsagePart(NOVEMBER.start + dt.timedelta(days=day - 1), quantity, 1) for day, quantity in quantities.items()
    )
    return OrgUsage(1, {"error": of_parts(parts)})


def rating(prices: PriceBook, usage: OrgUsage, agreed: Contracts | None = None) -> Rating:
    return rate(prices, agreed or contracts(), usage, NOVEMBER)


def amounts(found: Rating) -> list[Decimal]:
    assert found.failures == ()
    assert found.statement is not None
    return [line.exact for line in found.statement.lines]


GRADUATED = {
    "model": "graduated",
    "tiers": [{"up_to": 100, "unit_amount": 2, "flat_amount": 10}, {"up_to": None, "unit_amount": 1}],
}
DEARER = {
    "model": "graduated",
    "tiers": [{"up_to": 100, "unit_amount": 4, "flat_amount": 10}, {"up_to": None, "unit_amount": 3}],
}


def test_the_later_part_goes_on_where_the_earlier_one_ended() -> None:
    found = rating(changing({"price": GRADUATED}, {"price": DEARER}), days({3: 60, 20: 60}))
    assert amounts(found) == [130, 40 * 4 + 20 * 3]
    assert found.statement is not None
    first, second = found.statement.lines
    assert [first.quantity, second.quantity] == [60, 60]
    assert first.part_of_period == (NOVEMBER.start, dt.datetime(2026, 11, 16, tzinfo=dt.UTC))
    assert second.explanation().endswith("less 250 for the 60 used at the earlier price")
    assert (first.effective, second.effective) == (dt.date(2020, 1, 1), CHANGE)
    assert [line.usage["error"].quantity for line in found.statement.lines] == [60, 60]


def test_each_line_says_in_which_windows_its_usage_was_found() -> None:
    noon = dt.timedelta(hours=12)
    starts = [NOVEMBER.start, dt.datetime(2026, 11, 16, tzinfo=dt.UTC)]
    parts = [UsagePart(start, 60, 1, 60, "", start + noon, start + 5 * noon) for start in starts]
    found = rating(changing({"price": GRADUATED}, {"price": DEARER}), OrgUsage(1, {"error": of_parts(parts)}))
    assert found.statement is not None
    told = [(line.usage["error"].first_window, line.usage["error"].last_window) for line in found.statement.lines]
    assert told == [(start + noon, start + 5 * noon) for start in starts]


def test_a_charge_that_does_not_change_is_one_line_and_needs_no_parts() -> None:
    prices = changing({"price": GRADUATED}, {"price": GRADUATED}, other={"category": "span", "price": DEARER})
    found = rating(prices, OrgUsage(1, {"error": CategoryUsage(120)}))
    assert amounts(found) == [230, 0, 10] or amounts(found) == [230, 10]


def test_usage_on_one_side_alone_needs_no_parts() -> None:
    late = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    use = CategoryUsage(120, late, late)
    prices = changing(
        {"price": {"model": "per_unit", "unit_amount": 1}}, {"price": {"model": "per_unit", "unit_amount": 3}}
    )
    assert amounts(rating(prices, OrgUsage(1, {"error": use}))) == [0, 360]


def test_totals_that_cannot_be_cut_are_a_failure() -> None:
    found = rating(changing({"price": GRADUATED}, {"price": DEARER}), OrgUsage(1, {"error": CategoryUsage(120)}))
    assert failed(found) == [("needs_parts", "error")]


def test_a_category_without_a_price_for_a_part_of_the_period() -> None:
    prices = book(
        versions=[
            {
                "from": "2020-01-01",
                "until": str(CHANGE),
                "charges": {"base": {"price": {"model": "flat", "amount": 1}}},
            },
            {"from": str(CHANGE), "charges": {"it": {"category": "error", "price": GRADUATED}}},
        ]
    )
    assert failed(rating(prices, days({3: 1, 20: 5}))) == [("no_price", "error")]
    assert failed(rating(prices, OrgUsage(1, {"error": CategoryUsage(1)}))) == [("needs_parts", "error")] * 2
    found = rating(prices, days({20: 60}))
    assert found.failures == ()
    assert found.statement is not None
    assert [line.amount for line in found.statement.lines if line.charge == "it"] == [130]


def test_retroactive_prices_the_whole_period_by_what_holds_at_its_end() -> None:
    agreed = contracts(contract(retroactive=True))
    found = rating(changing({"price": GRADUATED}, {"price": DEARER}), days({3: 60, 20: 60}), agreed)
    assert amounts(found) == [10 + 400 + 60]


def test_events_and_parts_go_on_too() -> None:
    cheap = {"price": {"model": "percentage", "percent": 1, "free_events": 2}}
    dear = {"price": {"model": "percentage", "percent": 10, "free_events": 2}}
    at = [NOVEMBER.start + dt.timedelta(days=day) for day in (1, 20, 21)]
    use = OrgUsage(1, {"error": of_events(KeptEvent(when, 100) for when in at)})
    assert amounts(rating(changing(cheap, dear), use)) == [0, 10]  # the second event is the second free one
    grouped = {"each": "group", "price": GRADUATED}, {"each": "group", "price": DEARER}
    parts = [
        UsagePart(NOVEMBER.start + dt.timedelta(days=day), quantity, 1, quantity, f'{{"g":"{name}"}}')
        for day, name, quantity in ((1, "a", 60), (20, "a", 60), (20, "b", 1))
    ]
    found = rating(changing(*grouped), OrgUsage(1, {"error": of_parts(parts)}))
    assert amounts(found) == [130, 40 * 4 + 20 * 3 + 14]


def seats(changes: Mapping[int, int]) -> OrgUsage:
    """Changes of a level by day of November."""
    events = [KeptEvent(NOVEMBER.start + dt.timedelta(days=day - 1), by) for day, by in sorted(changes.items())]
    return OrgUsage(1, {"error": of_events(events)})


def prorated(price: Mapping[str, Any]) -> dict[str, Any]:
    return {"prorated": True, "price": price}


def test_a_level_costs_on_each_day_what_it_does_in_the_book_of_that_day() -> None:
    cheap, dear = ({"model": "per_unit", "unit_amount": amount} for amount in (30, 60))
    prices = changing(prorated(cheap), prorated(dear))
    # 2 for all 30 days, half of them at each price; 1 more from the 21st on, for 10 days.
    found = rating(prices, seats({1: 2, 21: 1}))
    assert amounts(found) == [30, 60 + 20]
    assert found.statement is not None
    assert [line.conversion for line in found.statement.lines] == [
        "counted for these days of the period: 1",
        "counted for these days of the period: 1.333333333333333333",
    ]
    assert found.statement.lines[1].explanation().endswith("less 60 for the 1 used at the earlier price")
    carried = rate(prices, contracts(), seats({6: -1}), NOVEMBER, Account(levels={"error": Decimal(4)}))
    assert amounts(carried) == [4 * 15 - 10, (4 - 1) * 30]


def test_a_tier_that_was_entered_at_the_earlier_price_is_entered() -> None:
    def fees(one: int, other: int) -> dict[str, Any]:
        return prorated(
            {"model": "graduated", "tiers": [{"up_to": 5, "flat_amount": one}, {"up_to": None, "flat_amount": other}]}
        )

    prices = changing(fees(100, 50), fees(1000, 500))
    assert amounts(rating(prices, seats({1: 3}))) == [100, 0]
    assert amounts(rating(prices, seats({1: 3, 20: 3}))) == [100, 500]


@given(
    ladders(fees=False),
    ladders(fees=False),
    st.dictionaries(st.integers(1, 30), st.integers(0, 60), min_size=1, max_size=6),
    st.integers(0, 40),
    st.sampled_from(["graduated", "per_unit"]),
)
def test_each_seat_costs_on_each_day_what_its_place_does_in_the_book_of_that_day(
    before: list[dict[str, Any]], after: list[dict[str, Any]], changes: dict[int, int], level: int, kind: str
) -> None:
    ladder = [before, after] if kind == "graduated" else [before[:1], after[:1]]
    made = [
        {"model": kind, "tiers": tiers} if kind == "graduated" else {"model": kind, "unit_amount": _unit(tiers, 1)}
        for tiers in ladder
    ]
    account = Account(levels={"error": Decimal(level)})
    found = rate(changing(*map(prorated, made)), contracts(), seats(changes), NOVEMBER, account)
    now, expected = level, Fraction(0)
    for day in range(1, 31):
        now += changes.get(day, 0)
        tiers = ladder[0] if day < CHANGE.day else ladder[1]
        cost = (Fraction(_unit(tiers, place if kind == "graduated" else 1)) for place in range(1, now + 1))
        expected += sum(cost, Fraction(0)) / 30
    assert abs(sum(map(Fraction, amounts(found))) - expected) < Fraction(1, 10**15)


def _unit(tiers: list[dict[str, Any]], place: int) -> Any:
    return next((tier["unit_amount"] for tier in tiers if tier["up_to"] is None or place <= tier["up_to"]), "0")


@given(
    models(("per_unit", "graduated", "volume")),
    st.dictionaries(st.integers(1, 30), st.integers(0, 60), min_size=1, max_size=6),
)
def test_a_prorated_price_that_changes_in_name_alone_changes_no_total(
    price: dict[str, Any], changes: dict[int, int]
) -> None:
    same = {"prorated": True, "price": price}
    split = amounts(rating(changing(same, {**same, "name": "the same"}), seats(changes)))
    whole = amounts(rating(changing(same, same), seats(changes)))
    assert abs(sum(split, Decimal(0)) - sum(whole, Decimal(0))) < Decimal(1).scaleb(-15)


def test_the_level_that_a_new_price_finds_has_to_be_known() -> None:
    level = {"category": "error", "aggregate": "weighted_sum", "price": {"model": "per_unit", "unit_amount": 30}}
    base = {"base": {"price": {"model": "flat", "amount": 1}}}
    prices = book(
        versions=[
            {"from": "2020-01-01", "until": str(CHANGE), "charges": base},
            {"from": str(CHANGE), "charges": {"it": level}},
        ]
    )
    use = OrgUsage(1, {"error": of_events([KeptEvent(dt.datetime(2026, 11, 30, tzinfo=dt.UTC), 2)])})
    found = rate(prices, contracts(), use, NOVEMBER)
    assert found.statement is not None
    assert [line.amount for line in found.statement.lines if line.charge == "it"] == [2]
    known = rate(prices, contracts(), use, NOVEMBER, Account(levels={"error": Decimal(1)}))
    assert failed(known) == [("needs_account", "error")]


@given(models(), st.dictionaries(st.integers(1, 30), st.integers(0, 200), min_size=1, max_size=6))
def test_a_change_to_the_same_price_at_another_name_changes_no_total(
    price: dict[str, Any], quantities: dict[int, int]
) -> None:
    same = changing({"price": price}, {"price": price, "name": "the same"})
    split, whole = (
        amounts(rating(same, days(quantities))),
        amounts(rating(changing({"price": price}, {"price": price}), days(quantities))),
    )
    assert sum(split) == sum(whole)


@given(
    ladders(fees=False),
    ladders(fees=False),
    st.dictionaries(st.integers(1, 30), st.integers(0, 200), min_size=1, max_size=6),
)
def test_each_unit_costs_what_its_place_does_in_the_book_of_its_day(
    before: list[dict[str, Any]], after: list[dict[str, Any]], quantities: dict[int, int]
) -> None:
    prices = changing(
        {"price": {"model": "graduated", "tiers": before}}, {"price": {"model": "graduated", "tiers": after}}
    )
    place, expected = 0, Fraction(0)
    for day, quantity in sorted(quantities.items()):
        tiers = before if day < CHANGE.day else after
        for _ in range(quantity):
            place += 1
            expected += Fraction(next(t["unit_amount"] for t in tiers if t["up_to"] is None or place <= t["up_to"]))
    assert sum(map(Fraction, amounts(rating(prices, days(quantities))))) == expected
