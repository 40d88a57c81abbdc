"""What stands below the charges of a statement: sums, discounts, coupons, minimums, rounding."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.examples.case import (
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    fee,
    number,
    one,
    per_unit,
    rounding,
    used,
)
from tests.examples.words import counted
from tests.examples.words.fees import stub


def summed(words: Words, uses: Words) -> Case:
    """Translate the three ways to write a sum: parts with units, named parts beside a base, and plain amounts."""
    base = words.take("base")
    parts: dict[str, Mapping[str, Any]] = {}
    for part in words.take("parts", []):
        parts[str(part.get("unit")).lower()] = part
    rest = words.rest()
    unknown = sorted(name for name, part in rest.items() if not isinstance(part, Mapping))
    if unknown:
        raise NotUnderstood(f"sum: {', '.join(unknown)}")
    parts.update(rest)
    amounts = [amount for name in ("parts", "lines") for amount in uses.take(name, [])]
    if parts and amounts:
        raise NotUnderstood("amounts beside parts")
    fees = [fee(amount) for amount in ([base] if base is not None else []) + amounts]
    charges, uses_ = [], []
    for name, part in parts.items():
        found = Words(part, f"part {name}")
        charges.append(counted.charge_of(found, part.get("model")))
        found.done()
        uses_.append(used(number(uses.need(name))))
    return one(Bill((*fees, *charges), tuple(uses_)))


def rounded(words: Words, uses: Words) -> Case:
    """Amounts, each rounded as a line."""
    rule = words.take("rule", "round each line, then sum")
    if rule != "round each line, then sum":
        raise NotUnderstood(f"rule {rule!r}")
    amounts = [uses.take("amount")] if uses.has("amount") else uses.need("lines")
    told = f"{words.need('mode')}@{words.need('to')}"
    return one(Bill(tuple(map(fee, amounts))), rounding=rounding(told))


def _discounted(amounts: Sequence[Any], adjustments: list[dict[str, Any]]) -> Case:
    return one(Bill(tuple(map(fee, amounts)), plan={"adjustments": adjustments}))


def discount(words: Words, uses: Words) -> Case:
    """An amount off several charges."""
    rule = words.take("rule", "pro rata")
    spread = {"pro rata": "pro_rata", "in charge order": "in_order"}.get(rule)
    if spread is None:
        raise NotUnderstood(f"rule {rule!r}")
    amounts = uses.take("lines") or uses.need("charges")
    return _discounted(amounts, [{"kind": "discount_amount", "amount": words.need("amount"), "spread": spread}])


def adjustment(words: Words, uses: Words) -> Case:
    """One adjustment of a subtotal."""
    found = [
        {"kind": kind, field: words.take(word)}
        for word, kind, field in (
            ("discount_percent", "discount_percent", "percent"),
            ("discount_amount", "discount_amount", "amount"),
            ("minimum", "minimum", "amount"),
            ("maximum", "maximum", "amount"),
        )
        if words.has(word)
    ]
    return _discounted([uses.need("subtotal")], found)


def coupons(words: Words, uses: Words) -> Case:
    """Coupons: percentages before amounts unless said otherwise; each may be limited to some charges."""
    words.take("chained")
    listed = words.take("coupons")
    if listed is not None:
        words.skip("order")  # told: they stand in that order
        fees = uses.need("fee_cents")
        return _discounted(fees, [_limited(Words(coupon, "a coupon"), len(fees)) for coupon in listed])
    found = {
        "percent": [{"kind": "discount_percent", "percent": value} for value in words.take("percents", [])],
        "amount": [{"kind": "discount_amount", "amount": value} for value in words.take("amounts", [])],
    }
    order = words.take("order", ["percent", "amount"])
    if sorted(order) != sorted(found):
        raise NotUnderstood(f"order {order!r}")
    return _discounted([uses.need("subtotal")], [one_ for kind in order for one_ in found[kind]])


def _limited(words: Words, fees: int) -> dict[str, Any]:
    amount, scope = words.need("amount_cents"), words.need("scope")
    words.done()
    half = fees // 2
    if scope in ("all", "unlimited"):
        places: Sequence[int] = range(fees)
    elif found := re.fullmatch(r"plan ([12])", scope):
        places = range(half) if found[1] == "1" else range(half, fees)
    elif scope == "first two metrics of both":
        places = (0, 1, half, half + 1)
    else:
        raise NotUnderstood(f"scope {scope!r}")
    return {"kind": "discount_amount", "amount": amount, "charges": [f"charge-{place}" for place in places]}


def plan_minimum(words: Words, uses: Words) -> Case:
    """Fees and usage come to a minimum at least; where it is prorated the answer is the true-up alone."""
    prorated = bool(words.take("prorate"))
    charges: list[Charge] = []
    if (subscription := words.take("subscription_fee")) is not None:
        charges.append(fee(subscription))
    terms = {"kind": "minimum", "amount": words.need("minimum"), **({"prorated": True} if prorated else {})}
    if (priced := words.take("charge")) is not None:
        found = Words(priced, "the charge")
        charges.append(counted.charge_of(found, priced.get("model")))
        found.done()
        quantity = number(uses.need("quantity"))
    else:
        charges.append(per_unit("1"))
        quantity = number(uses.take("usage_amount") or uses.need("usage"))
    bill = Bill(tuple(charges), (used(quantity),), plan={"adjustments": [terms]})
    uses.skip("start")
    if uses.has("days_billed"):
        period, contract = stub(uses.take("days_billed"), uses.need("days_in_period"))
        bill = replace(bill, period=period, contract=contract)
    return one(bill, asked="true_up" if prorated else "amount")
