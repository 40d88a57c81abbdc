"""Spreading an amount over lines: parts in whole steps that sum to the amount, each within one step of its exact share.

The largest remainder: every share is cut to whole steps, and the steps that are left over go to the shares that lost
most, to the earlier line where two lost the same. Call it inside `exact()`.
"""

from collections.abc import Mapping
from decimal import Decimal

from schemas.money import RoundingMode, steps_in

ZERO = Decimal(0)


def pro_rata(amount: Decimal, weights: Mapping[str, Decimal], step: Decimal) -> dict[str, Decimal]:
    """Return the part of `amount` (a multiple of `step`) by key, in proportion to the weights.

    Weights may be negative as long as their sum is not zero; a weight of zero takes nothing.
    """
    total = sum(weights.values(), ZERO)
    assert total, "weights that sum to nothing have no proportion"
    sign = 1 if total > 0 else -1
    whole = abs(total) * step
    counts: dict[str, Decimal] = {}
    rests: dict[str, Decimal] = {}
    for key, weight in weights.items():
        count, rest = divmod(amount * weight * sign, whole)  # towards zero; a floor is needed
        if rest < 0:
            count, rest = count - 1, rest + whole
        counts[key], rests[key] = count, rest
    missing = steps_in(amount, step, "down") - sum(counts.values(), ZERO)
    for key in sorted(rests, key=lambda key: -rests[key])[: int(missing)]:
        counts[key] += 1
    return {key: count * step + 0 for key, count in counts.items() if count}


def in_order(amount: Decimal, room: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the part of `amount` (≥ 0) by key, each key filled up to its room before the next takes any.

    A key without room (zero or less) takes nothing; what no key has room for is left out of the answer.
    """
    parts: dict[str, Decimal] = {}
    for key, most in room.items():
        part = min(amount, most)
        if part > 0:
            parts[key] = part
            amount -= part
    return parts


def quotient(numerator: Decimal, denominator: Decimal | int, step: Decimal, mode: RoundingMode) -> Decimal:
    """Return numerator ÷ denominator (> 0) as a multiple of `step`, rounded once, from its exact value."""
    return steps_in(numerator, step * denominator, mode) * step
