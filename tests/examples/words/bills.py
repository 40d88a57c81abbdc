"""What stands below the charges of a statement: sums, discounts, coupons, minimums, rounding, an invoice's order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from schemas.money import exact, round_to
from tests.examples.case import (
    MODES,
    SINCE,
    TOWARDS_INFINITY,
    ZERO,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    fee,
    listed,
    number,
    numbers,
    one,
    per_unit,
    rounding,
    text,
    used,
    written,
)
from tests.examples.words import counted
from tests.examples.words.lengths import stub

SPREADS: Final = {
    **dict.fromkeys(("pro rata", "pro_rata", "proportional"), "pro_rata"),
    **dict.fromkeys(("in charge order", "in order", "in_order"), "in_order"),
}
EVERYTHING: Final = ("all", "unlimited", "everything", "all fees")
COUNTED: Final = {"one": 1, "two": 2, "three": 3, "four": 4}


def summed(words: Words, uses: Words) -> Case:
    """Translate the three ways to write a sum: parts with units, named parts beside a base, and plain amounts."""
    base = words.any("base", "recurring")
    parts: dict[str, Mapping[str, Any]] = {}
    for part in listed(words.take("parts", [])):
        name = text(part.get("unit") if isinstance(part, Mapping) else part).lower()
        if name in parts:
            raise NotUnderstood(f"sum: two parts of {name}")
        parts[name] = part
    rest = words.rest()
    unknown = sorted(name for name, part in rest.items() if not isinstance(part, Mapping))
    if unknown:
        raise NotUnderstood(f"sum: {', '.join(unknown)}")
    parts.update({name.lower(): part for name, part in rest.items()})
    amounts = [amount for name in ("parts", "lines") for amount in listed(uses.take(name, []))]
    if parts and amounts:
        raise NotUnderstood("amounts beside parts")
    fees = [fee(amount) for amount in ([base] if base is not None else []) + amounts]
    charges, uses_ = [], []
    left = {name.lower(): value for name, value in uses.rest().items()}
    for name, part in parts.items():
        found = Words(part, f"part {name}")
        charges.append(counted.charge_of(found, counted.model_of(found)))
        found.done()
        if name not in left:
            raise NotUnderstood(f"usage of sum: {name} not given")
        uses_.append(used(number(left.pop(name))))
    if left:
        raise NotUnderstood(f"usage of sum: {', '.join(sorted(left))}")
    return one(Bill((*fees, *charges), tuple(uses_)))


def rounded(words: Words, uses: Words) -> Case:
    """Amounts, each rounded as a line."""
    rule = text(words.take("rule", "each line"))
    if "each line" not in rule or re.match(r"sum", rule):
        raise NotUnderstood(f"rule {rule!r}")
    amounts = numbers([uses.take("amount")] if uses.has("amount") else uses.need("lines"))
    mode = text(words.need("mode"))
    told = rounding(f"{mode}@{written(words.need('to'))}")
    if all(amount >= 0 for amount in amounts):
        return one(Bill(tuple(map(fee, amounts))), rounding=told)
    # A price book has no fee below zero: the product's rounding is asked directly.
    if mode in TOWARDS_INFINITY:
        raise NotUnderstood(f"mode {mode!r} of an amount below zero")
    with exact():
        total = sum((round_to(amount, told.to, MODES[mode]) for amount in amounts), ZERO)
    return Case(direct=lambda: total)


def _discounted(amounts: Sequence[Any], adjustments: list[dict[str, Any]]) -> Case:
    return one(Bill(tuple(map(fee, amounts)), plan={"adjustments": adjustments}))


def _amounts(uses: Words) -> list[Any]:
    """Return the amounts of the lines, or the only one."""
    found = uses.one("subtotal", "lines", "charges", "fees", "fee", "charge", "usage_amount", "amount")
    return found if isinstance(found, list) else [found]


def discount(words: Words, uses: Words) -> Case:
    """An amount, or so many of a hundred, off several charges."""
    rule = text(words.take("rule", "pro rata"))
    if rule not in SPREADS:
        raise NotUnderstood(f"rule {rule!r}")
    found: dict[str, Any] = {}
    for word, value in words.listed("amount", "percent"):
        if found:
            raise NotUnderstood("amount beside percent")
        found = {"kind": f"discount_{word}", word: written(value)}
    if not found:
        raise NotUnderstood("discount: amount or percent not given")
    if found["kind"] == "discount_amount":
        found["spread"] = SPREADS[rule]
    return _discounted(_amounts(uses), [found])


def adjustment(words: Words, uses: Words) -> Case:
    """Adjustments of a subtotal, in the order in which they stand."""
    found = counted.agreed(words)
    return _discounted(_amounts(uses), found.get("adjustments", []))


def coupons(words: Words, uses: Words) -> Case:
    """Coupons: percentages before amounts unless said otherwise; each may be limited to some charges."""
    chained = words.told("chained", True, False)
    told = words.take("coupons")
    if told is not None:
        words.skip("order")  # told: they stand in that order
        fees = _amounts(uses)
        return _discounted(fees, [_limited(Words(coupon, "a coupon"), len(fees)) for coupon in listed(told)])
    percents, amounts = numbers(words.take("percents", [])), numbers(words.take("amounts", []))
    if chained is False:
        with exact():
            percents = [min(sum(percents, ZERO), number("100"))]
    found = {
        "percent": [{"kind": "discount_percent", "percent": written(value)} for value in percents],
        "amount": [{"kind": "discount_amount", "amount": written(value)} for value in amounts],
    }
    order = listed(words.take("order", ["percent", "amount"]))
    if not {kind for kind, there in found.items() if there} <= set(map(str, order)) <= found.keys():
        raise NotUnderstood(f"order {order!r}")
    return _discounted(_amounts(uses), [one_ for kind in order for one_ in found[kind]])


def _limited(words: Words, fees: int) -> dict[str, Any]:
    """Return a coupon that is limited to some of the fees, which are those of two plans, one after the other."""
    scope = words.take("scope", "all")
    terms = {"kind": "discount_amount"}
    for word, value in words.listed("amount", "percent"):
        terms = {"kind": f"discount_{word}", word: written(value)}
    if len(terms) == 1:
        raise NotUnderstood("a coupon: amount or percent not given")
    words.done()
    half = fees // 2
    plans = {"plan 1": range(half), "plan 2": range(half, fees), "both": range(fees)}
    found = re.fullmatch(r"(?:first (\w+)|metric (\d)) ?(?:metrics?|fees?)? of (both|plan [12])", str(scope))
    if isinstance(scope, list):
        places = [int(number(place)) for place in scope]
    elif not isinstance(scope, str):
        raise NotUnderstood(f"scope {scope!r}")
    elif scope in EVERYTHING:
        places = list(range(fees))
    elif scope in plans:
        places = list(plans[scope])
    elif found:
        first = None if found[1] is None else COUNTED.get(found[1]) or int(number(found[1]))
        asked = {int(found[2]) - 1} if first is None else set(range(first))
        places = [place for place in plans[found[3]] if place % half in asked] if half else []
    else:
        raise NotUnderstood(f"scope {scope!r}")
    if not places or not set(places) <= set(range(fees)):
        raise NotUnderstood(f"scope {scope!r} of {fees} fees")
    return {**terms, "charges": [f"charge-{place}" for place in places]}


def plan_minimum(words: Words, uses: Words) -> Case:
    """Fees and usage come to a minimum at least; where it is prorated the answer is the true-up alone."""
    prorated = words.told("prorate", True, False) is True
    charges: list[Charge] = []
    if (subscription := words.take("subscription_fee")) is not None:
        charges.append(fee(subscription))
    minimum = written(words.need("minimum"))
    terms = {"kind": "minimum", "amount": minimum, **({"prorated": True} if prorated else {})}
    if (priced := words.take("charge")) is not None:
        found = Words(priced, "the charge")
        charges.append(counted.charge_of(found, counted.model_of(found)))
        found.done()
        quantity = number(uses.need("quantity"))
    else:
        charges.append(per_unit("1"))
        quantity = number(uses.one("usage_amount", "usage"))
    bill = Bill(tuple(charges), (used(quantity),), plan={"adjustments": [terms]})
    uses.skip("start")
    if uses.has("days_billed"):
        period, contract = stub(uses.take("days_billed"), uses.need("days_in_period"))
        bill = replace(bill, period=period, contract=contract)
    return one(bill, asked="true_up" if prorated else "amount")


def invoice(words: Words, uses: Words) -> Case:
    """What is charged, and what pays for it, in the order that the example gives; tax stays outside."""
    order = [text(step) for step in listed(words.need("order"))]
    steps: list[dict[str, Any]] = []
    grants: list[dict[str, Any]] = []
    for step in order:
        if step == "subtotal":
            continue
        if step == "tax":
            raise NotUnderstood("tax stays outside the rater")
        kind, amount = _step(step, words, uses)
        if kind == "credits":
            grants.append({"id": f"grant-{len(grants)}", "amount": amount, "from": SINCE, "priority": len(grants)})
        else:
            steps.append({"kind": kind, "percent" if kind == "discount_percent" else "amount": amount})
    amounts = [amount for _, amount in uses.listed("subtotal", "subscription", "usage", "flat", "base", "recurring")]
    if not amounts:
        raise NotUnderstood("usage of invoice: nothing is charged")
    contract = {"grants": grants} if grants else {}
    return one(Bill(tuple(map(fee, amounts)), plan={"adjustments": steps}, contract=contract))


def _step(step: str, words: Words, uses: Words) -> tuple[str, str]:
    """Return the kind of one step of an invoice, and its amount or percentage."""
    kinds = {
        **dict.fromkeys(("coupon", "coupons", "discount"), "discount"),
        **dict.fromkeys(("prepaid", "credit", "credits", "credit_note", "credit_notes", "wallet"), "credits"),
        **{kind: kind for kind in ("minimum", "maximum")},
    }
    if step not in kinds:
        raise NotUnderstood(f"order: {step!r}")
    names = {step, step.removesuffix("s"), f"{step.removesuffix('s')}s"}
    for source in (uses, words):
        for name in sorted(names):
            if (percent := source.any(f"{name}_percent")) is not None and kinds[step] == "discount":
                return "discount_percent", written(percent)
            if (amount := source.any(name, f"{name}_amount")) is not None:
                kind = "discount_amount" if kinds[step] == "discount" else kinds[step]
                return kind, written(amount)
    raise NotUnderstood(f"order: {step!r}, which is not given")
