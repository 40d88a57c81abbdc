"""Money: one rounding, exact sums, currencies that do not mix."""

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import A, Amount, CurrencyMismatch, RoundingMode, exact, round_to

MODES: list[RoundingMode] = ["half_away", "half_even", "up", "down"]
numbers = st.decimals(-(10**20), 10**20, allow_nan=False, places=6)


@given(numbers, st.sampled_from(["0.01", "1", "0.05", "1000"]), st.sampled_from(MODES))
def test_rounding_gives_the_nearest_step_as_the_mode_says(value: Decimal, to: str, mode: RoundingMode) -> None:
    step = Decimal(to)
    found = Fraction(round_to(value, step, mode)) / Fraction(step)
    wanted = Fraction(value) / Fraction(step)
    assert found.denominator == 1
    off = abs(found) - abs(wanted)
    if mode == "up":
        assert 0 <= off < 1
    elif mode == "down":
        assert -1 < off <= 0
    else:
        assert abs(off) <= Fraction(1, 2)
        if abs(off) == Fraction(1, 2):
            assert off > 0 if mode == "half_away" else found.numerator % 2 == 0
    assert found * wanted >= 0


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [("1.235 USD", "1.24 USD"), ("-1.235 USD", "-1.24 USD"), ("0.5 JPY", "1 JPY"), ("0.0005 KWD", "0.001 KWD")],
)
def test_amounts_round_to_their_currency_s_minor_unit(amount: str, rounded: str) -> None:
    assert A(amount).rounded() == A(rounded)


def test_a_small_negative_amount_rounds_to_a_plain_zero() -> None:
    assert str(A("-0.004 USD").rounded()) == "0.00 USD"


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatch):
        A("1 USD") + A("1 EUR")
    with pytest.raises(CurrencyMismatch):
        assert A("1 USD") < A("1 EUR")


def test_what_would_lose_a_digit_raises() -> None:
    with exact(), pytest.raises(decimal.Inexact):
        Decimal(1) / 3
    with exact(), pytest.raises(decimal.FloatOperation):
        assert Decimal(1) < 1.5
    with pytest.raises(TypeError):
        Amount(1.5, "USD")  # type: ignore[arg-type]


@given(st.lists(numbers), st.integers(1, 5))
def test_sums_are_exact_in_any_context(values: list[Decimal], digits: int) -> None:
    with decimal.localcontext(decimal.Context(prec=digits)):
        total = A("0 USD")
        for value in values:
            total += Amount(value, "USD")
    assert Fraction(total.number) == sum(map(Fraction, values))
