"""JSON, strictly: what RFC 8259 allows and nothing beside it, with every number kept as it was written.

Refused, beside plain syntax errors: a byte order mark, bytes that are no UTF-8, lone surrogates (also as escapes), NaN
and Infinity, nesting deeper than MAX_DEPTH. Of a key that stands twice the last one counts.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

MAX_DEPTH: Final = 100
"""Objects and arrays may be nested this deep, the outermost one counted."""
MAX_NUMBER_LENGTH: Final = 256
"""A number written with more characters than this is no number that an event can carry."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number written with a fraction or an exponent. It is kept as text: a float would not be what was written."""

    text: str


@dataclass(frozen=True, slots=True)
class LongNumber:
    """A number written with more than MAX_NUMBER_LENGTH characters: JSON, but of no type that a field takes."""

    text: str


JsonValue: TypeAlias = bool | int | str | Number | LongNumber | list["JsonValue"] | dict[str, "JsonValue"] | None
JsonObject: TypeAlias = dict[str, JsonValue]


class NotJson(ValueError):
    """The text is not one JSON value; the message says why, in words that are safe to store."""


def _integer(text: str) -> int | LongNumber:
    return int(text) if len(text) <= MAX_NUMBER_LENGTH else LongNumber(text)


def _fraction(text: str) -> Number | LongNumber:
    return Number(text) if len(text) <= MAX_NUMBER_LENGTH else LongNumber(text)


def _constant(name: str) -> None:
    raise NotJson(f"{name} is no JSON number")


_reader: Final[Any] = json.JSONDecoder(parse_int=_integer, parse_float=_fraction, parse_constant=_constant)
_scan: Final = _reader.scan_once
_space: Final = re.compile(r"[ \t\n\r]*").match
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKET: Final = re.compile(r"[^][{}]+")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F])|.)", re.DOTALL
)


def decode(data: bytes) -> str:
    """Return the text of a value; raises NotJson where it holds what no JSON text may hold."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start} is not UTF-8") from None
    if _SURROGATE.search(text) and any(escape[1] for escape in _ESCAPE.finditer(text)):
        raise NotJson("a string holds half of a surrogate pair")
    return text


def load(text: str) -> JsonValue:
    """Return the one value that a text (from `decode`) holds; raises NotJson."""
    value, end = _scan_at(text, _skip(text, 0))
    _expect_end(text, end)
    if _too_deep(text, 0, end, MAX_DEPTH):
        raise NotJson(f"nested deeper than {MAX_DEPTH}")
    return value


def load_first(text: str) -> JsonValue:
    """Return the value that a text begins with, whatever follows it; raises NotJson."""
    return _scan_at(text, 0)[0]


def load_array(text: str) -> list[tuple[int, int, JsonValue]]:
    """Return (start, end, value) of each element of a text that holds one array; raises NotJson."""
    elements: list[tuple[int, int, JsonValue]] = []
    at = _skip(text, _skip(text, 0) + 1)
    if text[at : at + 1] == "]":
        _expect_end(text, at + 1)
        return elements
    while True:
        value, end = _scan_at(text, at)
        if _too_deep(text, at, end, MAX_DEPTH - 1):
            raise NotJson(f"nested deeper than {MAX_DEPTH}")
        elements.append((at, end, value))
        at = _skip(text, end)
        found = text[at : at + 1]
        if found == "]":
            _expect_end(text, at + 1)
            return elements
        if found != ",":
            raise NotJson(f"expected ',' or ']' at character {at}")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    return _space(text, at).end()  # type: ignore[union-attr] # it matches the empty text too


def _expect_end(text: str, at: int) -> None:
    end = at if at == len(text) else _skip(text, at)
    if end != len(text):
        raise NotJson(f"something follows the value at character {end}")


def _scan_at(text: str, start: int) -> tuple[JsonValue, int]:
    try:
        value, end = _scan(text, start)
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from None
    except StopIteration as stop:
        raise NotJson(f"expected a value at character {stop.value}") from None
    except RecursionError:
        raise NotJson(f"nested deeper than {MAX_DEPTH}") from None
    return value, end


def _too_deep(text: str, start: int, end: int, limit: int) -> bool:
    """Say whether the brackets outside strings are nested deeper than `limit`, in text that is known to be JSON."""
    if text.count("{", start, end) + text.count("[", start, end) <= limit:
        return False
    brackets = _NOT_BRACKET.sub("", _STRING.sub("", text[start:end])).translate({ord("["): "{", ord("]"): "}"})
    for _ in range(limit):  # each pass takes the innermost pairs away, so one level of nesting
        brackets = brackets.replace("{}", "")
        if not brackets:
            return False
    return True
