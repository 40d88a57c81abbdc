"""Statements before and after the usual one: interim ones at thresholds, and corrections for late usage."""

from dataclasses import replace

from schemas.money import exact
from tests.examples.case import Bill, Case, Charge, Words, fee, number, used
from tests.examples.words.fees import stub
from tests.examples.words.usage import moments


def thresholds(words: Words, uses: Words, charge: Charge) -> Case:
    """Usage is billed when it reaches an amount, and the closing statement takes that off again."""
    listed = words.take("thresholds") or [words.need("threshold")]
    charges: tuple[Charge, ...] = (charge,)
    if (subscription := words.take("subscription_fee")) is not None:
        charges = (fee(subscription), charge)
    total, stages = number("0"), []
    for more in uses.need("units"):
        total += number(more)
        stages.append(used(total))
    bill = Bill(charges, (stages[-1],), contract={"invoice_thresholds": {"amounts": listed}})
    if uses.has("terminated_on_day"):
        period, contract = stub(uses.take("terminated_on_day"), uses.need("days_in_period"))
        bill = replace(bill, period=period, contract={**bill.contract, **contract})
    return Case(((bill,),), stages=tuple(stages))


def late(charge: Charge, uses: Words) -> Case:
    """Usage that came after its period was billed is posted for its own period; the answer is that correction."""
    posted, known = number(uses.take("period_1_billed")), number(uses.need("period_1_now"))
    with exact():
        after = number(uses.need("cumulative_now")) - known
    bills = moments(charge, Words({"cumulative_quantities": [str(posted), str(known), str(after)]}, "usage"))
    return Case(tuple((bill,) for bill in bills), asked="late")
