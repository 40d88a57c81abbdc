"""What a charge may say beyond its price: parts, commitments, hours of the day, cumulative, prorated, custom units."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from rater.account import Account
from rater.pool import of_events, of_parts
from rater.rate import rate
from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, Statement, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts

HOUR = dt.timedelta(hours=1)
EACH_ONE = {"model": "per_unit", "unit_amount": 1}
TWO_EACH = {"model": "per_unit", "unit_amount": 2}
SLABS = {
    "model": "graduated",
    "tiers": [
        {"up_to": 10, "unit_amount": "0.10"},
        {"up_to": 20, "unit_amount": "0.05"},
        {"up_to": None, "unit_amount": "0.02"},
    ],
}


def hours(quantities: Mapping[int, int], dimensions: str = "") -> CategoryUsage:
    """Usage by hour of the period's first days."""
    return of_parts(
        UsagePart(NOVEMBER.start + hour * HOUR, quantity, 1, quantity, dimensions)
        for hour, quantity in quantities.items()
    )


def groups(quantities: Mapping[str, int]) -> CategoryUsage:
    return of_parts(
        UsagePart(NOVEMBER.start, quantity, 1, quantity, f'{{"group":"{name}"}}')
        for name, quantity in quantities.items()
    )


def events(*quantities: int | str, days: Iterable[int] = ()) -> CategoryUsage:
    on = list(days) or [1] * len(quantities)
    return of_events(
        KeptEvent(NOVEMBER.start + dt.timedelta(days=day - 1), Decimal(quantity))
        for day, quantity in zip(on, quantities, strict=True)
    )


def statement(
    charge: Mapping[str, Any],
    use: CategoryUsage,
    account: Account | None = None,
    period: Period = NOVEMBER,
    **plan: Any,
) -> Statement:
    """The statement of usage of one charge; of a month that it must not fail in."""
    prices = book({"it": {"category": "error", **charge}}, **plan)
    rating = rate(prices, contracts(), OrgUsage(1, {"error": use}), period, account or Account())
    assert rating.failures == ()
    assert rating.statement is not None
    found = rating.statement
    assert found.total == sum(line.amount for line in found.lines)
    for line in found.lines:
        assert abs(sum(step.amount for step in line.steps) - line.exact) < Decimal("1e-15")
    return found


def by_part(found: Statement) -> list[Decimal]:
    """What every part comes to, its true-up too, in order of the parts."""
    parts: dict[str, Decimal] = {}
    for line in found.lines:
        for step in line.steps:
            parts[step.part] = parts.get(step.part, Decimal(0)) + step.amount
    return [amount for _, amount in sorted(parts.items())]


# ---- parts ----


@pytest.mark.parametrize(
    ("price", "total"),
    [
        (SLABS, "2.15"),
        ({**SLABS, "model": "volume"}, "1.65"),
        ({"model": "per_unit", "unit_amount": "0.10"}, "2.40"),
    ],
    ids=["graduated", "volume", "per_unit"],
)
def test_tiers_begin_anew_in_every_hour(price: dict[str, Any], total: str) -> None:
    found = statement({"each": "hour", "price": price}, hours({3: 9, 4: 15}))
    assert found.total == Decimal(total)
    assert found.lines[0].quantity == 24
    assert found.lines[0].steps[0].part == "2026-11-01T03:00Z"


def test_of_very_many_parts_the_last_are_told_together() -> None:
    found = statement({"each": "hour", "price": TWO_EACH}, hours(dict.fromkeys(range(53), 5)))
    assert len(found.lines[0].steps) == 53
    assert found.lines[0].explanation().count(" × ") == 50
    assert found.lines[0].explanation().endswith("; and 3 more steps: 30")


def test_the_largest_of_every_hour_is_priced_by_itself() -> None:
    package = {"model": "package", "package_size": 100, "package_amount": 5}
    charge = {"each": "hour", "aggregate": "max", "price": package}
    use = of_parts(
        UsagePart(NOVEMBER.start + HOUR * number, 3 * most, 3, most) for number, most in enumerate((50, 150, 200, 99))
    )
    found = statement(charge, use)
    assert by_part(found) == [5, 10, 10, 5]
    assert found.lines[0].quantity == 499


def test_groups_and_hours_of_groups() -> None:
    tiers = {"model": "graduated", "tiers": [{"up_to": 10, "unit_amount": 1}, {"up_to": None, "unit_amount": 2}]}
    found = statement({"each": "group", "price": tiers}, groups({"krn1": 3, "krn2": 12}))
    assert by_part(found) == [3, 14]
    assert found.lines[0].explanation() == "group=krn1: 3 × 1 = 3; group=krn2: 10 × 1 = 10; group=krn2: 2 × 2 = 4"
    both = of_parts(
        UsagePart(NOVEMBER.start + HOUR * hour, quantity, 1, quantity, f'{{"group":"{name}"}}')
        for hour, name, quantity in ((0, "a", 5), (0, "b", 15), (1, "a", 9), (1, "b", 9))
    )
    found = statement({"each": ["hour", "group"], "price": {**SLABS, "model": "volume"}}, both)
    assert by_part(found) == [Decimal(amount) for amount in ("0.5", "0.75", "0.9", "0.9")]


def test_events_and_days() -> None:
    price = {
        "model": "volume",
        "tiers": [
            {"up_to": 50, "unit_amount": 11},
            {"up_to": 100, "unit_amount": 10},
            {"up_to": None, "unit_amount": 9},
        ],
    }
    use = events(20, 50, 90, days=[1, 1, 16])
    assert statement({"each": "event", "price": price}, use).total == 1670
    assert statement({"each": "day", "price": price}, use).total == 1600
    assert statement({"price": price}, use).total == 1440


def test_a_day_is_one_of_the_zone() -> None:
    tiers = {"model": "graduated", "tiers": [{"up_to": 10, "unit_amount": 1}, {"up_to": None, "unit_amount": 0}]}
    use = hours({22: 10, 23: 10, 24: 10})
    assert by_part(statement({"each": "day", "price": tiers}, use)) == [10, 10]
    berlin = statement({"each": "day", "zone": "Europe/Berlin", "price": tiers}, use)
    assert [(step.part, step.amount) for step in berlin.lines[0].steps if step.amount] == [
        ("2026-11-01", Decimal(10)),
        ("2026-11-02", Decimal(10)),
    ]
    assert berlin.lines[0].steps[2].quantity == 10  # 10 of the 20 after Berlin's midnight are past the tier


def test_days_are_the_customer_s_where_the_charge_has_no_zone() -> None:
    """23:30 UTC of the ninth is the tenth in Berlin, where 21 of the 30 days are left."""
    agreed = contracts(contract(billing={"zone": "Europe/Berlin"}))
    november = Period.days(dt.date(2026, 11, 1), dt.date(2026, 12, 1), "Europe/Berlin")
    use = of_events([KeptEvent(dt.datetime(2026, 11, 9, 22, 30, tzinfo=dt.UTC), 30)])
    later = of_events([KeptEvent(dt.datetime(2026, 11, 9, 23, 30, tzinfo=dt.UTC), 30)])
    for zone, events_, total in ((None, use, 22), (None, later, 21), ("UTC", use, 21)):
        prices = book({"it": {"category": "error", "prorated": True, "price": EACH_ONE, "zone": zone}})
        rating = rate(prices, agreed, OrgUsage(1, {"error": events_}), november)
        assert rating.statement is not None
        assert rating.statement.total == total


# ---- commitments ----


@pytest.mark.parametrize(
    ("commitment", "quantity", "total"),
    [
        ({"quantity": 500, "overage_factor": "1.5"}, 300, 600),
        ({"quantity": 500, "overage_factor": "1.5", "true_up": True}, 300, 1000),
        ({"quantity": 500, "overage_factor": "1.5", "true_up": True}, 500, 1000),
        ({"quantity": 500, "overage_factor": "1.5", "true_up": True}, 600, 1300),
        ({"amount": 1000, "overage_factor": "1.5"}, 600, 1300),
        ({"amount": 1000, "true_up": True}, 0, 1000),
        ({"amount": 1000}, 0, 0),
    ],
)
def test_a_commitment_is_a_quantity_or_an_amount(commitment: dict[str, Any], quantity: int, total: int) -> None:
    found = statement({"commitment": commitment, "price": TWO_EACH}, CategoryUsage(quantity))
    assert found.total == total
    assert [line.kind for line in found.lines[1:]] in ([], ["true_up"])


def test_every_hour_is_committed_by_itself() -> None:
    commitment = {"quantity": 10, "overage_factor": "1.5", "true_up": True}
    charge = {"each": "hour", "commitment": commitment, "price": TWO_EACH}
    assert by_part(statement(charge, hours({0: 15, 1: 6, 2: 10}))) == [35, 20, 20]


@pytest.mark.parametrize(("each", "parts"), [("hour", 30 * 24), ("day", 30)])
def test_unused_parts_are_committed_where_it_is_said(each: str, parts: int) -> None:
    commitment = {"amount": 10, "true_up": True, "unused_parts": True}
    charge = {"each": each, "commitment": commitment, "price": TWO_EACH}
    assert statement(charge, hours({0: 15, 24: 2})).total == 30 + (parts - 1) * 10
    assert statement(charge, CategoryUsage(0)).total == parts * 10
    assert statement({**charge, "zone": "Europe/Berlin"}, CategoryUsage(0)).total == (parts + (each == "day")) * 10


def test_unused_hours_are_those_of_the_slot_that_says_so() -> None:
    night = {"amount": 10, "true_up": True, "unused_parts": True}
    slot = {"from_hour": 22, "to_hour": 2, "commitment": night}
    charge = {"each": "hour", "price": TWO_EACH, "schedule": [slot]}
    assert statement(charge, hours({0: 4, 12: 3})).total == 10 + 6 + (30 * 4 - 1) * 10


def test_a_true_up_comes_to_the_commitment_to_the_last_digit() -> None:
    charge = {"commitment": {"amount": 10, "true_up": True}, "price": {"model": "per_unit", "unit_amount": "0.335"}}
    found = statement(charge, CategoryUsage(3))
    assert [line.amount for line in found.lines] == [Decimal("1.01"), Decimal("8.99")]
    assert found.lines[1].exact == Decimal("8.995")
    assert found.lines[1].explanation() == "commitment 10, short of it by 8.995"


# ---- hours of the day ----


def test_a_slot_has_its_own_price_and_commitment() -> None:
    charge = {
        "each": "hour",
        "price": EACH_ONE,
        "commitment": {"amount": 10, "overage_factor": 2, "true_up": True},
        "schedule": [
            {"from_hour": 9, "to_hour": 12, "price": TWO_EACH, "commitment": {"amount": 5, "overage_factor": 2}},
        ],
    }
    assert by_part(statement(charge, hours({9: 10, 10: 1, 18: 3}))) == [35, 2, 10]
    plain = {**charge, "commitment": None, "schedule": [{"from_hour": 9, "to_hour": 12, "price": TWO_EACH}]}
    assert by_part(statement(plain, hours({9: 10, 12: 1, 18: 3}))) == [20, 1, 3]


def test_without_parts_all_usage_of_a_slot_is_one() -> None:
    night = {"from_hour": 22, "to_hour": 6, "price": SLABS}
    found = statement({"price": EACH_ONE, "schedule": [night]}, hours({23: 9, 24: 1, 29: 5, 30: 7}))
    assert found.lines[0].explanation() == (
        "other hours: 7 × 1 = 7; 22:00–06:00: 10 × 0.1 = 1; 22:00–06:00: 5 × 0.05 = 0.25"
    )
    in_zone = statement({"price": EACH_ONE, "zone": "Asia/Tokyo", "schedule": [night]}, hours({13: 10, 21: 10}))
    assert in_zone.total == 11


# ---- cumulative, prorated, custom units ----


def test_cumulative_tiers_go_on_from_what_was_used_before() -> None:
    tiers = [
        {"up_to": 1000, "percent": 1, "flat_amount": 200},
        {"up_to": 10000, "percent": 2, "flat_amount": 300},
        {"up_to": None, "percent": 3, "flat_amount": 400},
    ]
    charge = {"cumulative": True, "price": {"model": "graduated_percentage", "tiers": tiers}}
    assert statement(charge, CategoryUsage(500)).total == 205
    second = statement(charge, CategoryUsage(550), Account(used_before={"it": Decimal(500)}))
    assert second.total == 306
    assert second.lines[0].quantity == 550
    assert second.lines[0].explanation().endswith("less 205 for the 500 used in earlier periods")


@pytest.mark.parametrize(("before", "now", "billed"), [(0, 300, 0), (550, 100, 100), (5, 15, 10)])
def test_included_units_of_several_periods_are_used_up_once(before: int, now: int, billed: int) -> None:
    included = 10 if before == 5 else 500
    charge = {"cumulative": True, "included": included, "price": EACH_ONE}
    assert statement(charge, CategoryUsage(now), Account(used_before={"it": Decimal(before)})).total == billed


def test_prorated_usage_climbs_by_what_it_is_and_is_priced_by_what_counts() -> None:
    graduated = {
        "model": "graduated",
        "tiers": [
            {"up_to": 5, "unit_amount": 10, "flat_amount": 100},
            {"up_to": None, "unit_amount": 5, "flat_amount": 50},
        ],
    }
    assert statement({"prorated": True, "price": graduated}, events(1, days=[10])).total == 107  # 21 of 30 days
    split = statement({"prorated": True, "price": graduated}, events(3, 4, days=[1, 16]))
    assert split.total == 100 + 50 + 30 + 2 * 10 / 2 + 2 * 5 / 2
    volume = {
        "model": "volume",
        "tiers": [
            {"up_to": 100, "unit_amount": 2, "flat_amount": 10},
            {"up_to": 200, "unit_amount": 1},
            {"up_to": None, "unit_amount": "0.5", "flat_amount": 50},
        ],
    }
    at = NOVEMBER.start + (NOVEMBER.end - NOVEMBER.start) * 338 / 1000
    use = of_events([KeptEvent(at, 300)])
    found = statement({"prorated": "seconds", "price": volume}, use)
    assert found.lines[0].exact == Decimal("149.3")
    assert found.lines[0].quantity == Decimal("198.6")


def test_a_level_that_rises_and_falls_is_priced_for_its_days() -> None:
    use = events(3, -1, days=[11, 21])
    found = statement({"prorated": True, "price": {"model": "per_unit", "unit_amount": 7}}, use, None)
    assert found.total == Decimal("11.67")  # (3 × 20 − 1 × 10) ÷ 30 × 7
    carried = Account(levels={"error": Decimal(10)})
    found = statement(
        {"prorated": True, "price": {"model": "per_unit", "unit_amount": 1}}, events(-5, days=[16]), carried
    )
    assert found.total == Decimal("7.50")


@pytest.mark.parametrize(("unit", "owed"), [("days", "32"), ("seconds", "32")])
def test_prorated_usage_of_a_stub_is_a_part_of_the_anchored_period(unit: str, owed: str) -> None:
    prices = book({"it": {"category": "error", "prorated": unit, "price": {"model": "per_unit", "unit_amount": 30}}})
    stub = Period.days(dt.date(2026, 11, 15), NOVEMBER.end.date())
    use = OrgUsage(1, {"error": of_events([KeptEvent(stub.start, 2)])})
    found = rate(prices, contracts(contract(**{"from": "2026-11-15"})), use, stub)
    assert found.failures == ()
    assert found.statement is not None
    assert found.statement.total == Decimal(owed)  # 2 × 16 of 30 days × 30
    ended = contracts(contract(**{"from": "2026-11-01", "until": "2026-11-16"}))
    first = Period.days(NOVEMBER.start.date(), dt.date(2026, 11, 16))
    use = OrgUsage(1, {"error": of_events([KeptEvent(NOVEMBER.start, 2)])})
    found = rate(prices, ended, use, first)
    assert found.statement is not None
    assert found.statement.total == 30


def test_a_price_in_credits_is_converted_by_the_stated_rate() -> None:
    charge = {"custom_unit": {"unit": "credit", "rate": "0.5"}, "price": EACH_ONE}
    found = statement(charge, CategoryUsage(300))
    assert found.total == 150
    assert found.lines[0].explanation() == "300 × 1 = 300 credit; 300 credit × 0.5 = 150"
    with_included = statement(
        {**charge, "included": 100, "commitment": {"amount": 50, "overage_factor": 2}}, CategoryUsage(200)
    )
    assert with_included.total == (100 + 50) * Decimal("0.5")


def test_a_fee_beside_what_usage_costs() -> None:
    capacity = {
        "model": "stairstep",
        "tiers": [{"up_to": 1000, "flat_amount": 750}, {"up_to": None, "flat_amount": 500}],
    }
    charge = {"fee": {"model": "flat", "amount": 30}, "price": capacity}
    found = statement({**charge, "adjustments": [{"kind": "minimum", "amount": 600}]}, CategoryUsage(1200))
    assert [(line.charge, line.name, line.amount) for line in found.lines] == [
        ("it", "it, fee", Decimal(30)),
        ("it", "it", Decimal(500)),
        ("minimum", "Minimum true-up", Decimal(70)),
    ]
    half = contracts(contract(**{"from": "2026-11-16"}))
    stub = Period.days(dt.date(2026, 11, 16), dt.date(2026, 12, 1))
    rating = rate(book({"it": {"category": "error", **charge}}), half, OrgUsage(1, {}), stub)
    assert rating.statement is not None
    assert [line.amount for line in rating.statement.lines] == [15, 750]
    assert rating.statement.lines[0].explanation() == "fee 30, 15 of 30 days: 15"
