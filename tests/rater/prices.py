"""Price models at random, and what they cost by plain fractions, sharing no line with the product."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

prices = st.decimals(0, 1000, places=12).map(abs)
percents = st.decimals(0, 100, places=4).map(abs)
bounds = st.lists(st.integers(1, 300), min_size=0, max_size=5, unique=True).map(sorted)

KINDS = (
    "per_unit",
    "graduated",
    "volume",
    "stairstep",
    "package",
    "graduated_percentage",
    "threshold_multiplier",
    "percentage",
)
"""The models that price a quantity alone."""


@st.composite
def ladders(draw: st.DrawFn, *, fees: bool = True, units: bool = True) -> list[dict[str, Any]]:
    ends: list[int | None] = [*draw(bounds), None]
    fee = prices if fees else st.just(Decimal(0))
    unit = prices if units else st.just(Decimal(0))
    return [{"up_to": end, "unit_amount": draw(unit), "flat_amount": draw(fee)} for end in ends]


@st.composite
def models(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    kind = draw(st.sampled_from(kinds))
    if kind == "per_unit":
        return {"model": kind, "unit_amount": draw(prices)}
    if kind == "package":
        size = draw(st.integers(1, 50))
        mode = draw(st.sampled_from(["up", "down"]))
        return {"model": kind, "package_size": size, "package_amount": draw(prices), "round": mode}
    if kind == "percentage":
        free = {} if draw(st.booleans()) else {"free_total": draw(st.integers(0, 200))}
        return {"model": kind, "percent": draw(percents), **free}
    if kind == "threshold_multiplier":
        found = draw(st.dictionaries(st.integers(0, 300), prices, min_size=1, max_size=4))
        thresholds = [{"from": since, "multiplier": factor} for since, factor in sorted(found.items())]
        return {"model": kind, "unit_amount": draw(prices) / 1000, "thresholds": thresholds}
    tiers = draw(ladders(units=kind != "stairstep"))
    if kind == "graduated_percentage":
        tiers = [{"up_to": t["up_to"], "percent": draw(percents), "flat_amount": t["flat_amount"]} for t in tiers]
    return {"model": kind, "tiers": tiers}


def costs(price: Mapping[str, Any], left: Fraction) -> Fraction:
    """What a quantity costs at a price."""
    kind = price["model"]
    if kind == "per_unit":
        return left * Fraction(price["unit_amount"])
    if kind == "package":
        whole, rest = divmod(left, Fraction(price["package_size"]))
        packages = int(whole) + (1 if rest and price["round"] == "up" else 0)
        return packages * Fraction(price["package_amount"])
    if kind == "percentage":
        return max(Fraction(0), left - Fraction(price.get("free_total", 0))) * Fraction(price["percent"]) / 100
    if kind == "threshold_multiplier":
        reached = [Fraction(found["multiplier"]) for found in price["thresholds"] if left >= found["from"]]
        return left * Fraction(price["unit_amount"]) * (reached[-1] if reached else 1)
    tiers: Sequence[Mapping[str, Any]] = price["tiers"]
    if kind in ("volume", "stairstep"):
        tier = next(tier for tier in tiers if tier["up_to"] is None or left <= tier["up_to"])
        return left * Fraction(tier["unit_amount"]) + Fraction(tier["flat_amount"])
    total, low = Fraction(0), Fraction(0)
    for number, tier in enumerate(tiers):
        high = left if tier["up_to"] is None else min(left, Fraction(tier["up_to"]))
        unit = Fraction(tier["percent"]) / 100 if "percent" in tier else Fraction(tier["unit_amount"])
        if number == 0 or left > low:
            total += max(Fraction(0), high - low) * unit + Fraction(tier["flat_amount"])
        low = Fraction(tier["up_to"] or 0)
    return total


def cents(exact: Fraction) -> Fraction:
    """Round half away from zero."""
    sign = -1 if exact < 0 else 1
    return sign * Fraction((abs(exact) * 100 + Fraction(1, 2)).__floor__(), 100)
