"""Charges that count something: the price models, with what may stand beside them in the same definition."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from schemas.money import exact
from schemas.statements import CategoryUsage
from tests.examples.case import (
    PERIOD,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    count,
    fee,
    flag,
    hour,
    number,
    one,
    parts,
    per_unit,
    rounding,
    used,
)
from tests.examples.words import aggregates, fees, progressive
from tests.examples.words.usage import dynamic_events, group, matrix_events, percentage_events, quantities, records

MODELS: Final[dict[str, tuple[str, ...]]] = {
    "package": ("package_size", "package_amount", "round"),
    "per_unit": ("unit_amount",),
    "graduated": ("tiers",),
    "volume": ("tiers",),
    "stairstep": ("tiers",),
    "percentage": (
        "percent",
        "fixed_per_event",
        "free_events",
        "free_total",
        "per_event_minimum",
        "per_event_maximum",
    ),
    "graduated_percentage": ("tiers",),
    "dynamic": ("multiplier",),
    "matrix": ("dimensions", "rules", "default", "package_size", "group_by"),
    "threshold_multiplier": ("unit_amount", "thresholds"),
}
"""The words of each model that counts something: the price book's own."""
NEEDED: Final = frozenset({"package_size", "package_amount", "unit_amount", "tiers", "percent", "dimensions", "rules"})
TIER: Final = frozenset({"up_to", "unit_amount", "flat_amount", "percent"})


def usage_based(model: str, words: Words, uses: Words) -> Case:
    """Translate a definition whose model counts something."""
    if words.has("rating_group") or words.has("window"):
        return _in_parts(words, uses, model)
    if words.has("prorated") or uses.has("days_billed"):
        return fees.prorated_usage(words, uses, charge_of(words, model), model)
    if words.has("threshold") or (words.has("thresholds") and model != "threshold_multiplier"):
        return progressive.thresholds(words, uses, charge_of(words, model))
    if words.take("aggregation") == "weighted_sum":
        return aggregates.weighted_sum(words, uses, charge_of(words, model))
    if uses.has("period_1_billed"):
        return progressive.late(charge_of(words, model), uses)
    if uses.has("plan_change"):
        uses.take("plan_change")
        return fees.usage_while_the_price_changes(charge_of(words, model))
    told = words.take("round") if model not in ("package", "matrix") else None
    ladder = words.take("tiers") if "tiers" in MODELS[model] else None
    if ladder is not None:
        words = Words({**words.rest(), "tiers": ladder}, model)
    override = words.take("override")
    more = _agreed(words)
    charge = charge_of(words, model)
    recurring = words.take("recurring")
    words.done()
    contract = _override(override, uses)
    before = uses.take("already_billed_amount")
    bills = _bills(charge, model, uses, ladder)
    if recurring is not None:
        bills = [replace(bill, charges=(*bill.charges, fee(recurring))) for bill in bills]
    bills = [replace(bill, plan=more, contract=contract) for bill in bills]
    case = Case(tuple((bill,) for bill in bills), rounding(told) if told else None)
    if before is None:
        return case
    if len(bills) > 1:
        return replace(case, before=number(before))
    # Only the money of what came before is known: it stands beside the charge, under the same limits.
    (bill,) = bills
    first = Bill((fee(before),), plan=more, contract=contract)
    both = replace(first, charges=(fee(before), *bill.charges), uses=bill.uses)
    return replace(case, moments=((first,), (both,)))


def charge_of(words: Words, model: str | None = None) -> Charge:
    """Return the charge of a definition that counts a quantity."""
    model = model or _guessed(words)
    price: dict[str, Any] = {"model": model}
    for word in MODELS[model]:
        value = words.take(word)
        if value is None:
            if word in NEEDED and not (model == "matrix" and word == "package_size"):
                raise NotUnderstood(f"{model}: {word} not given")
            continue
        price[word] = tiers(value) if word == "tiers" else count(value) if word == "free_events" else value
    if model == "dynamic":
        words.take("rule")
    charge: Charge = {"price": price}
    free = [value for word in ("included", "usage_discount") if (value := words.take(word)) is not None]
    if len(free) > 1:
        raise NotUnderstood("included and usage_discount together")
    if free:
        charge["included"] = free[0]
    if model == "package" and price.get("round") == "none":
        _in_proportion(charge)
    if (size := words.take("block_size")) is not None:
        # Tiers count blocks; one begun is a block.
        charge["convert"] = {"divide": size, "round": {"mode": "up"}}
    if (rule := words.take("quantity_round")) is not None:
        found = rounding(rule)
        charge["convert"] = {"round": {"mode": found.mode, "to": str(found.to)}}
    if (rate := words.take("conversion_rate")) is not None:
        charge["custom_unit"] = {"rate": rate}
    return charge


def tiers(listed: Any) -> list[dict[str, Any]]:
    """Return tiers as a price book writes them: open at the end, where an example that closes it asks for nothing."""
    found = [dict(tier) for tier in listed]
    for tier in found:
        if unknown := tier.keys() - TIER:
            raise NotUnderstood(f"tiers: {', '.join(sorted(unknown))}")
    return [*found[:-1], {**found[-1], "up_to": None}]


def _guessed(words: Words) -> str:
    for model in ("package", "per_unit", "graduated"):
        if words.has(MODELS[model][0]):
            return model
    raise NotUnderstood("a price without a model")


def _in_proportion(charge: Charge) -> None:
    """Turn packages that may be sold in parts into units of a package's size."""
    size = charge["price"]["package_size"]
    charge["price"] = {"model": "per_unit", "unit_amount": charge["price"]["package_amount"]}
    charge["convert"] = {"divide": size}
    if "included" in charge:
        with exact():
            charge["included"] = str(number(charge["included"]) / number(size))


def _agreed(words: Words) -> dict[str, Any]:
    """Return what is agreed beyond the price: a discount, then a minimum, then a maximum."""
    adjustments: list[dict[str, Any]] = []
    if (percent := words.take("discount_percent")) is not None:
        adjustments.append({"kind": "discount_percent", "percent": percent})
    adjustments += [
        {"kind": kind, "amount": amount} for kind in ("minimum", "maximum") if (amount := words.take(kind)) is not None
    ]
    return {"adjustments": adjustments} if adjustments else {}


def _override(told: Mapping[str, Any] | None, uses: Words) -> dict[str, Any]:
    """Return the contract's override where the usage is in its scope."""
    if told is None:
        return {}
    words = Words(told, "override")
    words.take("scope")
    change = words.rest()
    if not uses.take("scope"):
        return {}
    return {"overrides": [{"charge": "charge-0", "change": change}]}


def _bills(charge: Charge, model: str, uses: Words, ladder: Any) -> list[Bill]:
    if model == "percentage":
        return [Bill((charge,), (percentage_events(uses),))]
    if model == "dynamic":
        return [Bill((charge,), (dynamic_events(uses),))]
    if model == "matrix":
        return [Bill((charge,), (matrix_events(uses, charge["price"]["dimensions"], charge["price"]["rules"]),))]
    if model == "graduated_percentage":
        found = [number(uses.take(word, "0")) for word in ("cumulative_before", "event_amount", "amount")]
        before, more = found[0], found[1] + found[2]
        return [Bill((charge,), (used(at),)) for at in ([before] if before else []) + [before + more]]
    known = quantities(uses)
    _within_the_ladder(ladder, charge, known)
    return [Bill((charge,), (used(quantity),)) for quantity in known]


def _within_the_ladder(ladder: Any, charge: Charge, known: list[Decimal]) -> None:
    end = ladder[-1].get("up_to") if ladder else None
    size = number(charge.get("convert", {}).get("divide", "1"))
    if end is not None and any(quantity > number(end) * size for quantity in known):
        raise NotUnderstood(f"a quantity above {end}, where the tiers end")


def _in_parts(words: Words, uses: Words, model: str) -> Case:
    """Tiers that begin anew in every window, group or record."""
    if by := words.take("rating_group"):
        each = {"record": "event", "start_date": "day"}.get(by)
        if each is None:
            raise NotUnderstood(f"rating_group {by!r}")
        charge = {**charge_of(words, model), "each": each}
        found = records(uses.need("records"))
        return one(Bill((charge,), (found,), period=_month_of(found)))
    window = words.need("window")
    if window not in ("bucket max", "per group", "bucket per group", "hour"):
        raise NotUnderstood(f"window {window!r}")
    pieces: list[tuple[Any, str, Decimal]]
    if uses.has("window_values"):
        each = "hour"
        pieces = [(hour(place), "", number(value)) for place, value in enumerate(uses.take("window_values"))]
    else:
        each = "group"
        listed = uses.need("group_values")
        named = listed.items() if isinstance(listed, dict) else enumerate(listed)
        pieces = [(hour(0), group({"group": str(name)}), number(value)) for name, value in named]
    charge = {**charge_of(words, model), "each": each}
    if "max" in window:
        charge["aggregate"] = "max"
    return one(Bill((charge,), (parts(pieces),)))


def _month_of(found: CategoryUsage) -> Any:
    first = min(event.at for event in found.kept)
    return type(PERIOD).month(first.year, first.month)


def commitment(words: Words, uses: Words) -> Case:
    """A quantity or an amount that is committed to, for the period or for every hour; by hours of the day."""
    agreed = _commitment(words)
    if words.has("charges"):
        charges = tuple(charge_of(Words(found, "a charge"), None) for found in words.take("charges"))
        amounts = [number(value) for value in uses.need("quantities")]
        terms = {"kind": "commitment", **(agreed or {})}
        return one(Bill(charges, tuple(map(used, amounts)), plan={"adjustments": [terms]}))
    charge: Charge = per_unit(words.need("unit_amount"))
    if agreed:
        charge["commitment"] = agreed
    window, buckets = words.take("window"), words.take("buckets", [])
    if window not in (None, "hour"):
        raise NotUnderstood(f"window {window!r}")
    charge["schedule"] = [_slot(Words(bucket, "a bucket")) for bucket in buckets]
    if window is None:
        return one(Bill((charge,), (used(number(uses.need("quantity"))),)))
    charge["each"] = "hour"
    if uses.has("hours"):
        by_hour = {int(name): number(value) for name, value in uses.take("hours").items()}
    else:
        single = uses.take("hour_quantity")
        listed = uses.need("hour_quantities") if single is None else [single]
        by_hour = dict(enumerate(map(number, listed)))
    return one(Bill((charge,), (parts((hour(at), "", value) for at, value in sorted(by_hour.items())),)))


def _commitment(words: Words) -> dict[str, Any] | None:
    found = {word: value for word in ("quantity", "amount") if (value := words.take(f"commitment_{word}")) is not None}
    factor, true_up = words.take("overage_factor"), words.take("true_up")
    if not found:
        return None
    if factor is not None:
        found["overage_factor"] = factor
    if true_up is not None:
        found["true_up"] = flag(true_up)
    return found


def _slot(words: Words) -> dict[str, Any]:
    slot: dict[str, Any] = {word: count(words.need(word)) for word in ("from_hour", "to_hour")}
    agreed = _commitment(words)
    if agreed is not None:
        slot["commitment"] = agreed
    if (amount := words.take("unit_amount")) is not None:
        slot["price"] = {"model": "per_unit", "unit_amount": amount}
    words.done()
    return slot
