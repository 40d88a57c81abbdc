"""From the examples' words to bills: a translation, with no arithmetic of money.

Every word of an example has to be known: one that is not makes the whole example `NotUnderstood`, so that nothing is
passed by overlooking what it asks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from tests.examples.case import Case, NotUnderstood, Words, rounding
from tests.examples.words import aggregates, bills, counted, credit, fees, quantities

Translate = Callable[[Words, Words], Case]

MODELS: Final[dict[Any, Translate]] = {
    **{model: partial(counted.usage_based, model) for model in counted.MODELS},
    "commitment": counted.commitment,
    "flat": fees.flat,
    "one_time": fees.one_time,
    "proration": fees.proration,
    "phases": fees.phases,
    "sum": bills.summed,
    "round": bills.rounded,
    "discount": bills.discount,
    "adjustment": bills.adjustment,
    "coupons": bills.coupons,
    "plan_minimum": bills.plan_minimum,
    "charge_minimum": bills.plan_minimum,
    "minimum_in_advance": credit.minimum_in_advance,
    "account_credit": credit.account_credit,
    "prepaid": credit.prepaid,
    "prepaid_commit": credit.prepaid_commit,
    "wallets": credit.wallets,
    "grants": credit.grants,
    "credit_grant": credit.credit_grant,
    "credit_purchase": credit.credit_purchase,
    "recharge": credit.recharge,
    "rollover": credit.rollover,
    "prepaid_units": credit.prepaid_units,
    "aggregate": aggregates.aggregate,
    "convert_units": quantities.convert_units,
    "round_units": quantities.round_units,
    "credits": quantities.in_credits,
    "custom_unit": quantities.custom_unit,
    "usage_discount": quantities.usage_discount,
    "usage_cap": quantities.usage_cap,
}
TAX: Final = ("tax", "tax_percent", "tax_percent_by_fee")


def translate(example: Mapping[str, Any]) -> Case:
    """Return the case that an example describes. Raises NotUnderstood."""
    definition, usage = dict(example["definition"]), dict(example["usage"])
    model = definition.get("model")
    if model == "tax" or any(word in definition for word in TAX):
        raise NotUnderstood("tax stays outside the rater")
    if model not in MODELS:
        raise NotUnderstood(f"model {model}")
    words, uses = Words(definition, f"{model}"), Words(usage, f"usage of {model}")
    case = MODELS[model](words, uses)
    words.done()
    uses.done()
    if "rounding" in example:
        case = replace(case, rounding=rounding(example["rounding"]))
    return case
