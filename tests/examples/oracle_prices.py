"""What a quantity costs at the price of an example, in fractions, by loops: one part of the oracle."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

F = Fraction
Words = Mapping[str, Any]
ZERO: Final = F(0)


def rounded(value: F, step: F, mode: str = "half_up") -> F:
    """Return the multiple of a step; halves away from zero, or to even."""
    count = abs(value) / step
    whole, rest = floor(count), count - floor(count)
    up = rest > F(1, 2) or (rest == F(1, 2) and (mode != "half_even" or whole % 2 == 1))
    if mode in ("up", "ceil", "down", "floor"):
        up = mode in ("up", "ceil") and rest > 0
    return (whole + up) * step * (1 if value >= 0 else -1)


def priced(d: Words, q: F) -> F:
    """Return what a quantity costs at a definition's price."""
    if "block_size" in d:
        q = F(ceil(q / F(d["block_size"])))
    if "quantity_round" in d:
        mode, step = d["quantity_round"].split("@")
        q = rounded(q, F(step), mode)
    q = max(q - F(d.get("included", 0)) - F(d.get("usage_discount", 0)), ZERO) if q > 0 else ZERO
    return MODELS[d.get("model") or _guess(d)](d, q) * F(d.get("conversion_rate", 1))


def _guess(d: Words) -> str:
    return "package" if "package_size" in d else "per_unit" if "unit_amount" in d else "graduated"


def _tiers(d: Words) -> list[tuple[F, F | None, F, F]]:
    found, low = [], ZERO
    for place, tier in enumerate(d["tiers"]):
        high = None if place == len(d["tiers"]) - 1 else F(tier["up_to"])
        unit = F(tier["percent"]) / 100 if "percent" in tier else F(tier.get("unit_amount", 0))
        found.append((low, high, unit, F(tier.get("flat_amount", 0))))
        low = high or low
    return found


def _graduated(d: Words, q: F) -> F:
    total = ZERO
    for low, high, unit, flat in _tiers(d):
        if q > low or low == 0:
            total += ((q if high is None else min(q, high)) - low) * unit + flat
    return total


def _reached(d: Words, q: F) -> tuple[F, F]:
    return next((unit, flat) for _, high, unit, flat in _tiers(d) if high is None or q <= high)


def _volume(d: Words, q: F) -> F:
    return q * _reached(d, q)[0] + _reached(d, q)[1]


def _package(d: Words, q: F) -> F:
    count = q / F(d["package_size"])
    kind = d.get("round", "up")
    return (count if kind == "none" else F(ceil(count) if kind == "up" else floor(count))) * F(d["package_amount"])


def _threshold(d: Words, q: F) -> F:
    factor = F(1)
    for step in d["thresholds"]:
        if q >= F(step["from"]):
            factor = F(step["multiplier"])
    return q * F(d["unit_amount"]) * factor


MODELS: Final[dict[str, Callable[[Words, F], F]]] = {
    "per_unit": lambda d, q: q * F(d["unit_amount"]),
    "graduated": _graduated,
    "graduated_percentage": _graduated,
    "volume": _volume,
    "stairstep": lambda d, q: _reached(d, q)[1],
    "package": _package,
    "threshold_multiplier": _threshold,
}
