"""From the examples' words to charges of a price book and quantities: a translation, with no arithmetic of money.

An example says `definition` (a price model in the vendors' common words), `usage` and `expected_amount`. Every word of
the first two has to be known: one that is not makes the whole example `NotUnderstood`, so that nothing is passed by
overlooking what it asks for.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from schemas.money import RoundingMode, exact

Definition = Mapping[str, Any]
Charge = dict[str, Any]

MODES: Final[dict[str, RoundingMode]] = {
    "half_up": "half_away",  # of the vendors that say so, away from zero is meant: a negative amount is a credit
    "half_away_from_zero": "half_away",
    "half_even": "half_even",
    "up": "up",
    "ceil": "up",
    "down": "down",
    "floor": "down",
}
TOLD: Final = frozenset({"note", "unit", "metric", "event", "bound", "model"})
"""Words that say something to a reader and nothing to a rater. `bound: lower_inclusive` is told of tiers that the
example has already restated with inclusive upper ends."""


class NotUnderstood(Exception):
    """The example asks for something that the product, or this translation, has no word for."""


@dataclass(frozen=True)
class Rounding:
    """How an example rounds amounts: to multiples of `to`."""

    mode: RoundingMode
    to: Decimal


@dataclass(frozen=True)
class Case:
    """Charges, and the quantities of those that count something, as known at one or more moments.

    With several moments the answer is what the last adds to the one before. `units` cases ask for a quantity: their
    only charge is a conversion.
    """

    charges: tuple[Charge, ...]
    moments: tuple[tuple[Decimal, ...], ...] = ((),)
    rounding: Rounding | None = None
    units: bool = False


def translate(example: Mapping[str, Any]) -> Case:
    """Return the case that an example describes. Raises NotUnderstood."""
    definition, usage = dict(example["definition"]), dict(example["usage"])
    for word in ("tax", "tax_percent", "tax_percent_by_fee", "percents"):
        if word in definition or definition.get("model") == word:
            raise NotUnderstood("tax stays outside the rater")
    model = definition.get("model")
    if model not in _MODELS:
        raise NotUnderstood(f"model {model}")
    case = _MODELS[model](definition, usage)
    if "rounding" in example:
        case = replace(case, rounding=rounding(example["rounding"]))
    return case


def number(value: Any) -> Decimal:
    """Return a number that is written as text."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise NotUnderstood(f"number {value!r}")
    return Decimal(value)


def rounding(text: str) -> Rounding:
    """Return the rounding written as `half_up@0.01`, with or without `per line` or `at line`."""
    found = re.fullmatch(r"(\w+)@([\d.]+)( (per|at) line)?", text)
    if found is None or found[1] not in MODES:
        raise NotUnderstood(f"rounding {text!r}")
    return Rounding(MODES[found[1]], number(found[2]))


def _only(words: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    unknown = sorted(words.keys() - set(known) - TOLD)
    if unknown:
        raise NotUnderstood(f"{where}: {', '.join(unknown)}")


# ---- usage ----


def _moments(usage: Mapping[str, Any]) -> tuple[tuple[Decimal, ...], ...]:
    """Return the quantity of a single charge, as known at one or more moments."""
    words = {name: value for name, value in usage.items() if name not in TOLD}
    if words.keys() == {"cumulative_quantities"}:
        return tuple((number(value),) for value in words["cumulative_quantities"])
    with exact():
        if "already_billed_quantity" in words:
            before = number(words.pop("already_billed_quantity"))
            _only(words, {"quantity", "late", "new"}, "usage beside already_billed_quantity")
            return ((before,), (before + sum(map(_quantity, words.items()), Decimal(0)),))
        if len(words) != 1:
            raise NotUnderstood(f"usage: {', '.join(sorted(words)) or 'nothing'}")
        return ((_quantity(next(iter(words.items()))),),)


def _quantity(word: tuple[str, Any]) -> Decimal:
    name, value = word
    if name in {"records", "late", "new"} and isinstance(value, list):
        return sum(map(number, value), Decimal(0))
    # A single number under any other plain word is the quantity, named by its unit: minutes, mbytes, seats.
    if not isinstance(value, str) or re.search(r"amount|billed|day|period|fee", name):
        raise NotUnderstood(f"usage: {name}")
    return number(value)


# ---- prices ----


def _counted(definition: Definition, extra: Iterable[str] = ()) -> Charge:
    """Return the charge of a definition that counts a quantity."""
    model = definition.get("model") or _guessed(definition)
    _only(definition, {*_WORDS[model], *_COUNTED, *extra}, f"{model}")
    missing = sorted(_WORDS[model] - definition.keys() - {"round"})
    if missing:
        raise NotUnderstood(f"{model}: {', '.join(missing)} not given")
    price: dict[str, Any] = {"model": model}
    for word in _WORDS[model]:
        if word in definition:
            price[word] = _tiers(definition["tiers"]) if word == "tiers" else definition[word]
    charge: Charge = {"price": price}
    free = [definition[word] for word in ("included", "usage_discount") if word in definition]
    if len(free) > 1:
        raise NotUnderstood("included and usage_discount together")
    if free:
        charge["included"] = free[0]
    if model == "package" and price.get("round") == "none":
        _in_proportion(charge)
    if "block_size" in definition:
        # Tiers count blocks; one begun is a block.
        charge["convert"] = {"divide": definition["block_size"], "round": {"mode": "up"}}
    if "quantity_round" in definition:
        rule = rounding(definition["quantity_round"])
        charge["convert"] = {"round": {"mode": rule.mode, "to": str(rule.to)}}
    return charge


def _guessed(definition: Definition) -> str:
    for model, words in _WORDS.items():
        if definition.keys() & words:
            return model
    raise NotUnderstood(f"a price of {', '.join(sorted(definition))}")


def _tiers(tiers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = [dict(tier) for tier in tiers]
    for tier in found:
        _only(tier, {"up_to", "unit_amount", "flat_amount"}, "tiers")
    # A price book's ladder is open at its end; an example that closes it asks for nothing above.
    return [*found[:-1], {**found[-1], "up_to": None}]


def _within_the_ladder(definition: Definition, moments: Iterable[tuple[Decimal, ...]]) -> None:
    end = definition["tiers"][-1].get("up_to") if "tiers" in definition else None
    blocks = number(definition.get("block_size", "1"))
    if end is not None and any(quantity > number(end) * blocks for (quantity,) in moments):
        raise NotUnderstood(f"a quantity above {end}, where the tiers end")


def _in_proportion(charge: Charge) -> None:
    """Turn packages that may be sold in parts into units of a package's size."""
    size = charge["price"]["package_size"]
    charge["price"] = {"model": "per_unit", "unit_amount": charge["price"]["package_amount"]}
    charge["convert"] = {"divide": size}
    if "included" in charge:
        with exact():
            charge["included"] = str(number(charge["included"]) / number(size))


def _fee(amount: Any) -> Charge:
    return {"price": {"model": "flat", "amount": str(number(amount))}}


def _usage_based(definition: Definition, usage: Definition) -> Case:
    charges = [_counted(definition, {"recurring", "round", "aggregation"})]
    moments = _moments(usage)
    _within_the_ladder(definition, moments)
    if "aggregation" in definition and "quantity" not in usage:
        raise NotUnderstood(f"aggregation: {definition['aggregation']}")
    if "recurring" in definition:
        charges.append(_fee(definition["recurring"]))
    told = definition.get("round") if definition["model"] != "package" else None
    return Case(tuple(charges), moments, rounding(told) if told is not None else None)


def _flat(definition: Definition, usage: Definition) -> Case:
    _only(definition, {"amount", "one_time", "recurring", "lines"}, "flat")
    _only(usage, {"period"}, "usage of a fee")
    fees = [definition[word] for word in ("amount", "one_time", "recurring") if word in definition]
    return Case(tuple(map(_fee, [*fees, *definition.get("lines", [])])))


def _one_time(definition: Definition, usage: Definition) -> Case:
    # A one-time fee is never prorated, so how much of the period is left says nothing.
    _only(definition, {"unit_amount"}, "one_time")
    _only(usage, {"quantity", "days_left", "days_in_period"}, "usage of a one-time fee")
    charge: Charge = {"price": {"model": "per_unit", "unit_amount": definition["unit_amount"]}}
    return Case((charge,), ((number(usage["quantity"]),),))


def _credit_purchase(definition: Definition, usage: Definition) -> Case:
    _only(definition, {"units", "cost_basis", "rate"}, "credit_purchase")
    _only(usage, {"credits"}, "usage of a purchase")
    rate = definition.get("cost_basis", definition.get("rate"))
    charge: Charge = {"price": {"model": "per_unit", "unit_amount": rate}}
    return Case((charge,), ((number(usage.get("credits", definition.get("units"))),),))


def _sum(definition: Definition, usage: Definition) -> Case:
    """Translate the three ways to write a sum: parts with units, named parts beside a base, and plain amounts."""
    parts: dict[str, Definition] = {}
    for part in definition.get("parts", []):
        parts[str(part.get("unit")).lower()] = part
    parts.update({name: part for name, part in definition.items() if isinstance(part, Mapping)})
    _only(definition, {"parts", "base", *parts}, "sum")
    amounts = [amount for name in ("parts", "lines") for amount in usage.get(name, [])]
    if parts and (amounts or usage.keys() != parts.keys()):
        raise NotUnderstood(f"usage: {', '.join(sorted(usage))} for parts {', '.join(sorted(parts))}")
    _only(usage, {"parts", "lines", *parts}, "usage of a sum")
    fees = [_fee(amount) for amount in ([definition["base"]] if "base" in definition else []) + amounts]
    counted = [_counted(part) for part in parts.values()]
    return Case((*fees, *counted), (tuple(number(usage[name]) for name in parts),))


# ---- quantities and rounding on their own ----


def _round(definition: Definition, usage: Definition) -> Case:
    _only(definition, {"to", "mode", "rule"}, "round")
    _only(usage, {"amount", "lines"}, "usage of a rounding")
    if definition.get("rule", "round each line, then sum") != "round each line, then sum":
        raise NotUnderstood(f"rule {definition['rule']!r}")
    amounts = [usage["amount"]] if "amount" in usage else usage["lines"]
    return Case(tuple(map(_fee, amounts)), rounding=rounding(f"{definition['mode']}@{definition['to']}"))


def _convert_units(definition: Definition, usage: Definition) -> Case:
    _only(definition, {"divide", "multiply", "round"}, "convert_units")
    convert = {word: definition[word] for word in ("divide", "multiply") if word in definition}
    if "round" in definition:
        if definition["round"] not in MODES:
            raise NotUnderstood(f"round {definition['round']!r}")
        convert["round"] = {"mode": MODES[definition["round"]]}
    return Case(({"convert": convert, "price": _ONE_EACH},), _moments(usage), units=True)


def _round_units(definition: Definition, usage: Definition) -> Case:
    _only(definition, {"function"}, "round_units")
    found = re.fullmatch(r"(round|ceil|floor)\((-?\d{1,2})?\)", definition["function"])
    if found is None:
        raise NotUnderstood(f"function {definition['function']!r}")
    mode = "half_away" if found[1] == "round" else MODES[found[1]]
    to = Decimal(1).scaleb(-int(found[2] or 0))
    convert = {"round": {"mode": mode, "to": f"{to:f}"}}
    return Case(({"convert": convert, "price": _ONE_EACH},), _moments(usage), units=True)


_ONE_EACH: Final = {"model": "per_unit", "unit_amount": 1}

_WORDS: Final[dict[str, set[str]]] = {
    "package": {"package_size", "package_amount", "round"},
    "per_unit": {"unit_amount"},
    "graduated": {"tiers"},
    "volume": {"tiers"},
}
"""The words of each model that counts a quantity: the price book's own."""
_COUNTED: Final = frozenset({"included", "usage_discount", "block_size", "quantity_round"})

_MODELS: Final[dict[Any, Callable[[Definition, Definition], Case]]] = {
    **dict.fromkeys(_WORDS, _usage_based),
    "flat": _flat,
    "one_time": _one_time,
    "credit_purchase": _credit_purchase,
    "sum": _sum,
    "round": _round,
    "convert_units": _convert_units,
    "round_units": _round_units,
}
