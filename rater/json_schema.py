"""JSON Schema of price books and contracts, for editors: what may stand where, in words of the standard alone."""

from typing import Any, Final

from pydantic import BaseModel

from schemas.prices import DIGITS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NUMBER: Final = rf"^[-+]?[0-9_]{{1,{DIGITS + 2}}}(\.[0-9]+)?$"
"""A number in quotes, or one that an editor takes for text: 1_000."""

_OWN: Final = frozenset({"ge", "gt", "le", "lt", "max_digits", "decimal_places", "discriminator"})
"""What the validator says beside the standard; bounds of numbers are said again in its words."""


def json_schema(shape: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a file. Rules between fields are not in it: `rater.checks` knows them."""
    found = _standard(shape.model_json_schema(by_alias=True, mode="validation"))
    return {"$schema": DIALECT, **found}


def _standard(value: Any) -> Any:
    if isinstance(value, list):
        return [_standard(item) for item in value]
    if isinstance(value, float):
        assert value.is_integer(), f"{value} is a float, and no bound that was written"
        return int(value)
    if not isinstance(value, dict):
        return value
    found = {name: _standard(item) for name, item in value.items() if name not in _OWN}
    if {"type": "number"} in found.get("anyOf", ()) and {"type": "string"} in found["anyOf"]:
        bounds = {"minimum": value.get("ge"), "exclusiveMinimum": value.get("gt"), "maximum": value.get("le")}
        number = {"type": "number", **{name: int(bound) for name, bound in bounds.items() if bound is not None}}
        others = [item for item in found["anyOf"] if item.get("type") not in ("number", "string")]
        found["anyOf"] = [number, {"type": "string", "pattern": NUMBER}, *others]
    return found
