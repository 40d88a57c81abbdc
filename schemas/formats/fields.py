"""Field types that formats share, and the refusal of an event whose fields do not fit its model."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, GetCoreSchemaHandler, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from schemas.formats.base import Rejected
from schemas.formats.strict_json import JsonValue, LongNumber, Number
from schemas.formats.timestamps import PATTERN, parse_timestamp
from schemas.verdicts import MAX_ID, MAX_QUANTITY, REASONS, Reason

MAX_EVENT_ID_LENGTH: Final = 256
"""Characters of an event's id."""
_SHOWN: Final = 60
"""Characters of a found value that a detail shows."""


class _Scalar:
    """The validator of an attribute's value: a string, a boolean, or a number as the strict reader gives it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema((str, int, Number))


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "not a string")
    instant = parse_timestamp(value)
    if instant is None:
        raise PydanticCustomError("bad_timestamp", "not an instant")
    return instant


Id = Annotated[int, Field(ge=0, le=MAX_ID)]
"""An organisation's or a project's number."""
Quantity = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]
"""Units of a category in one event."""
Timestamp = Annotated[
    int,
    PlainValidator(_instant, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": PATTERN}),
]
"""An RFC 3339 instant; the model holds it as microseconds UTC."""
Scalar = Annotated[
    str | bool | int | Number,
    _Scalar,
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""The value of an attribute."""


def reason_of_error(error: ErrorDetails) -> Reason:
    """Return the reason that one error of a model stands for."""
    kind, found, place = error["type"], error["input"], error["loc"]
    if kind in {"missing", "string_too_short"}:
        return "missing_field"
    if kind == "bad_timestamp":
        return "bad_timestamp"
    if place in QUANTITIES and (
        kind in {"greater_than_equal", "less_than_equal"}
        or (kind == "int_type" and isinstance(found, Number | LongNumber | float))
    ):
        return "bad_quantity"
    return "wrong_type"


QUANTITIES: Final = {("quantity",), ("data", "quantity")}
"""Where a quantity stands; elsewhere a number that does not fit is a wrong_type."""


def refused(
    error: ValidationError,
    model: type[BaseModel],
    category: JsonValue,
    rows: Mapping[Any, int],
    field: str = "category",
) -> Rejected:
    """Return why an event is refused, the reasons asked in the closed order over all its fields.

    `category` (the event's, in `field`) and `rows` (those that there are) tell an unknown one, which is asked after the
    types and before quantity and timestamp.
    """
    errors = [(reason_of_error(found), found) for found in error.errors(include_url=False, include_context=False)]
    reason, first = min(errors, key=lambda pair: REASONS.index(pair[0]))
    if reason in {"bad_quantity", "bad_timestamp"} and category not in rows:
        return unknown_category(category, field)
    place = first["loc"]
    found = "is missing" if first["type"] == "missing" else f"found {shown(first['input'])}"
    return Rejected(reason, f"{name_of(place)}: {found}; expected {expected(model, place)}")


def unknown_category(category: JsonValue, field: str = "category") -> Rejected:
    """Return the rejection of a category that the catalogue does not have."""
    return Rejected("unknown_category", f"{field}: found {shown(category)}; expected a category of the catalogue")


def name_of(place: Iterable[int | str]) -> str:
    """Return a field's path as a detail shows it, at most 60 characters of each name."""
    return ".".join(_quoted(str(part)[:_SHOWN])[1:-1] for part in place)


def shown(value: object) -> str:
    """Return what was found, short and in printable ASCII: never more than about 80 characters of an event."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, Number | LongNumber):
        text = value.text
    else:
        text = _quoted(value[: _SHOWN + 1] if isinstance(value, str) else value)
    if len(text) <= _SHOWN + 2 and not (isinstance(value, str) and len(value) > _SHOWN):
        return text
    size = f" ({len(value)} characters)" if isinstance(value, str) else f" ({len(text)} characters)"
    return f"{text[:_SHOWN]}…{size}"


def _quoted(value: object) -> str:
    # All but printable ASCII is escaped, so that a terminal that shows it is safe.
    return json.dumps(value, default=repr).replace("\x7f", "\\u007f")


def expected(model: type[BaseModel], place: Iterable[int | str]) -> str:
    """Return what a field is described as: the innermost description on its path."""
    description = ""
    fields = model.model_fields
    for part in place:
        field = fields.get(str(part))
        if field is None:
            break
        description = field.description or description
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        fields = models[0].model_fields if models else {}
    return description[:1].lower() + description[1:].rstrip(".")
