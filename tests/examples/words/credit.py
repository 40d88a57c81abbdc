"""Credit: prepaid balances, grants and wallets, what they cost, in which order they are burned, what is left."""

import datetime as dt
import re
from typing import Any, Final

from rater.account import Account, Balance
from rater.grants import Grant
from schemas.period import Period
from tests.examples.case import (
    PERIOD,
    SINCE,
    Bill,
    Case,
    NotUnderstood,
    Words,
    count,
    fee,
    listed,
    number,
    one,
    per_unit,
    text,
    used,
    written,
)
from tests.examples.words.usage import day, instant

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ORDER: Final = {
    "priority": "priority",
    **dict.fromkeys(("promotional before paid", "promotional", "kind", "free before paid"), "promotional"),
    **dict.fromkeys(("expiry", "earliest expiry", "expires", "expiration"), "end"),
    **dict.fromkeys(("oldest", "oldest first", "created"), "oldest"),
}
SOURCES: Final = {
    **dict.fromkeys(("paid", "purchased", "prepaid"), "paid"),
    **dict.fromkeys(("promotional", "promo", "free", "granted"), "promotional"),
}
MONTH_START: Final = f"{PERIOD.start.date()}"
CHARGED: Final = ("charge", "invoice_total", "burn", "amount", "usage_amount", "event")
"""Words for what is owed; an event with a number is what it burns."""


def grant(amount: Any, **more: Any) -> dict[str, Any]:
    """Return a grant of so much money."""
    return {"id": "grant", "amount": written(amount), "from": SINCE, **more}


def account_credit(words: Words, uses: Words) -> Case:
    """A credit note pays what is owed."""
    account = Account(credit=number(words.need("credit")))
    charges = (fee(uses.one(*CHARGED)),)
    return one(Bill(charges, plan={"adjustments": [{"kind": "account_credit"}]}, account=account))


def prepaid(words: Words, uses: Words) -> Case:
    """A balance pays; the rest is owed."""
    balance = words.need("balance")
    contract = {"grants": [grant(balance)] if number(balance) else []}
    return one(Bill((fee(uses.one(*CHARGED)),), contract=contract))


def prepaid_commit(words: Words, uses: Words) -> Case:
    """More credit than it costs; the answer is what it costs, or what usage in the same period comes to beside it."""
    bought = {"from": MONTH_START, "invoice_amount": written(words.need("invoice_amount"))}
    uses.told("event", "purchase", "bought")
    used_up = uses.any("charge", "usage_amount", default="0")
    return one(Bill((fee(used_up),), contract={"grants": [{**grant(words.need("access_amount")), **bought}]}))


def minimum_in_advance(words: Words, uses: Words) -> Case:
    """A minimum that was paid in advance; the answer is what of it is given back."""
    minimum = written(words.need("minimum"))
    paid = grant(minimum, invoice_amount=minimum, unused="refund", until=f"{PERIOD.end.date()}")
    charge = per_unit("1")
    usage = used(number(uses.one("usage_amount", "usage")))
    return one(Bill((charge,), (usage,), contract={"grants": [{**paid, "from": MONTH_START}]}), asked="refund")


def wallets(words: Words, uses: Words) -> Case:
    """Wallets pay in the order of their priority."""
    return _burned([_grant(Words(told, "a wallet"), place) for place, told in _each(words, "wallets")], None, uses)


def grants(words: Words, uses: Words) -> Case:
    """Grants are burned in an order; the answer is what is left to pay, or below zero where overdrawing is allowed."""
    if words.told("overdraft", True, False):
        contract = {"grants": [grant(words.need("balance"), overdraft={})]}
        return one(Bill((fee(uses.one(*CHARGED)),), contract=contract), asked="left")
    order = words.take("order")
    if words.has("balance"):
        return _burned([grant(words.take("balance"))], order, uses)
    return _burned([_grant(Words(told, "a grant"), place) for place, told in _each(words, "grants")], order, uses)


def _each(words: Words, name: str) -> list[tuple[int, Any]]:
    return list(enumerate(listed(words.need(name))))


def _burned(found: list[dict[str, Any]], order: Any, uses: Words) -> Case:
    terms: dict[str, Any] = {"kind": "credits"}
    if order is not None:
        if unknown := [f"{word}" for word in listed(order) if not isinstance(word, str) or word not in ORDER]:
            raise NotUnderstood(f"order: {', '.join(unknown)}")
        terms["order"] = [ORDER[word] for word in order]
    found = [one_ for one_ in found if number(one_["amount"])]  # nothing is paid from a balance of 0
    contract = {"grants": found, "adjustments": [terms]}
    at = uses.take("at")
    return one(Bill((fee(uses.one(*CHARGED)),), contract=contract, period=_while(found, at)))


def _while(found: list[dict[str, Any]], at: Any) -> Period:
    """Return a month in which all of the grants hold, or that of a day that is named."""
    ends = [dt.date.fromisoformat(one_["until"]) for one_ in found if "until" in one_]
    last = _expiry(at) if at is not None else min(ends, default=PERIOD.end.date()) - dt.timedelta(days=1)
    return Period.month(last.year, last.month)


def _grant(words: Words, place: int) -> dict[str, Any]:
    more: dict[str, Any] = {"id": f"grant-{place}"}
    words.take("id")  # a name; grants that are alike in all else are burned as they are listed
    kind = words.take("kind", "paid")
    if not isinstance(kind, str) or kind not in SOURCES:
        raise NotUnderstood(f"a grant: kind {kind!r}")
    more["source"] = SOURCES[kind]
    if (priority := words.take("priority")) is not None:
        more["priority"] = count(priority)
    if (expires := words.any("expires", "expiry")) is not None:
        more["until"] = f"{_expiry(expires)}"
    if (starts := words.any("starts", "created", "granted")) is not None:
        more["from"] = f"{_expiry(starts)}"
    amount = words.one("amount", "balance")
    words.done()
    return grant(amount, **more)


def _expiry(told: Any) -> dt.date:
    found = re.fullmatch(r"([A-Z][a-z]{2})[a-z]* (\d{1,2})(?:, (\d{4}))?", told if isinstance(told, str) else "")
    if found is None:
        return instant(told).date()
    if found[1] not in MONTHS:
        raise NotUnderstood(f"day {told!r}")
    return day(f"{found[3] or PERIOD.start.year}-{MONTHS.index(found[1]) + 1:02}-{int(found[2]):02}")


def credit_grant(words: Words, uses: Words) -> Case:
    """A recurring grant that begins inside a period, by seconds or days."""
    unit = words.take("proration", "days")
    decimals = re.fullmatch(r"(\d{1,2}) decimals", text(words.take("round", "8 decimals")))
    if unit not in ("seconds", "days") or decimals is None:
        raise NotUnderstood(f"proration {unit!r}")
    if uses.has("seconds_left"):
        covered, whole = count(uses.take("seconds_left")), count(uses.need("seconds_in_period"))
    elif uses.has("days_left"):
        covered, whole = count(uses.take("days_left")), count(uses.need("days_in_period"))
    else:
        bounds = text(uses.need("period")).split("..")
        if len(bounds) != 2:
            raise NotUnderstood(f"period {'..'.join(bounds)!r}")
        first, after, start = (instant(one_) for one_ in (*bounds, uses.need("start")))
        tick = dt.timedelta(microseconds=1)
        covered, whole = (after - start) // tick, (after - first) // tick
    if not 0 <= covered <= whole or not whole:
        raise NotUnderstood(f"{covered} of {whole} {unit}")
    terms = {"every": "period", "prorated": unit, "decimals": int(decimals[1])}
    found = Grant.model_validate(grant(words.one("credits", "amount"), **terms))
    return Case(direct=lambda: found.granted(covered, whole))


def credit_purchase(words: Words, uses: Words) -> Case:
    """Units of credit are bought at a price each."""
    rate = words.one("cost_basis", "rate")
    uses.told("event", "purchase", "bought")
    if (units := uses.any("credits", "units", "quantity")) is not None:
        words.skip("units")
        return one(Bill((per_unit(rate),), (used(number(units)),)))
    bought = {"id": "bought", "units": written(words.need("units")), "rate": "1", "cost_basis": written(rate)}
    return one(Bill((fee("0"),), contract={"grants": [{**bought, "from": MONTH_START}]}))


def recharge(words: Words, uses: Words) -> Case:
    """A balance that falls too low is topped up; the answer is what that costs."""
    uses.told("event", "recharge", "top-up", "topup")
    amount = written(words.need("amount"))
    discount = written(words.take("discount_percent", "0"))
    terms = {"amount": amount, "below": amount, "discount_percent": discount, "limit": 1}
    return one(Bill((fee("0"),), contract={"grants": [grant("0", recharge=terms)]}))


def rollover(words: Words, uses: Words) -> Case:
    """What a period leaves of a recurring grant goes on into the next."""
    if words.has("order"):
        order = words.take("order")
        if order != ["rollover", "current grant"]:
            raise NotUnderstood(f"order {order!r}")
        terms = _recurring(uses.need("grant"))
        start = dt.date(PERIOD.start.year, PERIOD.start.month - 1, 1)
        carried = Balance("grant", start, number(uses.need("rollover")), None, 1)
        bill = Bill((fee(uses.need("used")),), contract={"grants": [terms]}, account=Account((carried,)))
        return one(bill, asked="left", since=start)
    terms = _recurring(words.need("grant"), words.take("cap"))
    return _next_period(terms, uses)


def prepaid_units(words: Words, uses: Words) -> Case:
    """Units that are paid for every period; the answer is what there is of them in the second."""
    words.told("period", "month")
    terms = _recurring(words.need("units"), words.take("cap"))
    if not words.told("rollover", True, False):
        terms.pop("rollover")
    return _next_period(terms, uses)


def _recurring(amount: Any, cap: Any = None) -> dict[str, Any]:
    limit = {} if cap is None else {"cap": written(cap)}
    return grant(amount, every="period", rollover=limit, **{"from": MONTH_START})


def _next_period(terms: dict[str, Any], uses: Words) -> Case:
    bill = Bill((per_unit("1"),), (used(number(uses.need("used"))),), contract={"grants": [terms]})
    return one(bill, asked="available")
