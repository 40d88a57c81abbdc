"""Commitments: a quantity or an amount for the period, for every hour or day, or at some hours of the day."""

from typing import Any

from tests.examples.case import (
    Bill,
    Case,
    NotUnderstood,
    Words,
    count,
    flag,
    listed,
    number,
    numbers,
    one,
    used,
    written,
)
from tests.examples.words import counted
from tests.examples.words.usage import in_spans, quantities


def commitment(words: Words, uses: Words) -> Case:
    """A quantity or an amount that is committed to, for the period or for every hour; by hours of the day."""
    agreed = _commitment(words)
    if words.has("charges"):
        found = [Words(told, "a charge") for told in listed(words.take("charges"))]
        charges = tuple(counted.charge_of(told, counted.model_of(told)) for told in found)
        for told in found:
            told.done()
        amounts = numbers(uses.need("quantities"))
        if len(amounts) != len(charges):
            raise NotUnderstood(f"{len(amounts)} quantities of {len(charges)} charges")
        terms = {"kind": "commitment", **(agreed or {})}
        return one(Bill(charges, tuple(map(used, amounts)), plan={"adjustments": [terms]}))
    window = words.told("window", "hour", "day")
    slots = [_slot(Words(bucket, "a bucket")) for bucket in listed(words.take("buckets", []))]
    charge = counted.charge_of(words)
    if agreed:
        charge["commitment"] = agreed
    if slots:
        charge["schedule"] = slots
    if window is None and not slots:
        return Case(tuple((Bill((charge,), (used(quantity),)),) for quantity in quantities(uses)))
    found_ = in_spans(uses)
    if found_ is None:
        raise NotUnderstood(f"a commitment of every {window} without its usage by {window}")
    if window is not None:
        charge["each"] = window
    return one(Bill((charge,), (found_[1],)))


def _commitment(words: Words) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for word in ("quantity", "amount"):
        if (value := words.take(f"commitment_{word}")) is not None:
            found[word] = written(value)
    factor, true_up = words.take("overage_factor"), words.take("true_up")
    if not found:
        if true_up or (factor is not None and number(factor) != 1):
            raise NotUnderstood("overage_factor or true_up without a commitment")
        return None
    if factor is not None:
        found["overage_factor"] = written(factor)
    if true_up is not None:
        found["true_up"] = flag(true_up)
    return found


def _slot(words: Words) -> dict[str, Any]:
    slot: dict[str, Any] = {word: count(words.need(word)) for word in ("from_hour", "to_hour")}
    agreed = _commitment(words)
    if agreed is not None:
        slot["commitment"] = agreed
    if (amount := words.take("unit_amount")) is not None:
        slot["price"] = {"model": "per_unit", "unit_amount": written(amount)}
    words.done()
    return slot
