"""Examples that ask for a quantity: conversions, custom units, free units, caps."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Final

from rater.custom_unit import CustomUnit
from tests.examples.case import MODES, Bill, Case, NotUnderstood, Words, hour, number, one, parts, per_unit, used
from tests.examples.words.usage import moments

MORE: Final = Decimal(10**12)
"""More than any example allows."""


def convert_units(words: Words, uses: Words) -> Case:
    """× or ÷, then a rounding."""
    convert = {word: words.take(word) for word in ("divide", "multiply") if words.has(word)}
    if mode := words.take("round"):
        if mode not in MODES:
            raise NotUnderstood(f"round {mode!r}")
        convert["round"] = {"mode": MODES[mode]}
    return _units({"convert": convert}, uses)


def round_units(words: Words, uses: Words) -> Case:
    """round(2), ceil(-1), floor()."""
    function = words.need("function")
    found = re.fullmatch(r"(round|ceil|floor)\((-?\d{1,2})?\)", function)
    if found is None:
        raise NotUnderstood(f"function {function!r}")
    mode = "half_away" if found[1] == "round" else MODES[found[1]]
    to = Decimal(1).scaleb(-int(found[2] or 0))
    return _units({"convert": {"round": {"mode": mode, "to": f"{to:f}"}}}, uses)


def _units(charge: dict[str, object], uses: Words) -> Case:
    bills = moments({**per_unit("1"), **charge}, uses)
    return Case(tuple((bill,) for bill in bills), asked="units")


def in_credits(words: Words, uses: Words) -> Case:
    """A unit costs so many credits."""
    each = words.need("credits_per_unit")
    return Case(tuple((bill,) for bill in moments(per_unit(each), uses)))


def custom_unit(words: Words, uses: Words) -> Case:
    """Credits of a stated worth, spent or bought."""
    if words.has("topup_rate"):
        unit, money = CustomUnit(rate=number(words.need("topup_rate"))), number(uses.need("amount"))
        return Case(direct=lambda: unit.bought(money))
    charge = {**per_unit("1"), "custom_unit": {"rate": words.need("rate")}}
    return one(Bill((charge,), (used(number(uses.need("credits"))),)))


def usage_discount(words: Words, uses: Words) -> Case:
    """The first units are free; the answer is how many are not."""
    charge = {**per_unit("1"), "included": words.need("quantity")}
    already = uses.take("already_metered") or uses.take("already_billed_quantity") or "0"
    before, more = number(already), number(uses.need("quantity"))
    bill = Bill((charge,), (used(before),))
    return Case(((bill,), (replace(bill, uses=(used(before + more),)),)))


def usage_cap(words: Words, uses: Words) -> Case:
    """Units past the included ones are allowed up to a limit; the answer is how many more may come."""
    charge = {**per_unit("1"), "included": words.take("included", "0")}
    already = number(uses.need("used"))
    bill = Bill(
        (charge,),
        (parts([(hour(0), "", already), (hour(1), "", MORE)]),),
        plan={"budget": {"overage_units": {"charge-0": words.need("overage_limit")}}},
    )
    return one(bill, asked="room", before=already)
