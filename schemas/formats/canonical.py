"""One text for one value: the canonical JSON of what groups usage and of what is kept of an Arrow row."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from schemas.formats.strict_json import JsonValue, LongNumber, Number

PLAIN_LENGTH: Final = 40
"""A number is written out where that takes at most this many characters, and with an exponent otherwise."""

_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
_NUMBER: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


def canonical_number(text: str) -> str:
    """Return the one spelling of a JSON number of at most MAX_NUMBER_LENGTH characters; exact, no float in between.

    `100`, `1e2` and `100.00` are `100`; `-0.0` is `0`; `1.50` is `1.5`; `1E400` is `1e400`.
    """
    found = _NUMBER.fullmatch(text)
    assert found is not None, f"{text!r} is not a JSON number"
    sign, whole, fraction, exponent = found[1], found[2], found[3] or "", int(found[4] or 0)
    written = (whole + fraction).lstrip("0")
    digits = written.rstrip("0")
    if not digits:
        return "0"
    # value = digits × 10^power; `point` digits stand before the decimal point.
    power = exponent - len(fraction) + len(written) - len(digits)
    point = len(digits) + power
    if power >= 0 and point <= PLAIN_LENGTH:
        return f"{sign}{digits}{'0' * power}"
    if point > 0 and power < 0 and len(digits) < PLAIN_LENGTH:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if point <= 0 and 2 - power <= PLAIN_LENGTH:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"


def canonical_json(value: JsonValue, number: Callable[[str], str] = canonical_number) -> str:
    """Return the canonical JSON of a value: keys sorted by code point, no spaces, one spelling a number.

    `number` spells those that were written with a fraction or an exponent.
    """
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        text = str(value)
        return text if len(text) <= PLAIN_LENGTH else canonical_number(text)
    if isinstance(value, Number):
        return number(value.text)
    if isinstance(value, LongNumber):
        return value.text
    if isinstance(value, list):
        return f"[{','.join(canonical_json(item, number) for item in value)}]"
    return f"{{{','.join(f'{_quoted(key)}:{canonical_json(value[key], number)}' for key in sorted(value))}}}"


def dimensions_of(attributes: Mapping[str, JsonValue] | None, group_by: Sequence[str]) -> str:
    """Return the canonical JSON of those attributes that `group_by` names, '' where the event has none of them."""
    if not attributes or not group_by:
        return ""
    grouped = {name: attributes[name] for name in group_by if name in attributes}
    return canonical_json(grouped) if grouped else ""
