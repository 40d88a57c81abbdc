"""Budgets: how much of the usage is billed, first come first served, judged by unit-by-unit arithmetic in fractions."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rater.allotment import Allotment, Draw, Taker, allot
from rater.budget import Budget
from schemas.money import exact, round_to
from tests.rater.sheets import adjusted, sheet, told

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
RANK = {"error": 1, "transaction": 2, "attachment": 4, "replay": 7}
CATEGORIES = {"errors": ("error", "transaction"), "files": ("attachment",), "replays": ("replay",)}
CENT = Decimal("0.01")


def window(number: int) -> dt.datetime:
    return START + dt.timedelta(minutes=number)


def priced(unit: str, included: int = 0, fee: str = "0") -> Callable[[Decimal], Decimal]:
    """Units past the included ones at one price each, and a fee that is owed anyway."""

    def cost(counted: Decimal) -> Decimal:
        return max(counted - included, Decimal(0)) * Decimal(unit) + Decimal(fee)

    return cost


def taker(charge: str, unit: str, included: int = 0, fee: str = "0") -> Taker:
    over = priced("1", included)
    return Taker(charge, CATEGORIES[charge], priced(unit, included, fee), over)


def owed(one: Taker, counted: int) -> Decimal:
    """What a charge of a single price costs."""
    found = one.cost(Decimal(counted))
    assert isinstance(found, Decimal)
    return found


def budget(**fields: Any) -> Budget:
    return Budget.model_validate(fields)


takers = st.fixed_dictionaries(
    {
        charge: st.tuples(
            st.decimals(0, 3, places=3).map(lambda price: f"{abs(price):f}"),
            st.integers(0, 30),
            st.sampled_from(["0", "0.005", "7"]),
        )
        for charge in CATEGORIES
    }
).map(lambda found: [taker(charge, *terms) for charge, terms in found.items()])
draws = st.lists(
    st.builds(Draw, st.integers(0, 6).map(window), st.sampled_from(list(RANK)), st.integers(0, 25)), max_size=25
)


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    pool = draw(st.none() | st.decimals(0, 60, places=2).map(abs))
    charge = st.sampled_from(list(CATEGORIES))
    own = draw(st.dictionaries(charge, st.decimals(0, 30, places=2).map(abs), max_size=2))
    free = [id_ for id_ in CATEGORIES if id_ not in own]
    some: st.SearchStrategy[list[str]] = st.lists(st.sampled_from(free), min_size=1, unique=True)
    shared = draw(some) if draw(st.booleans()) else None
    reserved = None
    if draw(st.booleans()):
        reserved = {
            "amount": draw(st.decimals(0, 20, places=2).map(abs)),
            "charges": draw(some),
        }
    return budget(
        amount=pool,
        charges=shared,
        by_charge=own,
        overage_units=draw(st.dictionaries(charge, st.integers(0, 60), max_size=2)),
        reserved=reserved,
    )


few = st.lists(
    st.builds(Draw, st.integers(0, 6).map(window), st.sampled_from(list(RANK)), st.integers(0, 25)),
    max_size=12,
)


def oracle(rule: Budget, found: Sequence[Taker], used: Sequence[Draw]) -> dict[str, int]:
    """Bill unit by unit: each window's totals, by category id; a charge whose unit does not fit is refused for good."""
    by_category = {category: one for one in found for category in one.categories}
    totals: Counter[tuple[dt.datetime, int, str]] = Counter()
    for draw in used:
        totals[draw.start, RANK[draw.category], draw.category] += int(draw.quantity)
    counted = dict.fromkeys((one.charge for one in found), 0)
    billed: Counter[str] = Counter()
    refused: set[str] = set()
    for (_, _, category), quantity in sorted(totals.items()):
        charge = by_category[category].charge
        for _ in range(quantity):
            counted[charge] += 1
            if charge in refused or not _pays(rule, found, counted):
                counted[charge] -= 1
                refused.add(charge)
                break
            billed[category] += 1
    return dict(billed)


def _pays(rule: Budget, found: Sequence[Taker], counted: dict[str, int]) -> bool:
    for rounded in (False, True):
        costs = {}
        for one in found:
            with exact():
                now, base = owed(one, counted[one.charge]), owed(one, 0)
                costs[one.charge] = Fraction(round_to(now, CENT) - round_to(base, CENT) if rounded else now - base)
                over = one.over(Decimal(counted[one.charge]))
            if over > rule.overage_units.get(one.charge, 10**9):
                return False
        if any(costs[charge] > Fraction(own) for charge, own in rule.by_charge.items()):
            return False
        reserved = set(rule.reserved.charges) if rule.reserved else set()
        shared = reserved | set(rule.charges or costs) - set(rule.by_charge)
        advance = sum((costs[charge] for charge in reserved), Fraction(0))
        if rule.reserved:
            advance = min(advance, Fraction(rule.reserved.amount))
        if rule.amount is not None and sum(costs[charge] for charge in shared) - advance > Fraction(rule.amount):
            return False
    return True


@given(budgets(), takers, few)
def test_what_is_billed_agrees_with_a_count_unit_by_unit(rule: Budget, found: list[Taker], used: list[Draw]) -> None:
    answer = allot(rule, found, used, rank=RANK)
    assert {category: int(units) for category, units in answer.billed.items() if units} == oracle(rule, found, used)


@given(budgets(), takers, draws)
def test_billed_and_refused_are_all_that_was_used_and_no_budget_is_passed(
    rule: Budget, found: list[Taker], used: list[Draw]
) -> None:
    answer = allot(rule, found, used, rank=RANK)
    total: Counter[str] = Counter()
    for draw in used:
        total[draw.category] += int(draw.quantity)
    for category, quantity in total.items():
        billed, refused = answer.billed.get(category, Decimal(0)), answer.refused.get(category, Decimal(0))
        assert billed + refused == quantity
        assert billed >= 0
        assert refused >= 0
    shared = [one.charge for one in found if one.charge not in rule.by_charge]
    if rule.amount is not None and rule.charges is None:
        assert sum(answer.spent[charge] for charge in shared) - answer.reserved_spent <= rule.amount
        assert answer.left is not None
        assert answer.left >= 0
    assert all(answer.spent[charge] <= own for charge, own in rule.by_charge.items())
    assert all(left >= 0 for left in answer.units_left.values())
    refused_charges = {one.charge for one in found for category in one.categories if answer.refused.get(category)}
    assert answer.spent_at.keys() == refused_charges


@given(budgets(), takers, draws, st.randoms(use_true_random=False), st.data())
def test_neither_cuts_nor_order_of_the_rows_matter(
    rule: Budget, found: list[Taker], used: list[Draw], shuffle: random.Random, data: st.DataObject
) -> None:
    cut: list[Draw] = []
    for draw in used:
        part = data.draw(st.integers(0, int(draw.quantity)))
        cut += [draw._replace(quantity=part), draw._replace(quantity=draw.quantity - part)]
    shuffle.shuffle(cut)
    takers_mixed = list(found)
    shuffle.shuffle(takers_mixed)
    assert allot(rule, takers_mixed, cut, rank=RANK) == allot(rule, found, used, rank=RANK)


@given(takers, draws, st.decimals(0, 60, places=2).map(abs), st.decimals(0, 60, places=2).map(abs))
def test_a_larger_pool_bills_no_less_money(found: list[Taker], used: list[Draw], one: Decimal, other: Decimal) -> None:
    """Up to the price of a unit, which the larger pool may spend on one that comes earlier."""
    low, high = sorted((one, other))
    spent = []
    for amount in (low, high):
        answer = allot(budget(amount=amount), found, used, rank=RANK)
        with exact():
            spent.append(sum(answer.spent.values()))
    with exact():
        dearest = max((owed(one, 100) - owed(one, 99) for one in found), default=Decimal(0))
        assert spent[0] <= spent[1] + 3 * dearest + CENT


def _simple(rule: Budget, *used: tuple[int, str, int], **terms: tuple[str, int]) -> Allotment:
    found = [taker(charge, *given_) for charge, given_ in terms.items()]
    return allot(rule, found, [Draw(window(at), category, units) for at, category, units in used], rank=RANK)


def test_reserved_comes_first_and_the_part_that_fits_is_whole_units() -> None:
    answer = _simple(budget(amount=10), (0, "error", 60), (1, "error", 100), errors=("0.3", 50))
    assert answer.billed == {"error": 50 + 33}  # 33 × 0.30 = 9.90
    assert answer.refused == {"error": 77}
    assert answer.left == Decimal("0.10")
    assert answer.spent_at == {"errors": window(1)}


def test_within_a_window_the_lower_category_id_comes_first() -> None:
    terms = {"errors": ("1", 0), "files": ("1", 0)}
    used = [(0, "attachment", 5), (0, "transaction", 5), (0, "error", 5)]
    answer = _simple(budget(amount=8), *used, **terms)
    assert answer.billed == {"error": 5, "transaction": 3, "attachment": 0}
    assert answer.refused == {"transaction": 2, "attachment": 5}
    later = [(int(category != "attachment"), category, units) for _, category, units in used]
    answer = _simple(budget(amount=8), *later, **terms)
    assert answer.billed == {"attachment": 5, "error": 3, "transaction": 0}


def test_a_cheaper_charge_goes_on_after_a_dearer_one_is_refused() -> None:
    answer = _simple(
        budget(amount=1), (0, "replay", 2), (1, "error", 10), (2, "replay", 1), replays=("0.7", 0), errors=("0.05", 0)
    )
    assert answer.billed == {"replay": 1, "error": 6}
    assert answer.refused == {"replay": 2, "error": 4}


def test_categories_of_one_charge_share_its_reserved_units() -> None:
    answer = _simple(budget(amount=0), (0, "error", 6), (1, "transaction", 6), errors=("1", 10))
    assert answer.billed == {"error": 6, "transaction": 4}


def test_rounded_lines_do_not_pass_the_pool_either() -> None:
    """2.495 and 2.505 are 5, but 2.50 and 2.51 are not."""
    answer = _simple(budget(amount=5), (0, "error", 1), (1, "replay", 1), errors=("2.495", 0), replays=("2.505", 0))
    assert answer.billed == {"error": 1, "replay": 0}
    assert answer.refused == {"replay": 1}


def test_nor_does_the_rounded_line_of_a_charge_pass_its_own_budget() -> None:
    """Five units are 0.005, which is what may be spent, and would be billed as 0.01."""
    answer = _simple(budget(by_charge={"errors": "0.005"}), (0, "error", 9), errors=("0.001", 0))
    assert answer.billed == {"error": 4}


def test_a_budget_of_its_own_draws_on_no_pool() -> None:
    rule = budget(amount=3, by_charge={"files": 2})
    answer = _simple(rule, (0, "attachment", 9), (0, "error", 9), errors=("1", 0), files=("1", 0))
    assert answer.billed == {"error": 3, "attachment": 2}
    assert answer.left == 0


def test_a_charge_outside_the_budget_is_never_refused() -> None:
    rule = budget(amount=3, charges=["errors"])
    answer = _simple(rule, (0, "attachment", 9), (0, "error", 9), errors=("1", 0), files=("1", 0))
    assert answer.billed == {"error": 3, "attachment": 9}
    assert rule.limited(["errors", "files"]) == ["errors"]


def test_the_reserved_pool_pays_first_whoever_comes() -> None:
    rule = budget(amount=2, reserved={"amount": 4, "charges": ["errors", "files"]})
    used = [(0, "error", 3), (1, "attachment", 3), (2, "replay", 1), (3, "error", 9)]
    answer = _simple(rule, *used, errors=("1", 0), files=("1", 0), replays=("0.5", 0))
    assert answer.billed == {"error": 3, "attachment": 2 + 1, "replay": 0}
    assert answer.reserved_spent == 4
    one = rule.grant()
    assert one is not None
    made = adjusted(sheet({"errors": 3, "files": 3, "replays": 0}, grants=(one,)), end=True)
    assert told(made)[3:] == ["credit -4"]
    assert budget(amount=2).grant() is None


def test_true_forward_refuses_nothing_and_bills_nothing_now() -> None:
    answer = _simple(budget(amount=0, past="true_forward"), (0, "error", 60), errors=("0.3", 50))
    assert answer.billed == {"error": 50}
    assert answer.refused == {}
    assert answer.forwarded == {"error": 10}


def test_a_limit_in_units_counts_those_past_the_included() -> None:
    rule = budget(overage_units={"errors": 5000})
    answer = _simple(rule, (0, "error", 4000), errors=("0", 1000))
    assert answer.units_left == {"errors": 2000}
    answer = _simple(rule, (0, "error", 4000), (1, "error", 4000), errors=("0", 1000))
    assert answer.billed == {"error": 6000}
    assert answer.refused == {"error": 2000}


def test_corrections_below_zero_come_before_everything() -> None:
    answer = _simple(budget(amount=3), (0, "error", 5), (5, "error", -2), errors=("1", 0))
    assert answer.billed == {"error": 3}
    assert answer.refused == {}
    answer = _simple(budget(amount=3), (0, "error", 5), (1, "error", 5), (5, "error", -2), errors=("1", 0))
    assert answer.billed == {"error": 3}
    assert answer.refused == {"error": 5}
    assert answer.spent_at == {"errors": window(1)}


def test_part_of_a_unit_is_billed_where_it_fits_and_never_cut() -> None:
    found = [taker("errors", "1")]
    used = [Draw(window(0), "error", Decimal("1.5")), Draw(window(1), "error", Decimal("1.7"))]
    assert allot(budget(amount=3), found, used).billed == {"error": Decimal("2.5")}
    assert allot(budget(amount="3.2"), found, used).billed == {"error": Decimal("3.2")}


def test_a_month_of_windows_is_allotted_in_a_blink() -> None:
    """A budget is asked about runs of windows, not about each: 43,200 windows of four categories."""
    asked = 0

    def cost(counted: Decimal) -> Decimal:
        nonlocal asked
        asked += 1
        return counted

    used = [Draw(window(at), category, 1) for at in range(43_200) for category in RANK]
    found = [Taker(charge, categories, cost) for charge, categories in CATEGORIES.items()]
    answer = allot(budget(amount=100_000), found, used, rank=RANK)
    assert sum(answer.billed.values()) == 100_000
    assert sum(answer.refused.values()) == 4 * 43_200 - 100_000
    assert asked < 1000


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"amount": -1}, "greater than or equal to 0"),
        ({"amount": 1, "charges": ["a"], "by_charge": {"a": 1}}, "a shares the pool and has a budget of its own"),
        ({"by_charge": {"a": 1}, "reserved": {"amount": 1, "charges": ["a"]}}, "a draws on the reserved pool"),
        ({"amount": 1, "past": "ignore"}, "'refuse' or 'true_forward'"),
        ({"amount": 1, "currency": "USD"}, "Extra inputs"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Budget.model_validate(fields)


def test_a_budget_says_which_charges_it_cannot_hold_for() -> None:
    rule = budget(amount=1, by_charge={"gone": 1})
    assert rule.problem({"errors": "per_unit"}) == "the budget names gone, which is no counted charge"
    told = budget(amount=1).problem({"errors": "volume", "files": "graduated"})
    assert told.endswith("(graduated, package, per_unit), unlike errors (volume)")
    assert budget(amount=1, charges=["files"]).problem({"errors": "volume", "files": "graduated"}) == ""
