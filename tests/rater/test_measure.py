"""From usage to the quantity that is priced: every aggregation, what each needs, and exact quotients."""

import datetime as dt
import decimal
import random
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rater.account import Account
from rater.levels import levels_after
from rater.measure import Aggregation, Ratio
from rater.pool import of_events, of_parts
from rater.rate import rate
from schemas.money import exact
from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, Line, OrgUsage, UsagePart
from tests.rater.books import NOVEMBER, book, contracts, failed, rated
from tests.rater.prices import cents, costs, models

MARCH, APRIL = Period.month(2023, 3), Period.month(2023, 4)
ONE_EACH = {"model": "per_unit", "unit_amount": 1}
HOUR = dt.timedelta(hours=1)


def at(second: int) -> dt.datetime:
    return NOVEMBER.start + dt.timedelta(seconds=second)


def line(aggregate: Any, use: CategoryUsage, **charge: Any) -> Line:
    prices = book({"it": {"category": "error", "aggregate": aggregate, "price": ONE_EACH, **charge}})
    [found] = rated(prices, OrgUsage(1, {"error": use})).lines
    return found


def kept(*quantities: int | str, values: Sequence[str] = (), amounts: Sequence[str] = ()) -> CategoryUsage:
    return of_events(
        KeptEvent(
            at(number),
            Decimal(quantity),
            values[number] if values else "",
            Decimal(amounts[number]) if amounts else None,
        )
        for number, quantity in enumerate(quantities)
    )


@pytest.mark.parametrize(
    ("aggregate", "use", "quantity"),
    [
        ("sum", kept("5.2", "7.1"), "12.3"),
        ("sum", CategoryUsage(90), "90"),
        ("count", kept(10, 20), "2"),
        ("count", CategoryUsage(30, events=2), "2"),
        ("max", kept(10, 30, 20), "30"),
        ("max", CategoryUsage(60, events=3, max_quantity=30), "30"),
        ("min", kept(10, 30, 20), "10"),
        ("latest", kept(10, 30, 20), "20"),
        ("average", kept(10, 20, 30, 40, -1, 0), "16.5"),
        ("average", CategoryUsage(99, events=6), "16.5"),
        ("unique_count", kept(1, 1, 1, 1, 1, values=["alice", "bob", "alice", "", "charlie"]), "3"),
        ("sum_of_latest", kept("5.2", "3.8", "7.1", values=["1", "2", "1"]), "10.9"),
        ({"function": "sum", "of": "amount"}, kept(1, 1, 1, amounts=["0.70", "0.55", "2.20"]), "3.45"),
        ({"function": "average", "of": "amount"}, kept(1, 1, amounts=["0.70", "0.50"]), "0.6"),
        ({"function": "latest", "changes": True}, kept(10, -3), "7"),
    ],
)
def test_an_aggregation(aggregate: Any, use: CategoryUsage, quantity: str) -> None:
    assert line(aggregate, use).quantity == Decimal(quantity)


def test_the_largest_of_every_window_is_summed_and_of_every_group() -> None:
    parts = [
        UsagePart(NOVEMBER.start + HOUR * hour, total, 2, most, f'{{"group":"{name}"}}')
        for hour, name, total, most in ((0, "a", 12, 10), (0, "b", 21, 20), (1, "a", 15, 15))
    ]
    use = of_parts(parts)
    assert line({"function": "sum_of_max", "window": "hour"}, use).quantity == 35
    assert line({"function": "sum_of_max", "window": "hour", "by_group": True}, use).quantity == 45
    assert line({"function": "sum_of_max", "window": "day"}, use).quantity == 20
    assert line({"function": "sum_of_max"}, use).quantity == 35


def test_a_conversion_comes_after_the_aggregation() -> None:
    found = line("sum", CategoryUsage(4800), convert={"multiply": "0.001"})
    assert found.quantity == Decimal("4.8")
    assert line("average", CategoryUsage(100, events=3), convert={"round": {"mode": "up"}}).quantity == 34


def test_levels_weigh_for_as_long_as_they_hold() -> None:
    """Two months of one level: 2,500 from the fifth on, carried into April, where it falls twice."""
    day = dt.timedelta(days=1)
    absolute, changes = "weighted_sum", {"function": "weighted_sum", "changes": True}
    for by, levels in ((absolute, (500, 300)), (changes, (-2000, -200))):
        prices = book({"it": {"category": "error", "aggregate": by, "price": ONE_EACH}})
        march = OrgUsage(1, {"error": of_events([KeptEvent(MARCH.start + 4 * day, 2500)])})
        [found] = rated(prices, march, period=MARCH).lines
        assert found.amount == Decimal("2177.42")
        assert found.quantity == Decimal("2177.419354838709677419")
        events = [KeptEvent(APRIL.start + days * day, level) for days, level in zip((3, 5), levels, strict=True)]
        april = OrgUsage(1, {"error": of_events(events)})
        rating = rate(prices, contracts(), april, APRIL, Account(levels={"error": Decimal(2500)}))
        assert rating.statement is not None
        assert rating.statement.total == Decimal("533.33")


def test_a_level_is_owed_for_in_a_period_without_any_event() -> None:
    prices = book({"it": {"category": "error", "aggregate": "weighted_sum", "price": ONE_EACH}})
    rating = rate(prices, contracts(), OrgUsage(1, {}), NOVEMBER, Account(levels={"error": Decimal(7)}))
    assert rating.statement is not None
    assert rating.statement.total == 7


def test_the_level_at_the_end_goes_on() -> None:
    def after(charge: dict[str, Any], *quantities: int) -> Any:
        prices = book({"it": {"category": "error", "price": ONE_EACH, **charge}})
        charges = prices.plans["plan"].versions[0].charges.values()
        usage = OrgUsage(1, {"error": kept(*quantities)} if quantities else {})
        return levels_after(charges, usage, NOVEMBER, {"error": Decimal(5)})["error"]

    assert after({"aggregate": "weighted_sum"}, 7, 2) == 2
    assert after({"aggregate": "latest"}) == 5
    assert after({"aggregate": {"function": "latest", "changes": True}}, 7, -2) == 10
    assert after({"prorated": True}, 7, -2) == 10
    assert after({}, 7) == 5


@pytest.mark.parametrize(
    ("charge", "use", "reason"),
    [
        ({"aggregate": "count"}, CategoryUsage(5), "needs_events"),
        ({"aggregate": "average"}, CategoryUsage(5), "needs_events"),
        ({"aggregate": "latest"}, CategoryUsage(5, events=1), "needs_events"),
        ({"aggregate": "unique_count"}, CategoryUsage(5), "needs_events"),
        ({"aggregate": "max"}, CategoryUsage(5), "needs_parts"),
        ({"aggregate": "sum_of_max"}, CategoryUsage(5), "needs_parts"),
        ({"aggregate": {"function": "sum", "of": "amount"}}, kept(5), "needs_amount"),
        ({"each": "hour"}, CategoryUsage(5), "needs_parts"),
        ({"each": "group"}, CategoryUsage(5), "needs_groups"),
        ({"each": "event"}, CategoryUsage(5), "needs_events"),
        ({"price": {"model": "dynamic"}}, CategoryUsage(5), "needs_events"),
        ({"price": {"model": "dynamic"}}, kept(5), "needs_amount"),
        ({"price": {"model": "percentage", "percent": 1, "free_events": 1}}, CategoryUsage(5), "needs_events"),
        ({"price": {"model": "percentage", "percent": 1, "fixed_per_event": 1}}, CategoryUsage(5), "needs_events"),
        (
            {"price": {"model": "matrix", "dimensions": ["a"], "rules": [], "default": 1}},
            CategoryUsage(5),
            "needs_groups",
        ),
        (
            {"price": {"model": "matrix", "dimensions": ["a"], "rules": [{"match": {"a": "x"}, "unit_amount": 1}]}},
            kept(5),
            "no_rule",
        ),
    ],
)
def test_what_a_price_needs_and_does_not_get_is_a_failure(
    charge: dict[str, Any], use: CategoryUsage, reason: str
) -> None:
    prices = book({"it": {"category": "error", "price": ONE_EACH, **charge}})
    rating = rate(prices, contracts(), OrgUsage(1, {"error": use}), NOVEMBER)
    assert failed(rating) == [(reason, "error")]
    assert rating.failures[0].detail.startswith("charge it: ")
    assert rating.statement is not None
    assert rating.statement.lines == ()


@pytest.mark.parametrize("lost", [0, 1])
def test_events_and_parts_that_are_not_all_of_the_usage_are_a_failure(lost: int) -> None:
    whole = kept(5, 6, 7)
    use = whole._replace(kept=whole.kept[:lost])
    prices = book({"it": {"category": "error", "aggregate": "latest", "price": ONE_EACH}})
    assert failed(rate(prices, contracts(), OrgUsage(1, {"error": use}), NOVEMBER)) == [("needs_events", "error")]
    parts = of_parts(UsagePart(NOVEMBER.start + HOUR * hour, 5) for hour in range(3))
    use = parts._replace(parts=parts.parts[:lost])
    prices = book({"it": {"category": "error", "each": "hour", "price": ONE_EACH}})
    assert failed(rate(prices, contracts(), OrgUsage(1, {"error": use}), NOVEMBER)) == [("needs_parts", "error")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"function": "sum", "changes": True},
        {"function": "max", "by_group": True},
        {"function": "latest", "of": "amount"},
        {"function": "median"},
    ],
)
def test_an_aggregation_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Aggregation.model_validate(wrong)


# ---- quotients ----


@given(
    models(("per_unit", "graduated", "volume", "stairstep", "package", "threshold_multiplier", "graduated_percentage")),
    st.integers(0, 10**6),
    st.integers(1, 97),
)
def test_a_quotient_is_priced_without_being_rounded(price: dict[str, Any], total: int, events: int) -> None:
    found = line("average", CategoryUsage(total, events=events), price=price)
    expected = costs(price, Fraction(total, events))
    assert Fraction(found.amount) == cents(expected)
    assert abs(Fraction(found.exact) - expected) <= Fraction(1, 2 * 10**18)
    assert abs(Fraction(found.quantity) - Fraction(total, events)) <= Fraction(1, 2 * 10**18)


def test_a_quotient_on_the_edge_of_a_cent() -> None:
    """A third of a unit at 0.015 is half a cent, and a third that was cut off before would be less."""
    found = line("average", CategoryUsage(1, events=3), price={"model": "per_unit", "unit_amount": "0.015"})
    assert found.amount == Decimal("0.01")


fractions = st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 10**6))


@given(fractions, fractions)
def test_ratios_are_fractions(one: tuple[int, int], other: tuple[int, int]) -> None:
    a, b = (Ratio(Decimal(n), Decimal(d)) for n, d in (one, other))
    with exact():
        for found, expected in (
            (a.plus(b), Fraction(*one) + Fraction(*other)),
            (a.minus(b), Fraction(*one) - Fraction(*other)),
            (a.ended(), Fraction(*one)),
        ):
            assert Fraction(found.numerator) / Fraction(found.denominator) == expected
            assert abs(Fraction(found.shown()) - expected) <= Fraction(1, 2 * 10**18)


@given(
    st.lists(st.tuples(st.integers(0, 2_591_999), st.integers(-50, 50)), max_size=8),
    st.integers(0, 100),
    st.booleans(),
)
def test_a_weighted_sum_is_the_area_under_the_levels(
    events: list[tuple[int, int]],
    level: int,
    changes: bool,
) -> None:
    ordered = sorted(events, key=lambda event: event[0])
    use = of_events(KeptEvent(at(second), quantity) for second, quantity in ordered)
    aggregate = {"function": "weighted_sum", "changes": changes}
    prices = book({"it": {"category": "error", "aggregate": aggregate, "price": ONE_EACH}})
    rating = rate(prices, contracts(), OrgUsage(1, {"error": use}), NOVEMBER, Account(levels={"error": Decimal(level)}))
    now, area = level, Fraction(0)
    starts = [second for second, _ in ordered] + [30 * 86400]
    area += now * starts[0]
    for (second, quantity), end in zip(ordered, starts[1:], strict=True):
        now = now + quantity if changes else quantity
        area += now * (end - second)
    expected = cents(max(Fraction(0), area / (30 * 86400)))
    assert rating.statement is not None
    assert rating.failures == ()
    assert Fraction(rating.statement.total) == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 2_591_999), st.integers(0, 500)), min_size=1, max_size=8, unique_by=lambda e: e[0]
    ),
    st.randoms(use_true_random=False),
    st.sampled_from(["average", "weighted_sum", "latest", "max", "min", "count", "sum_of_latest"]),
    st.integers(1, 28),
)
def test_neither_the_order_of_events_nor_the_decimal_context_says_what_is_counted(
    events: list[tuple[int, int]], shuffle: random.Random, function: str, digits: int
) -> None:
    whole = [KeptEvent(at(second), quantity, str(second % 3)) for second, quantity in sorted(events)]
    expected = line(function, of_events(whole), price={"model": "per_unit", "unit_amount": "0.333"})
    shuffle.shuffle(whole)
    with decimal.localcontext(decimal.Context(prec=digits, traps=[])):
        again = line(function, of_events(whole), price={"model": "per_unit", "unit_amount": "0.333"})
    assert again == expected
    assert again.explanation() == expected.explanation()
