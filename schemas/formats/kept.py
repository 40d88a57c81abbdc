"""What a category's `keep` asks for of an event: a value to be counted once, and an amount of money.

| attribute | may be | kept as |
|---|---|---|
| `value` | a string, a boolean or a number; absent | canonical JSON, '' where it is absent |
| `amount` | a number, or a string that is written like one | a decimal, exactly as it was meant |

An amount is never coerced and never taken for nothing: an event that lacks it is a missing_field, and anything but a
number from 0 with at most 20 digits before the point and 18 after it is a wrong_type. A string carries any such
number through every producer; a number in JSON is read as it is written, and never as a float.
"""

import re
from collections.abc import Mapping
from typing import Final

from schemas.catalogue import Keep
from schemas.formats.base import Context, Rejected
from schemas.formats.canonical import canonical_json, canonical_number
from schemas.formats.fields import name_of, shown
from schemas.formats.strict_json import MAX_NUMBER_LENGTH, JsonValue, Number
from schemas.log import NO_VALUES, KeptValues
from schemas.verdicts import REASONS

_AMOUNT: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?")
"""What a column of money holds."""
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_EXPECTED_AMOUNT: Final = (
    "expected an amount: a number from 0, or a string with one, with at most 20 digits before the point and 18 after it"
)


def kept_of(attributes: JsonValue, row: int | None, context: Context, place: str) -> KeptValues | Rejected:
    """Return what an event's category keeps of its attributes, or why the event is refused.

    `attributes` is the event's object (empty: it has none) and `place` its name, `row` the category's (None: there is
    no such). What is no object, and an unknown category, are the format's to refuse: nothing is kept of them.
    """
    keep = None if row is None else context.keeps.get(row)
    if keep is None or not isinstance(attributes, dict):
        return NO_VALUES
    if keep.amount is not None and keep.amount not in attributes:
        return _missing(keep.amount, place)  # asked before the types
    value = _value_of(attributes, keep, place)
    if isinstance(value, Rejected):
        return value
    amount = _amount_of(attributes, keep, place)
    return amount if isinstance(amount, Rejected) else KeptValues(value, amount)


def first_of(one: Rejected, other: KeptValues | Rejected) -> Rejected:
    """Return the refusal whose reason is asked first; the first one where both are asked at once."""
    if isinstance(other, Rejected) and REASONS.index(other.reason) < REASONS.index(one.reason):
        return other
    return one


def _value_of(found: Mapping[str, JsonValue], keep: Keep, place: str) -> str | Rejected:
    if keep.value is None or found.get(keep.value) is None:
        return ""
    value = found[keep.value]
    if isinstance(value, str | int | Number):
        return canonical_json(value)
    where = name_of((place, keep.value))
    return Rejected("wrong_type", f"{where}: found {shown(value)}; expected a string, number or boolean to keep")


def _amount_of(found: Mapping[str, JsonValue], keep: Keep, place: str) -> str | Rejected:
    if keep.amount is None:
        return ""
    value = found[keep.amount]
    text = value.text if isinstance(value, Number) else value
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str) and len(text) <= MAX_NUMBER_LENGTH and _NUMBER.fullmatch(text):
        number = canonical_number(text)
        if _AMOUNT.fullmatch(number):
            return number
    return Rejected("wrong_type", f"{name_of((place, keep.amount))}: found {shown(value)}; {_EXPECTED_AMOUNT}")


def _missing(name: str, place: str) -> Rejected:
    return Rejected("missing_field", f"{name_of((place, name))}: is missing; {_EXPECTED_AMOUNT}")
