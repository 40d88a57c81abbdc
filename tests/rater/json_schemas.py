"""The part of JSON Schema that the product's schemas use, judged by plain rules; another keyword is an error."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

SAID: Final = frozenset({"$defs", "$schema", "title", "description", "default", "format"})
TYPES: Final[Mapping[str, Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, Decimal),
}


def wrong(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield what is wrong with a value under a schema."""
    for word, said in schema.items():
        if word in SAID:
            continue
        yield from _RULES[word](value, said, schema, root, place)


def _type(value: Any, said: Any, _schema: Any, _root: Any, place: str) -> Iterator[str]:
    number = isinstance(value, bool) and said in ("integer", "number")
    if not isinstance(value, TYPES[said]) or number:
        yield f"{place}: {value!r} is no {said}"


def _reference(value: Any, said: str, _schema: Any, root: Any, place: str) -> Iterator[str]:
    yield from wrong(value, root["$defs"][said.removeprefix("#/$defs/")], root, place)


def _any(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    if not any(not list(wrong(value, one, root, place)) for one in said):
        yield f"{place}: {value!r} is none of {len(said)}"


def _one(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    fitting = sum(not list(wrong(value, one, root, place)) for one in said)
    if fitting != 1:
        yield f"{place}: {value!r} is {fitting} of {len(said)}"


def _properties(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    for name, one in said.items() if isinstance(value, dict) else ():
        if name in value:
            yield from wrong(value[name], one, root, f"{place}.{name}")


def _more(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    patterns = schema.get("patternProperties", {})
    for name, item in value.items() if isinstance(value, dict) else ():
        known = name in schema.get("properties", {}) or any(re.search(pattern, name) for pattern in patterns)
        if not known and said is False:
            yield f"{place}: {name} is not known"
        elif not known and said is not True:
            yield from wrong(item, said, root, f"{place}.{name}")


def _patterns(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    for name, item in value.items() if isinstance(value, dict) else ():
        for pattern, one in said.items():
            if re.search(pattern, name):
                yield from wrong(item, one, root, f"{place}.{name}")


def _names(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    for name in value if isinstance(value, dict) else ():
        yield from wrong(name, said, root, f"{place}.{name}")


def _items(value: Any, said: Any, _schema: Any, root: Any, place: str) -> Iterator[str]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from wrong(item, said, root, f"{place}.{number}")


def _holds(kind: Any, test: Any) -> Any:
    def rule(value: Any, said: Any, _schema: Any, _root: Any, place: str) -> Iterator[str]:
        if isinstance(value, kind) and not isinstance(value, bool) and not test(value, said):
            yield f"{place}: {value!r} against {said!r}"

    return rule


NUMBER: Final = (int, Decimal)
_RULES: Final[Mapping[str, Any]] = {
    "type": _type,
    "$ref": _reference,
    "anyOf": _any,
    "oneOf": _one,
    "properties": _properties,
    "additionalProperties": _more,
    "patternProperties": _patterns,
    "propertyNames": _names,
    "items": _items,
    "required": _holds(dict, lambda value, said: set(said) <= value.keys()),
    "minProperties": _holds(dict, lambda value, said: len(value) >= said),
    "minItems": _holds(list, lambda value, said: len(value) >= said),
    "maxItems": _holds(list, lambda value, said: len(value) <= said),
    "minLength": _holds(str, lambda value, said: len(value) >= said),
    "maxLength": _holds(str, lambda value, said: len(value) <= said),
    "pattern": _holds(str, lambda value, said: re.search(said, value)),
    "minimum": _holds(NUMBER, lambda value, said: value >= said),
    "maximum": _holds(NUMBER, lambda value, said: value <= said),
    "exclusiveMinimum": _holds(NUMBER, lambda value, said: value > said),
    "exclusiveMaximum": _holds(NUMBER, lambda value, said: value < said),
    "enum": _holds(object, lambda value, said: value in said),
    "const": _holds(object, lambda value, said: value == said),
}
