"""Which records plain SQL can judge, and how it takes them apart.

SQL's JSON functions are laxer than the contract, or merely other: they take a byte order mark, read 3.0 as 3 and a
number past 64 bits as text, and of a key that stands twice they take the first. So a record is judged in SQL only
where a regular expression finds it to be of a plain form that can be read in one way alone: UTF-8; an object, an array
of objects or objects a line; values that are strings, numbers of up to 18 digits, true, false, null, or one such object
more; keys without escapes, none of them twice. Anything else is *odd*: it is judged by the published contract
(schemas/formats) instead, and everything that it touches is counted apart.
"""

from typing import Final

_WS: Final = r"[ \t\r\n]*"
_KEY: Final = r'"[^"\\\x00-\x1f]*"'
_ESCAPE: Final = r'\\["\\/bfnrt]|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
_STRING: Final = rf'"(?:[^"\\\x00-\x1f]|{_ESCAPE})*"'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?"
_SCALAR: Final = f"(?:{_STRING}|{_NUMBER}|true|false|null)"


def _object(value: str) -> str:
    member = f"{_KEY}{_WS}:{_WS}{value}{_WS}"
    return rf"\{{{_WS}(?:{member}(?:,{_WS}{member})*)?\}}"


OBJECT: Final = _object(f"(?:{_SCALAR}|{_object(_SCALAR)})")
ONE_OBJECT: Final = f"^{_WS}{OBJECT}{_WS}$"
AN_ARRAY: Final = rf"^{_WS}\[{_WS}{OBJECT}{_WS}(?:,{_WS}{OBJECT}{_WS})*\]{_WS}$"

ODD, ALONE, ARRAY, LINES = range(4)
"""Forms of a record: odd, one object, an array of objects, an object a line."""

INSTANT: Final = (
    r"^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))$"
)
"""RFC 3339 with a zone: year, month, day, hour, minute, second, fraction, sign and offset."""


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SPLIT_LINES: Final = (
    "arrayFilter(line -> line != '', arrayMap(line -> trim(BOTH ' \\t\\r' FROM line), splitByChar('\\n', value)))"
)

FORM: Final = f"""
multiIf(
    NOT isValidUTF8(value), {ODD},
    match(value, {quoted(ONE_OBJECT)}), {ALONE},
    match(value, {quoted(AN_ARRAY)}), {ARRAY},
    length({_SPLIT_LINES}) > 1 AND arrayAll(line -> match(line, {quoted(ONE_OBJECT)}), {_SPLIT_LINES}), {LINES},
    {ODD}
)
"""
"""The form of a record's value."""

EVENTS: Final = f"""
multiIf(form = {ALONE}, [value], form = {ARRAY}, extractAll(value, {quoted(OBJECT)}), {_SPLIT_LINES})
"""
"""The events of a record that is not odd, each as its own JSON object."""


def timestamp(groups: str) -> str:
    """Return the microseconds UTC of an instant whose parts are in the array `groups`; NULL for no instant."""
    whole = (
        f"dateDiff('day', toDate32('1970-01-01'), makeDate32(toUInt16OrZero({groups}[1]), toUInt8OrZero({groups}[2]), "
        f"toUInt8OrZero({groups}[3]))) * 86400"
        f" + toInt64OrZero({groups}[4]) * 3600 + toInt64OrZero({groups}[5]) * 60 + toInt64OrZero({groups}[6])"
        f" - multiIf({groups}[8] = '+', 1, {groups}[8] = '-', -1, 0)"
        f" * (toInt64OrZero({groups}[9]) * 3600 + toInt64OrZero({groups}[10]) * 60)"
    )
    fraction = f"toInt64OrZero(rightPad(substring({groups}[7], 1, 6), 6, '0'))"
    there_is_such_a_day = (
        f"toString(makeDate32(toUInt16OrZero({groups}[1]), toUInt8OrZero({groups}[2]), toUInt8OrZero({groups}[3])))"
        f" = concat({groups}[1], '-', {groups}[2], '-', {groups}[3])"
    )
    return f"if(notEmpty({groups}) AND {there_is_such_a_day}, toInt64({whole}) * 1000000 + {fraction}, NULL)"
