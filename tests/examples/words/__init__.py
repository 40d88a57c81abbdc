"""From the examples' words to bills: a translation, with no arithmetic of money.

Every word of an example has to be known: one that is not makes the whole example `NotUnderstood`, so that nothing is
passed by overlooking what it asks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from tests.examples.case import Case, NotUnderstood, Words, mapping, number, rounding, text
from tests.examples.words import aggregates, bills, changes, committed, counted, credit, fees, quantities

Translate = Callable[[Words, Words], Case]

MODELS: Final[dict[Any, Translate]] = {
    **{model: partial(counted.usage_based, model) for model in counted.MODELS},
    "commitment": committed.commitment,
    "flat": fees.flat,
    "one_time": fees.one_time,
    "proration": changes.proration,
    "phases": fees.phases,
    "sum": bills.summed,
    "round": bills.rounded,
    "invoice": bills.invoice,
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
    in_cents = text(example["currency"]).endswith("cents")
    definition, usage = (_without_cents(mapping(example[part]), scale=not in_cents) for part in ("definition", "usage"))
    model = definition.get("model")
    if model == "tax" or any(word in definition for word in TAX):
        raise NotUnderstood("tax stays outside the rater")
    if model is None:
        model = counted.guessed(Words(definition, "definition"))
    if not isinstance(model, str) or model not in MODELS:
        raise NotUnderstood(f"model {model!r}")
    words, uses = Words(definition, model), Words(usage, f"usage of {model}")
    case = MODELS[model](words, uses)
    words.done()
    uses.done()
    if "rounding" in example:
        told = rounding(example["rounding"])
        if case.rounding not in (None, told):
            raise NotUnderstood(f"rounding {example['rounding']!r}, and another one in the definition")
        case = replace(case, rounding=told)
    return case


def _without_cents(value: Any, *, scale: bool) -> Any:
    """Return words without `_cents` at their end: amounts in cents as amounts, unless the whole example is in cents."""
    if isinstance(value, list):
        return [_without_cents(one, scale=scale) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, inside in value.items():
        plain = name.removesuffix("_cents")
        if plain in found or (plain != name and plain in value):
            raise NotUnderstood(f"{plain} beside {name}")
        found[plain] = _cents(inside) if plain != name and scale else _without_cents(inside, scale=scale)
    return found


def _cents(value: Any) -> Any:
    return [_cents(one) for one in value] if isinstance(value, list) else f"{number(value).scaleb(-2):f}"
