"""What holds of every price, judged by plain fractions."""

import decimal
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.late import late_adjustment, posted_for
from rater.rate import rate
from schemas.money import RoundingMode, round_to
from schemas.prices import Conversion
from schemas.statements import CategoryUsage, Line, OrgUsage
from tests.rater.books import NOVEMBER, book, contracts, rated, used
from tests.rater.prices import cents, costs, ladders, models

quantities = st.integers(0, 2**56) | st.integers(0, 300)  # × 1000 stays below what a column holds


@st.composite
def charges(draw: st.DrawFn) -> dict[str, Any]:
    included = draw(st.none() | st.integers(0, 200))
    return {"category": "error", "price": draw(models()), **({} if included is None else {"included": included})}


def oracle(charge: dict[str, Any], quantity: int) -> Fraction:
    """What a charge costs."""
    return costs(charge["price"], Fraction(max(0, quantity - charge.get("included", 0))))


def cost(charge: dict[str, Any], quantity: int | Decimal) -> Decimal:
    lines = rated(book({"it": charge}), used(error=quantity)).lines
    return lines[0].exact if lines else Decimal(0)


@given(charges(), quantities)
def test_every_model_agrees_with_fractions(charge: dict[str, Any], quantity: int) -> None:
    statement = rated(book({"it": charge}), used(error=quantity))
    exact = oracle(charge, quantity)
    [line] = statement.lines
    assert Fraction(line.exact) == exact
    assert Fraction(line.amount) == cents(exact) == Fraction(statement.total)


@given(ladders(fees=False), st.integers(0, 400), st.integers(0, 400))
def test_graduated_is_monotone_and_continuous(tiers: list[dict[str, Any]], one: int, other: int) -> None:
    charge = {"category": "error", "price": {"model": "graduated", "tiers": tiers}}
    low, high = sorted((one, other))
    difference = cost(charge, high) - cost(charge, low)
    dearest = max(tier["unit_amount"] for tier in tiers)
    cheapest = min(tier["unit_amount"] for tier in tiers)
    assert cheapest * (high - low) <= difference <= dearest * (high - low)
    step = Decimal("0.000001")
    assert 0 <= cost(charge, low + step) - cost(charge, low) <= dearest * step


@given(charges(), st.lists(st.integers(0, 200), min_size=1, max_size=6))
def test_parts_rated_cumulatively_sum_to_the_whole(charge: dict[str, Any], parts: list[int]) -> None:
    prices = book({"it": charge})
    sealed, adjustments, total = rated(prices, used(error=parts[0])), list[Line](), parts[0]
    for part in parts[1:]:
        total += part
        adjustments += late_adjustment(rated(prices, used(error=total)), posted_for(sealed, adjustments))
    posted = sum((Fraction(line.amount) for line in (*sealed.lines, *adjustments)), Fraction(0))
    assert posted == cents(oracle(charge, sum(parts)))


several = st.dictionaries(st.sampled_from(["error", "span", "replay", "log_byte"]), quantities)


@given(several, st.randoms(use_true_random=False), st.data())
def test_a_total_is_the_sum_of_its_lines_in_any_order(
    quantities: dict[str, int], shuffle: random.Random, data: st.DataObject
) -> None:
    all_charges = {name: {**data.draw(charges()), "category": name} for name in quantities}
    prices = book(
        {
            **all_charges,
            "base": {"price": {"model": "flat", "amount": data.draw(st.decimals(0, 99, places=3).map(abs))}},
        }
    )
    statement = rated(prices, used(**quantities))
    assert statement.total == sum(line.amount for line in statement.lines)
    assert all(line.amount == round_to(line.exact, Decimal("0.01")) for line in statement.lines)
    names = list(quantities)
    shuffle.shuffle(names)
    assert rated(prices, used(**{name: quantities[name] for name in names})) == statement


@given(charges(), quantities)
def test_a_category_that_was_not_used_changes_no_other_line(charge: dict[str, Any], quantity: int) -> None:
    prices = book({"it": charge, "free": {"category": "span", "price": {"model": "per_unit", "unit_amount": 1}}})
    without, beside = rated(prices, used(error=quantity)), rated(prices, used(error=quantity, span=0))
    assert beside.lines[:1] == without.lines
    assert beside.total == without.total


@given(
    charges(),
    quantities,
    st.integers(1, 28),
    st.sampled_from([decimal.ROUND_UP, decimal.ROUND_DOWN, decimal.ROUND_CEILING]),
)
def test_no_result_depends_on_the_ambient_decimal_context(
    charge: dict[str, Any], quantity: int, digits: int, mode: str
) -> None:
    prices, agreed = book({"it": charge}), contracts()
    expected = rate(prices, agreed, used(error=quantity), NOVEMBER)
    explained = [line.explanation() for line in expected.statement.lines] if expected.statement else []
    with decimal.localcontext(decimal.Context(prec=digits, rounding=mode, traps=[])):
        found = rate(prices, agreed, used(error=quantity), NOVEMBER)
        told = [line.explanation() for line in found.statement.lines] if found.statement else []
    assert found == expected
    assert told == explained


@pytest.mark.parametrize("quantity", [1.0, 0.1, float("nan"), None])
def test_a_float_is_never_rated(quantity: Any) -> None:
    usage = OrgUsage(1, {"error": CategoryUsage(quantity)})
    with pytest.raises((TypeError, decimal.FloatOperation)):
        rate(
            book({"it": {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}}),
            contracts(),
            usage,
            NOVEMBER,
        )


@given(
    st.integers(0, 2**127) | st.integers(0, 10_000),
    st.integers(1, 10**9),
    st.sampled_from(["half_away", "half_even", "up", "down"]),
    st.sampled_from(["1", "0.01", "0.000001", "10", "0.05"]),
)
def test_a_conversion_is_rounded_once_from_the_exact_quotient(
    quantity: int, divisor: int, mode: RoundingMode, to: str
) -> None:
    charge = {
        "category": "error",
        "convert": {"divide": divisor, "round": {"mode": mode, "to": to}},
        "price": {"model": "per_unit", "unit_amount": 0},
    }
    Conversion.model_validate(charge["convert"])
    rating = rate(book({"it": charge}), contracts(), used(error=quantity), NOVEMBER)
    steps = Fraction(quantity) / divisor / Fraction(to)
    whole, rest = divmod(steps, 1)
    up = rest > 0 and (
        mode == "up" or rest > Fraction(1, 2) or (rest == Fraction(1, 2) and (mode == "half_away" or whole % 2 == 1))
    )
    expected = (whole + (1 if mode != "down" and up else 0)) * Fraction(to)
    if expected >= 10**20:
        assert [failure.reason for failure in rating.failures] == ["amount_too_large"]
    else:
        assert rating.statement is not None
        assert Fraction(rating.statement.lines[0].quantity) == expected
