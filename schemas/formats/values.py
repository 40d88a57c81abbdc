"""Splitting a value into events: one JSON value, an array of them, or a line each (NDJSON)."""

from typing import Final

from schemas.formats.base import Rejected
from schemas.formats.strict_json import JsonObject, JsonValue, LongNumber, NotJson, Number, decode, load, load_array

ARROW: Final = b"\xff"
"""The first byte of an Arrow IPC stream, which no UTF-8 text starts with."""
_BLANK: Final = b" \t\r"
_NAMES: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "a number",
    Number: "a number",
    LongNumber: "a number",
    str: "a string",
    list: "an array",
    type(None): "null",
}


def split(value: bytes) -> list[tuple[bytes, JsonObject | Rejected]]:
    """Return the events of a value, each with its own bytes; at least one.

    - One JSON value: an array holds one event per element (its bytes are the element's, without the space around it),
      anything else is one event, whose bytes are the whole value.
    - Not one JSON value, and several lines that are not blank: NDJSON, one event per such line, without the space
      around it. A line must be an object.
    - Otherwise, and for an empty array, one rejected event.

    What is no JSON or no object comes as a Rejected in the event's place. A value that starts with 0xFF is an Arrow
    stream, which `schemas.formats.arrow` splits; here it is not JSON.
    """
    try:
        text = decode(value)
        if not text.lstrip(" \t\r\n").startswith("["):
            return [(value, _object(load(text)))]
        elements = load_array(text)
    except NotJson as error:
        lines = [] if value[:1] == ARROW else [line.strip(_BLANK) for line in value.split(b"\n")]
        lines = [line for line in lines if line]
        if len(lines) > 1:
            return [(line, _line(line)) for line in lines]
        return [(value, Rejected("not_json", str(error) if value else "the value is empty"))]
    if not elements:
        return [(value, Rejected("not_an_object", "found an empty array; expected an object"))]
    if len(text) == len(value):
        return [(value[start:end], _object(element)) for start, end, element in elements]
    return [(text[start:end].encode(), _object(element)) for start, end, element in elements]


def _line(line: bytes) -> JsonObject | Rejected:
    try:
        return _object(load(decode(line)))
    except NotJson as error:
        return Rejected("not_json", str(error))


def _object(value: JsonValue) -> JsonObject | Rejected:
    if isinstance(value, dict):
        return value
    return Rejected("not_an_object", f"found {_NAMES[type(value)]}; expected an object")
