"""The published contract of a wire format as JSON Schema (draft 2020-12), made from its pydantic model.

What JSON Schema cannot say stands in the descriptions: that a category must be in the catalogue, that an integer is
written without fraction or exponent (`3.0` is an integer to JSON Schema), the years of a timestamp, and the largest
organisation number written as text.
"""

from pydantic.json_schema import GenerateJsonSchema

from schemas.formats.base import Schema
from schemas.formats.judge import format_named


def json_schema(format: str) -> Schema:  # noqa: A002 - it is what --format names
    """Return the JSON Schema of one event of the named format; raises SettingsError for a name that is none."""
    found = format_named(format)
    schema = found.model.model_json_schema(mode="validation")
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": f"urn:tally:format:{found.name}", **schema}
