"""The native format: `tally`. One event is one JSON object, or one row of an Arrow IPC stream.

    {"event_id": "6f2c…", "org_id": 1, "project_id": 7, "category": "error", "quantity": 3,
     "timestamp": "2026-11-22T10:00:00.123Z", "source": "relay-4", "attributes": {"region": "eu"}}

Every field but `source` and `attributes` is required. `null` is a wrong_type everywhere. An empty `event_id` counts
as missing: a producer that sends "" for every event would otherwise see all but one dropped as duplicates.
"""

from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.formats.base import STRICT, Context, Decoded, Outcome, Rejected
from schemas.formats.canonical import dimensions_of
from schemas.formats.fields import (
    MAX_EVENT_ID_LENGTH,
    Id,
    Quantity,
    Scalar,
    Timestamp,
    refused,
    unknown_category,
)
from schemas.formats.kept import first_of, kept_of
from schemas.formats.strict_json import JsonObject
from schemas.log import NO_VALUES, KeptValues


class TallyEvent(BaseModel):
    """A usage event in Tally's own format."""

    model_config = ConfigDict(
        **STRICT,
        title="Tally usage event",
        json_schema_extra={
            "examples": [
                {
                    "event_id": "6f2c7b1e-52a8-4c58-9a0e-3d1f6f3a9b77",
                    "org_id": 1,
                    "project_id": 7,
                    "category": "error",
                    "quantity": 3,
                    "timestamp": "2026-11-22T10:00:00.123Z",
                    "source": "relay-4",
                    "attributes": {"region": "eu", "sampled": False, "rate": 0.25},
                }
            ]
        },
    )

    event_id: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID_LENGTH)] = Field(
        description="A string of 1 to 256 characters that is unique within the organisation; a retry repeats it."
    )
    org_id: Id = Field(description="The organisation's number, an integer from 0 to 9223372036854775807.")
    project_id: Id = Field(description="The project's number, an integer from 0 to 9223372036854775807.")
    category: str = Field(description="The name of a category of the catalogue.", examples=["error"])
    quantity: Quantity = Field(
        description="Units of the category, an integer from 0 to 9007199254740992, without fraction or exponent."
    )
    timestamp: Timestamp = Field(
        description="When it happened: an RFC 3339 instant with a zone, in the years 2000 to 2099."
    )
    source: str = Field(default="", description="A string that names the producer's instance.")
    attributes: dict[str, Scalar] = Field(
        default_factory=dict,
        description="An object of strings, booleans and numbers (of at most 256 characters) to group usage by.",
    )


class Tally:
    """The reader of the native format."""

    name: ClassVar[str] = "tally"
    model: ClassVar[type[BaseModel]] = TallyEvent
    takes_arrow: ClassVar[bool] = True

    def read(self, value: JsonObject, context: Context) -> Outcome:
        """Decode one event; what is wrong with it comes back as a Rejected."""
        kept = _kept(value, context) if context.keeps else NO_VALUES
        try:
            event = TallyEvent.model_validate(value)
        except ValidationError as error:
            return first_of(refused(error, TallyEvent, value.get("category"), context.row_by_name), kept)
        if isinstance(kept, Rejected):
            return kept
        category = context.row_by_name.get(event.category)
        if category is None:
            return unknown_category(event.category)
        return Decoded(
            org_id=event.org_id,
            event_id=event.event_id,
            project_id=event.project_id,
            category=category,
            quantity=event.quantity,
            timestamp=event.timestamp,
            dimensions=dimensions_of(event.attributes, context.group_by),
            not_billable=None,
            source=event.source,
            kept=kept,
        )


def _kept(value: JsonObject, context: Context) -> KeptValues | Rejected:
    category = value.get("category")
    row = context.row_by_name.get(category) if isinstance(category, str) else None
    return kept_of(value.get("attributes", {}), row, context, "attributes")


FORMAT: Final = Tally()
