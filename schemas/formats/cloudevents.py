"""CloudEvents 1.0 in JSON, structured mode, single or batch (an array): `cloudevents`, as OpenMeter's users send them.

    {"specversion": "1.0", "type": "error", "source": "service-0", "id": "00001", "subject": "42",
     "time": "2026-11-22T10:00:00.123Z", "data": {"quantity": 3, "project_id": 7, "region": "eu"}}

| here | from | notes |
|---|---|---|
| event id | `source` and `id` | together they are unique; joined so that no two pairs give one text |
| category | `type` | a category's name |
| organisation | `subject` | its number in decimal digits, without a sign or leading zeros |
| timestamp | `time` | required here: a bill must not depend on when an event was received |
| quantity | `data.quantity` | 1 where it is absent |
| project | `data.project_id` | 0 where it is absent |
| attributes | the other members of `data` | to group by, as OpenMeter's meters do |
| source | `source` | |

- Of the context attributes null means absent, as the specification has it, and an empty `id`, `source`, `type` or
  `subject` is a missing_field, since they must not be empty. `data` may be null or absent. Inside `data` null is a
  wrong_type of `quantity` and `project_id`, and makes another member no attribute.
- Members of `data` that no setting groups by, and no category keeps, may hold anything. One that usage is grouped by
  or that is kept must be a string, a number or a boolean: an event that would be counted in the wrong group is a
  wrong_type instead.
- A quantity written as a string ("12") is a wrong_type: nothing is coerced.
- `data` that is no object, and `data_base64`, are a wrong_type: there is no quantity to read in them.
- Extension attributes, `dataschema` and `datacontenttype` are ignored, the last two after a look at their type.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from schemas.formats.base import STRICT, Context, Decoded, Outcome, Rejected
from schemas.formats.canonical import dimensions_of
from schemas.formats.fields import (
    MAX_EVENT_ID_LENGTH,
    Id,
    Quantity,
    Timestamp,
    name_of,
    refused,
    shown,
    unknown_category,
)
from schemas.formats.kept import first_of, kept_of
from schemas.formats.strict_json import JsonObject, JsonValue, Number
from schemas.log import NO_VALUES, KeptValues
from schemas.verdicts import MAX_ID

MAX_SOURCE_LENGTH: Final = 1024
"""Characters of a source, which is a URI reference."""
_OWN_MEMBERS: Final = frozenset({"quantity", "project_id"})


def _organisation(subject: str) -> str:
    if len(subject) > len(str(MAX_ID)) or int(subject) > MAX_ID:
        raise PydanticCustomError("not_an_organisation", "past the largest number")
    return subject


class CloudEventData(BaseModel):
    """What happened; members beside these are attributes."""

    model_config = ConfigDict(**STRICT, title="Usage data")

    quantity: Quantity = Field(
        default=1,
        description="Units of the category, an integer from 0 to 9007199254740992, without fraction or exponent.",
    )
    project_id: Id = Field(default=0, description="The project's number, an integer from 0 to 9223372036854775807.")


class CloudEvent(BaseModel):
    """A usage event as a CloudEvent."""

    model_config = ConfigDict(
        **STRICT,
        title="CloudEvents 1.0 usage event",
        json_schema_extra={
            "examples": [
                {
                    "specversion": "1.0",
                    "type": "error",
                    "source": "service-0",
                    "id": "00001",
                    "subject": "42",
                    "time": "2026-11-22T10:00:00.123Z",
                    "data": {"quantity": 3, "project_id": 7, "region": "eu"},
                }
            ]
        },
    )

    specversion: Literal["1.0"] = Field(description='The version of CloudEvents, "1.0".')
    id: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_ID_LENGTH)] = Field(
        description="A string of 1 to 256 characters that is unique within the source; a retry repeats it."
    )
    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_LENGTH)] = Field(
        description="The producer, a string of 1 to 1024 characters."
    )
    type: Annotated[str, Field(min_length=1)] = Field(
        description="The name of a category of the catalogue.", examples=["error"]
    )
    subject: Annotated[str, Field(min_length=1, pattern=r"^(0|[1-9][0-9]{0,18})$"), AfterValidator(_organisation)] = (
        Field(description="The organisation's number in decimal digits, from 0 to 9223372036854775807.")
    )
    time: Timestamp = Field(description="When it happened: an RFC 3339 instant with a zone, in the years 2000 to 2099.")
    datacontenttype: str | None = Field(default=None, description="The media type of data, a string or null.")
    dataschema: str | None = Field(default=None, description="The schema of data, a string or null.")
    data: CloudEventData | None = Field(
        default=None, description="An object with quantity, project_id and attributes to group by, or null."
    )
    data_base64: None = Field(default=None, description="Nothing: binary data holds no usage that can be read.")


class CloudEvents:
    """The reader of CloudEvents."""

    name: ClassVar[str] = "cloudevents"
    model: ClassVar[type[BaseModel]] = CloudEvent
    takes_arrow: ClassVar[bool] = False

    def read(self, value: JsonObject, context: Context) -> Outcome:
        """Decode one event; what is wrong with it comes back as a Rejected."""
        given = value
        if None in value.values():
            given = {key: member for key, member in value.items() if member is not None}
        attributes = _attributes(given.get("data"), context.group_by) if context.group_by else {}
        ungroupable = _ungroupable(attributes)
        kept = _kept(given, context) if context.keeps else NO_VALUES
        try:
            event = CloudEvent.model_validate(given)
        except ValidationError as error:
            why = refused(error, CloudEvent, given.get("type"), context.row_by_name, field="type")
            return first_of(first_of(why, ungroupable or NO_VALUES), kept)
        if ungroupable is not None:
            return first_of(ungroupable, kept)
        if isinstance(kept, Rejected):
            return kept
        category = context.row_by_name.get(event.type)
        if category is None:
            return unknown_category(event.type, "type")
        return Decoded(
            org_id=int(event.subject),
            event_id=f"{len(event.source)}:{event.source}:{event.id}",
            project_id=event.data.project_id if event.data else 0,
            category=category,
            quantity=event.data.quantity if event.data else 1,
            timestamp=event.time,
            dimensions=dimensions_of(attributes, context.group_by),
            not_billable=None,
            source=event.source,
            kept=kept,
        )


def _kept(event: JsonObject, context: Context) -> KeptValues | Rejected:
    category, data = event.get("type"), event.get("data", {})
    row = context.row_by_name.get(category) if isinstance(category, str) else None
    if isinstance(data, dict):
        data = {name: member for name, member in data.items() if name not in _OWN_MEMBERS and member is not None}
    return kept_of(data, row, context, "data")


def _attributes(data: JsonValue, group_by: tuple[str, ...]) -> JsonObject:
    """Return the members of `data` that usage is grouped by."""
    if not isinstance(data, dict):
        return {}
    return {name: data[name] for name in group_by if name not in _OWN_MEMBERS and data.get(name) is not None}


def _ungroupable(attributes: JsonObject) -> Rejected | None:
    for name, member in attributes.items():
        if not isinstance(member, str | int | Number):
            return Rejected(
                "wrong_type",
                f"{name_of(('data', name))}: found {shown(member)}; expected a string, number or boolean to group by",
            )
    return None


FORMAT: Final = CloudEvents()
