"""Examples that ask for a quantity: conversions, custom units, free units, caps."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from rater.custom_unit import CustomUnit
from schemas.money import RoundingMode, exact
from tests.examples.case import (
    MODES,
    Bill,
    Case,
    NotUnderstood,
    Words,
    count,
    hour,
    number,
    one,
    parts,
    per_unit,
    text,
    used,
    written,
)
from tests.examples.words.usage import BEFORE, moments

MORE: Final = Decimal(10**12)
"""More than any example allows."""


def convert_units(words: Words, uses: Words) -> Case:
    """× or ÷, then a rounding."""
    convert: dict[str, Any] = {word: written(value) for word, value in words.listed("divide", "multiply")}
    mode = words.take("round", "none")
    places = words.take("precision")
    if mode != "none":
        to = Decimal(1).scaleb(-count(places or 0))
        convert["round"] = {"mode": _mode(mode), "to": f"{to:f}"}
    return _units({"convert": convert}, uses)


def round_units(words: Words, uses: Words) -> Case:
    """round(2), ceil(-1), floor()."""
    function = words.need("function")
    found = re.fullmatch(r"(round|ceil|ceiling|floor)(?:\((-?\d{1,2})?\))?", text(function))
    if found is None:
        raise NotUnderstood(f"function {function!r}")
    to = Decimal(1).scaleb(-int(found[2] or 0))
    return _units({"convert": {"round": {"mode": _mode(found[1]), "to": f"{to:f}"}}}, uses)


def _mode(told: Any) -> RoundingMode:
    if not isinstance(told, str) or told not in MODES:
        raise NotUnderstood(f"round {told!r}")
    return MODES[told]


def _units(charge: dict[str, object], uses: Words) -> Case:
    bills = moments({**per_unit("1"), **charge}, uses)
    return Case(tuple((bill,) for bill in bills), asked="units")


def in_credits(words: Words, uses: Words) -> Case:
    """A unit costs so many credits; units of several kinds each so many."""
    each = words.need("credits_per_unit")
    if not isinstance(each, dict):
        return Case(tuple((bill,) for bill in moments(per_unit(each), uses)))
    used_ = {name: number(uses.take(name, "0")) for name in each}
    return one(Bill(tuple(map(per_unit, each.values())), tuple(map(used, used_.values()))))


def custom_unit(words: Words, uses: Words) -> Case:
    """Credits of a stated worth, spent or bought."""
    if words.has("topup_rate") or uses.has("amount"):
        unit = CustomUnit(rate=number(words.one("topup_rate", "rate")))
        money = number(uses.need("amount"))
        return Case(direct=lambda: unit.bought(money))
    charge = {**per_unit("1"), "custom_unit": {"rate": written(words.need("rate"))}}
    return one(Bill((charge,), (used(number(uses.one("credits", "units", "quantity"))),)))


def usage_discount(words: Words, uses: Words) -> Case:
    """The first units are free; the answer is how many are not."""
    charge = {**per_unit("1"), "included": written(words.need("quantity"))}
    before, more = number(uses.any(*BEFORE, default="0")), number(uses.need("quantity"))
    with exact():
        after = before + more
    bill = Bill((charge,), (used(before),))
    return Case(((bill,), (replace(bill, uses=(used(after),)),)))


def usage_cap(words: Words, uses: Words) -> Case:
    """Units past the included ones are allowed up to a limit; the answer is how many more may come."""
    charge = {**per_unit("1"), "included": written(words.take("included", "0"))}
    already = number(uses.one("used", "quantity"))
    bill = Bill(
        (charge,),
        (parts([(hour(0), "", already), (hour(1), "", MORE)]),),
        plan={"budget": {"overage_units": {"charge-0": written(words.need("overage_limit"))}}},
    )
    return one(bill, asked="room", before=already)
