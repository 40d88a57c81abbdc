"""Statements before and after the usual one: interim ones at thresholds, and corrections for late usage."""

from dataclasses import replace

from schemas.money import exact
from tests.examples.case import Bill, Case, Charge, NotUnderstood, Words, fee, number, numbers, used, written
from tests.examples.words.lengths import stub
from tests.examples.words.usage import moments


def thresholds(words: Words, uses: Words, charge: Charge) -> Case:
    """Usage is billed when it reaches an amount, and the closing statement takes that off again."""
    told = words.any("thresholds", "threshold")
    amounts = [written(amount) for amount in (told if isinstance(told, list) else [told])]
    every = words.take("recurring_threshold")
    charges: tuple[Charge, ...] = (charge,)
    if (subscription := words.take("subscription_fee")) is not None:
        charges = (fee(subscription), charge)
    stages = []
    with exact():
        total = number("0")
        for more in numbers(uses.need("units")):
            total += more
            stages.append(used(total))
    if not stages:
        raise NotUnderstood("usage in no units")
    terms = {"amounts": amounts, **({} if every is None else {"then_every": written(every)})}
    bill = Bill(charges, (stages[-1],), contract={"invoice_thresholds": terms})
    if uses.has("terminated_on_day"):
        period, contract = stub(uses.take("terminated_on_day"), uses.need("days_in_period"))
        bill = replace(bill, period=period, contract={**bill.contract, **contract})
    return Case(((bill,),), stages=tuple(stages))


def late(charge: Charge, uses: Words) -> Case:
    """Usage that came after its period was billed is posted for its own period; the answer is that correction."""
    posted, known = number(uses.take("period_1_billed")), number(uses.need("period_1_now"))
    with exact():
        after = number(uses.take("cumulative_now", written(known))) - known
    bills = moments(charge, Words({"cumulative_quantities": [posted, known, after]}, "usage"))
    return Case(tuple((bill,) for bill in bills), asked="late")
