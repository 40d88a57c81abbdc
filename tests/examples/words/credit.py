"""Credit: prepaid balances, grants and wallets, what they cost, in which order they are burned, what is left."""

import datetime as dt
import re
from decimal import Decimal
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
    number,
    one,
    per_unit,
    used,
)
from tests.examples.words.usage import day

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ORDER: Final = {
    "priority": "priority",
    "promotional before paid": "promotional",
    "expiry": "end",
    "earliest expiry": "end",
    "oldest": "oldest",
}
MONTH_START: Final = f"{PERIOD.start.date()}"


def grant(amount: Any, **more: Any) -> dict[str, Any]:
    """Return a grant of so much money."""
    return {"id": "grant", "amount": str(number(amount)), "from": SINCE, **more}


def account_credit(words: Words, uses: Words) -> Case:
    """A credit note pays what is owed."""
    account = Account(credit=number(words.need("credit")))
    charges = (fee(uses.need("charge")),)
    return one(Bill(charges, plan={"adjustments": [{"kind": "account_credit"}]}, account=account))


def prepaid(words: Words, uses: Words) -> Case:
    """A balance pays; the rest is owed."""
    contract = {"grants": [grant(words.need("balance"))]}
    return one(Bill((fee(uses.need("charge")),), contract=contract))


def prepaid_commit(words: Words, uses: Words) -> Case:
    """More credit than it costs; the answer is what it costs."""
    uses.skip("event")
    bought = grant(words.need("access_amount"), invoice_amount=words.need("invoice_amount"))
    return one(Bill((fee("0"),), contract={"grants": [{**bought, "from": MONTH_START}]}))


def minimum_in_advance(words: Words, uses: Words) -> Case:
    """A minimum that was paid in advance; the answer is what of it is given back."""
    minimum = words.need("minimum")
    paid = grant(minimum, invoice_amount=minimum, unused="refund", until=f"{PERIOD.end.date()}")
    charge = per_unit("1")
    usage = used(number(uses.need("usage_amount")))
    return one(Bill((charge,), (usage,), contract={"grants": [{**paid, "from": MONTH_START}]}), asked="refund")


def wallets(words: Words, uses: Words) -> Case:
    """Wallets pay in the order of their priority."""
    found = [Words(wallet, "a wallet") for wallet in words.need("wallets")]
    listed = [
        grant(wallet.need("balance"), id=f"wallet-{place}", priority=count(wallet.need("priority")))
        for place, wallet in enumerate(found)
    ]
    for wallet in found:
        wallet.done()
    return one(Bill((fee(uses.need("invoice_total")),), contract={"grants": listed}))


def grants(words: Words, uses: Words) -> Case:
    """Grants are burned in an order; the answer is what is left to pay, or below zero where overdrawing is allowed."""
    if words.take("overdraft"):
        contract = {"grants": [grant(words.need("balance"), overdraft={})]}
        owed = uses.take("event") or uses.need("burn")
        return one(Bill((fee(owed),), contract=contract), asked="left")
    order = words.take("order")
    found = [Words(listed, "a grant") for listed in words.need("grants")]
    listed = [_grant(one_) for one_ in found]
    for one_ in found:
        one_.done()
    terms: dict[str, Any] = {"kind": "credits"}
    if order is not None:
        if unknown := [word for word in order if word not in ORDER]:
            raise NotUnderstood(f"order: {', '.join(unknown)}")
        terms["order"] = [ORDER[word] for word in order]
    contract = {"grants": listed, "adjustments": [terms]}
    period = Period.month(PERIOD.start.year, 7)
    return one(Bill((fee(uses.need("burn")),), contract=contract, period=period))


def _grant(words: Words) -> dict[str, Any]:
    more: dict[str, Any] = {"id": str(words.need("id")).lower(), "source": words.take("kind", "paid")}
    if (priority := words.take("priority")) is not None:
        more["priority"] = count(priority)
    if (expires := words.take("expires")) is not None:
        more["until"] = f"{_expiry(expires)}"
    return grant(words.need("amount"), **more)


def _expiry(text: str) -> dt.date:
    found = re.fullmatch(r"([A-Z][a-z]{2}) (\d{1,2})", text)
    if found is None:
        return day(text)
    if found[1] not in MONTHS:
        raise NotUnderstood(f"day {text!r}")
    return dt.date(PERIOD.start.year, MONTHS.index(found[1]) + 1, int(found[2]))


def credit_grant(words: Words, uses: Words) -> Case:
    """A recurring grant that begins inside a period, by seconds or days."""
    unit = words.take("proration", "days")
    decimals = re.fullmatch(r"(\d+) decimals", words.take("round", "8 decimals"))
    if unit not in ("seconds", "days") or decimals is None:
        raise NotUnderstood(f"proration {unit!r}")
    if uses.has("seconds_left"):
        covered, whole = count(uses.take("seconds_left")), count(uses.need("seconds_in_period"))
    else:
        first, after = (day(one_) for one_ in uses.need("period").split(".."))
        covered, whole = (after - day(uses.need("start"))).days, (after - first).days
    terms = {"every": "period", "prorated": unit, "decimals": int(decimals[1])}
    found = Grant.model_validate(grant(words.need("credits"), **terms))
    return Case(direct=lambda: found.granted(covered, whole))


def credit_purchase(words: Words, uses: Words) -> Case:
    """Units of credit are bought at a price each."""
    rate = words.take("cost_basis") or words.need("rate")
    if (units := uses.take("credits")) is not None:
        words.skip("units")
        return one(Bill((per_unit(rate),), (used(number(units)),)))
    units = words.need("units")
    bought = {"id": "bought", "units": units, "rate": "1", "cost_basis": rate, "from": MONTH_START}
    return one(Bill((fee("0"),), contract={"grants": [bought]}))


def recharge(words: Words, uses: Words) -> Case:
    """A balance that falls too low is topped up; the answer is what that costs."""
    uses.skip("event")
    amount = words.need("amount")
    terms = {"amount": amount, "below": amount, "discount_percent": words.take("discount_percent", "0"), "limit": 1}
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
        return one(bill, asked="left", before=number("0"))
    terms = _recurring(words.need("grant"), words.take("cap"))
    return _next_period(terms, uses)


def prepaid_units(words: Words, uses: Words) -> Case:
    """Units that are paid for every period; the answer is what there is of them in the second."""
    if words.take("period") != "month":
        raise NotUnderstood("prepaid units of another period than a month")
    terms = _recurring(words.need("units"))
    if not words.take("rollover"):
        terms.pop("rollover")
    return _next_period(terms, uses)


def _recurring(amount: Any, cap: Any = None) -> dict[str, Any]:
    return grant(amount, every="period", rollover={} if cap is None else {"cap": cap}, **{"from": MONTH_START})


def _next_period(terms: dict[str, Any], uses: Words) -> Case:
    bill = Bill((per_unit("1"),), (used(Decimal(number(uses.need("used")))),), contract={"grants": [terms]})
    return one(bill, asked="available")
