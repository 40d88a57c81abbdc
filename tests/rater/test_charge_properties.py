"""What holds of charges with parts, events, commitments and levels, judged by plain fractions."""

import datetime as dt
import decimal
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rater.account import Account
from rater.pool import of_events, of_parts
from rater.rate import rate
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, Rating, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts, rated
from tests.rater.prices import KINDS, cents, costs, ladders, models, percents, prices

HOUR = dt.timedelta(hours=1)
by_total = tuple(kind for kind in KINDS if kind != "percentage")

hourly = st.dictionaries(st.tuples(st.integers(0, 71), st.sampled_from("ab")), st.integers(1, 200), max_size=6)
"""Quantities by hour of the first three days and group."""


def parts(quantities: Mapping[tuple[int, str], int]) -> tuple[UsagePart, ...]:
    return tuple(
        UsagePart(NOVEMBER.start + hour * HOUR, quantity, 1, quantity, f'{{"group":"{name}"}}')
        for (hour, name), quantity in quantities.items()
    )


def found(charge: Mapping[str, Any], use: CategoryUsage, account: Account | None = None) -> Rating:
    prices_ = book({"it": {"category": "error", **charge}})
    return rate(prices_, contracts(), OrgUsage(1, {"error": use}), NOVEMBER, account or Account())


def total(rating: Rating) -> tuple[Fraction, Fraction]:
    """The sum of the unrounded and of the rounded lines."""
    assert rating.failures == ()
    assert rating.statement is not None
    assert rating.statement.total == sum(line.amount for line in rating.statement.lines)
    lines = rating.statement.lines
    return sum((Fraction(line.exact) for line in lines), Fraction(0)), Fraction(rating.statement.total)


@st.composite
def commitments(draw: st.DrawFn) -> dict[str, Any] | None:
    kind = draw(st.sampled_from(["none", "quantity", "amount"]))
    if kind == "none":
        return None
    factor = draw(st.sampled_from(["1", "1.5", "2"]))
    return {kind: draw(st.integers(0, 300)), "overage_factor": factor, "true_up": draw(st.booleans())}


@st.composite
def charges(draw: st.DrawFn) -> dict[str, Any]:
    each = draw(st.sampled_from([None, "hour", "day", "group", ["day", "group"]]))
    slot = {"from_hour": 20, "to_hour": 7, "price": draw(models(by_total))}
    return {
        "price": draw(models(by_total)),
        "included": draw(st.none() | st.integers(0, 50)),
        "commitment": draw(commitments()),
        "each": each,
        "schedule": draw(st.sampled_from([[], [slot]])),
    }


def oracle(charge: Mapping[str, Any], quantities: Mapping[tuple[int, str], int]) -> Fraction:
    """What a charge costs, part by part."""
    each = charge["each"] or []
    sums: dict[tuple[object, ...], int] = {}
    if not each:
        sums = {(night,): 0 for night in ((False, True) if charge["schedule"] else (False,))}
    for (hour, name), quantity in quantities.items():
        night = bool(charge["schedule"]) and (hour % 24 >= 20 or hour % 24 < 7)
        day = hour if "hour" in each else hour // 24 if "day" in each else 0
        key = (night, day, name if "group" in each else "") if each else (night,)
        sums[key] = sums.get(key, 0) + quantity
    return sum((_part(charge, key[0] is True, quantity) for key, quantity in sums.items()), Fraction(0))


def _part(charge: Mapping[str, Any], night: bool, quantity: int) -> Fraction:
    price, commitment = charge["schedule"][0]["price"] if night else charge["price"], charge["commitment"]
    left = Fraction(max(0, quantity - (charge["included"] or 0)))
    owed = costs(price, left)
    if commitment is None:
        return owed
    if "amount" in commitment:
        within, promised = min(owed, Fraction(commitment["amount"])), max(owed, Fraction(commitment["amount"]))
    else:
        committed = Fraction(commitment["quantity"])
        within = costs(price, min(left, committed))
        promised = costs(price, max(left, committed))
    more = (owed - within) * (Fraction(commitment["overage_factor"]) - 1)
    return owed + more + (max(Fraction(0), promised - owed) if commitment["true_up"] else 0)


@given(charges(), hourly)
def test_parts_slots_and_commitments_agree_with_fractions(
    charge: dict[str, Any], quantities: dict[tuple[int, str], int]
) -> None:
    exact, rounded = total(found(charge, of_parts(parts(quantities))))
    assert exact == oracle(charge, quantities)
    assert rounded == cents(exact)


@given(charges(), hourly, st.randoms(use_true_random=False), st.integers(1, 28))
def test_neither_order_nor_cutting_nor_the_decimal_context_says_what_is_owed(
    charge: dict[str, Any], quantities: dict[tuple[int, str], int], shuffle: random.Random, digits: int
) -> None:
    whole = list(parts(quantities))
    cut = []
    for part in whole:
        some = shuffle.randint(0, int(part.quantity))
        cut.append(part._replace(quantity=some))
        cut.append(part._replace(start=part.start + dt.timedelta(minutes=30), quantity=int(part.quantity) - some))
    shuffle.shuffle(cut)
    expected = found(charge, of_parts(whole)).statement
    with decimal.localcontext(decimal.Context(prec=digits, traps=[])):
        again = found(charge, of_parts(cut)).statement
    assert expected is not None
    assert again is not None
    assert [(line.kind, line.steps, line.exact, line.amount) for line in again.lines] == [
        (line.kind, line.steps, line.exact, line.amount) for line in expected.lines
    ]


@given(
    st.lists(st.decimals(0, 1000, places=2).map(abs), max_size=30),
    percents,
    st.none() | st.decimals(0, 5, places=2).map(abs),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 1500),
    st.none() | st.integers(0, 10),
    st.none() | st.integers(10, 50),
)
def test_percentages_of_events_agree_with_fractions(
    values: list[Decimal],
    percent: Decimal,
    fixed: Decimal | None,
    free_events: int | None,
    free_total: int | None,
    least: int | None,
    most: int | None,
) -> None:
    told = {
        "fixed_per_event": fixed,
        "free_events": free_events,
        "free_total": free_total,
        "per_event_minimum": least,
        "per_event_maximum": most,
    }
    price = {
        "model": "percentage",
        "percent": percent,
        **{key: value for key, value in told.items() if value is not None},
    }
    use = of_events(KeptEvent(NOVEMBER.start + number * HOUR, value) for number, value in enumerate(values))
    exact, _ = total(found({"price": price}, use))
    expected, before, free = Fraction(0), Fraction(0), free_events is not None or free_total is not None
    for number, value in enumerate(map(Fraction, values), 1):
        left = value
        if free and free_events is not None and number > free_events:
            free = False
        if free and free_total is not None and before + value > free_total:
            free, left = False, before + value - free_total
        before += value
        if not free:
            owed = left * Fraction(percent) / 100 + Fraction(fixed or 0)
            owed = max(owed, Fraction(least)) if least is not None else owed
            expected += min(owed, Fraction(most)) if most is not None else owed
    assert exact == (expected if before else 0)


attributes = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("123"), max_size=3)


@given(
    st.lists(st.tuples(attributes, st.integers(0, 50)), max_size=8),
    st.lists(st.tuples(attributes, prices), max_size=5),
    prices,
)
def test_a_matrix_agrees_with_fractions(
    groups: list[tuple[dict[str, str], int]], rules: list[tuple[dict[str, str], Decimal]], default: Decimal
) -> None:
    unique = {tuple(sorted(match.items())): (match, price) for match, price in rules}.values()
    price = {
        "model": "matrix",
        "dimensions": ["x", "y", "z"],
        "rules": [{"match": match, "unit_amount": unit} for match, unit in unique],
        "default": default,
    }
    expected = Fraction(0)
    for group, quantity in groups:
        fitting = [(match, unit) for match, unit in unique if match.items() <= group.items()]
        fitting.sort(key=lambda rule: (len(rule[0]), [name in rule[0] for name in "xyz"]))
        expected += quantity * Fraction(fitting[-1][1] if fitting else default)
    use = of_parts(
        UsagePart(NOVEMBER.start + number * HOUR, quantity, 1, quantity, _json(group))
        for number, (group, quantity) in enumerate(groups)
    )
    assert total(found({"price": price}, use))[0] == expected


def _json(group: Mapping[str, str]) -> str:
    return "{" + ",".join(f'"{name}":"{group[name]}"' for name in sorted(group)) + "}" if group else ""


@given(
    models(by_total),
    st.lists(st.integers(0, 200), min_size=1, max_size=6),
    st.none() | st.integers(0, 100),
)
def test_cumulative_periods_sum_to_the_whole(price: dict[str, Any], months: list[int], included: int | None) -> None:
    charge = {"cumulative": True, "included": included, "price": price}
    before, posted = Account(), Fraction(0)
    for month in months:
        used = before.used_before.get("it", Decimal(0)) + month
        posted += total(found(charge, CategoryUsage(month), before))[0]
        before = Account(used_before={"it": used})
    assert posted == costs(price, Fraction(max(0, sum(months) - (included or 0))))


@given(
    ladders(),
    st.lists(st.tuples(st.integers(1, 30), st.integers(-20, 60)), max_size=6, unique_by=lambda event: event[0]),
    st.integers(0, 30),
    st.sampled_from(["graduated", "volume"]),
)
def test_prorated_levels_agree_with_fractions(
    tiers: list[dict[str, Any]], events: Sequence[tuple[int, int]], level: int, kind: str
) -> None:
    ordered = [(1, level), *sorted(events)]
    use = of_events(KeptEvent(NOVEMBER.start + (day - 1) * 24 * HOUR, quantity) for day, quantity in ordered[1:])
    charge = {"prorated": True, "price": {"model": kind, "tiers": tiers}}
    exact, rounded = total(found(charge, use, Account(levels={"error": Decimal(level)})))
    counted = sum((Fraction(quantity * (31 - day), 30) for day, quantity in ordered), Fraction(0))
    full = sum(quantity for _, quantity in ordered)
    if counted < 0:
        assert exact == Fraction(tiers[0]["flat_amount"])  # counts as nothing
        return
    if full < 0:
        return  # a level below zero that was paid for before it fell: no ladder says what that is
    if kind == "volume":
        tier = _tier(tiers, full)
        expected = counted * Fraction(tier["unit_amount"]) + Fraction(tier["flat_amount"])
    else:
        expected = _climbed(tiers, ordered)
    assert abs(exact - expected) < Fraction(1, 10**15)
    assert rounded == cents(expected)


def _climbed(tiers: Sequence[Mapping[str, Any]], ordered: Sequence[tuple[int, int]]) -> Fraction:
    """Every unit at its own place in the ladder, from its day on, and the fee of every tier that was entered."""
    expected, now, highest = Fraction(0), 0, 0
    for day, quantity in ordered:
        for place in range(min(now, now + quantity) + 1, max(now, now + quantity) + 1):
            if place > 0:
                unit = Fraction(_tier(tiers, place)["unit_amount"]) * Fraction(31 - day, 30)
                expected += unit if quantity > 0 else -unit
        now += quantity
        highest = max(highest, now)
    low = 0
    for tier in tiers:
        if low == 0 or highest > low:
            expected += Fraction(tier["flat_amount"])
        low = tier["up_to"] or 0
    return expected


def _tier(tiers: Sequence[Mapping[str, Any]], place: int) -> Mapping[str, Any]:
    return next(tier for tier in tiers if tier["up_to"] is None or place <= tier["up_to"])


@given(models(), st.integers(0, 2**40))
def test_two_currencies_agree_at_a_rate_of_one(price: dict[str, Any], quantity: int) -> None:
    charge = {"category": "error", "price": price}
    usage = OrgUsage(1, {"error": CategoryUsage(quantity)})
    dollars = rated(book({"it": charge}), usage).total
    assert rated(book({"it": charge}, currency="EUR"), usage, contracts(contract(currency="EUR"))).total == dollars
    unit = {**charge, "custom_unit": {"unit": "credit", "rate": 1}}
    assert rated(book({"it": unit}), usage).total == dollars
    half = {**charge, "custom_unit": {"unit": "credit", "rate": "0.5"}}
    [line] = rated(book({"it": half}), usage).lines or [None]
    assert line is None or Fraction(line.exact) * 2 == Fraction(rated(book({"it": charge}), usage).lines[0].exact)
