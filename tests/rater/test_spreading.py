"""Amounts spread over lines: parts in whole steps that sum exactly, each within one step of its exact share."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from rater.spreading import in_order, pro_rata, quotient
from schemas.money import MINOR_STEPS, RoundingMode, exact

steps = st.sampled_from([Decimal("0.01"), Decimal(1), Decimal("0.001"), Decimal("1e-18")])
weights = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.decimals(-10_000, 10_000, places=4), min_size=1)


@given(st.integers(-(10**6), 10**6), weights.filter(lambda found: sum(found.values())), steps)
def test_parts_sum_exactly_and_are_within_one_step_of_the_exact_share(
    count: int, by_key: dict[str, Decimal], step: Decimal
) -> None:
    with exact():
        amount = count * step
        parts = pro_rata(amount, by_key, step)
    assert sum(map(Fraction, parts.values())) == Fraction(amount)
    total = sum(map(Fraction, by_key.values()))
    for key, weight in by_key.items():
        share = Fraction(amount) * Fraction(weight) / total
        part = Fraction(parts.get(key, Decimal(0)))
        assert abs(part - share) < Fraction(step)
        assert part % Fraction(step) == 0
        assert part == share or share % Fraction(step)  # a share that is whole is met


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.data())
@example([0, 1, 1, 1], None)
def test_no_part_is_more_than_there_is_to_take_it_off(nets: list[int], data: st.DataObject | None) -> None:
    """What is taken off lines, at most their sum, leaves none of them below zero."""
    if not sum(nets):
        return
    cents = sum(nets) if data is None else data.draw(st.integers(0, sum(nets)))
    step = MINOR_STEPS["USD"]
    with exact():
        by_key = {str(place): net * step for place, net in enumerate(nets)}
        parts = pro_rata(cents * step, by_key, step)
    assert all(parts.get(key, Decimal(0)) <= net for key, net in by_key.items())


def test_what_is_left_over_goes_to_the_largest_remainders_and_then_to_the_earlier() -> None:
    with exact():
        assert pro_rata(Decimal("0.05"), {"a": Decimal(1), "b": Decimal(1), "c": Decimal(1)}, Decimal("0.01")) == {
            "a": Decimal("0.02"),
            "b": Decimal("0.02"),
            "c": Decimal("0.01"),
        }
        assert pro_rata(Decimal(10), {"a": Decimal(1), "b": Decimal(9), "c": Decimal(7)}, Decimal(1)) == {
            "a": Decimal(1),  # 0.588…, the largest that was cut
            "b": Decimal(5),  # 5.294…
            "c": Decimal(4),  # 4.117…
        }


@given(st.integers(0, 3000), st.dictionaries(st.text("abc", min_size=1), st.integers(-500, 500), max_size=6))
def test_in_order_fills_one_before_the_next(cents: int, rooms: dict[str, int]) -> None:
    with exact():
        parts = in_order(Decimal(cents), {key: Decimal(room) for key, room in rooms.items()})
    left = cents
    for key, room in rooms.items():
        taken = min(left, max(room, 0))
        assert parts.get(key, Decimal(0)) == taken
        left -= taken


@given(
    st.decimals(-(10**9), 10**9, places=6),
    st.integers(1, 10**9),
    steps,
    st.sampled_from(["half_away", "half_even", "up", "down"]),
)
def test_a_quotient_is_rounded_once(numerator: Decimal, denominator: int, step: Decimal, mode: RoundingMode) -> None:
    with exact():
        found = quotient(numerator, denominator, step, mode)
    true = Fraction(numerator) / denominator
    off = abs(Fraction(found) - true)
    assert off <= Fraction(step) / 2 if mode.startswith("half") else off < Fraction(step)
    assert mode != "down" or abs(Fraction(found)) <= abs(true)
    assert mode != "up" or abs(Fraction(found)) >= abs(true)
