"""Control totals: what a producer says that it sent, so that what arrived can be compared with it.

A producer reports to a topic of its own, by default that of its events with `.controls` behind, a JSON object a record:

    {"version": 1, "kind": "total", "topic": "usage", "source": "relay-4", "instance": "0193…", "sequence": 7,
     "category": "error", "minute": "2026-11-22T10:00:00Z", "events": 120, "quantity": 340,
     "sent_at": "2026-11-22T10:00:12.500000Z"}
    {"version": 1, "kind": "instance", "topic": "usage", "source": "relay-4", "instance": "0193…", "sequence": 7,
     "started_at": "2026-11-22T09:00:00Z", "closed": false, "events": 9000, "quantity": 27000,
     "sent_at": "2026-11-22T10:00:12.500000Z"}

A total is what the instance has had acknowledged so far for that category and minute of event time, never an
increment: of one key the highest sequence holds, so that a report may be written and read any number of times. Its
record's key is a function of what it is about, so that a compacted topic keeps the newest one of each. An instance is
one life of a producer; instances add up. Its own report follows the totals that it sums, in the same partition.
"""

import datetime as dt
import json
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError

from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

MINUTE: Final = 60_000_000
"""Microseconds of event time in a total."""
HEARTBEAT: Final = 300
"""Seconds after which an instance reports itself although nothing has changed; silent for longer, it is gone."""
MAX_EVENTS: Final = 2**63 - 1
MAX_SUM: Final = 2**127 - 1
"""The largest quantity of a total: what the store's column holds."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _read_instant(value: object, info: ValidationInfo) -> object:
    if info.mode != "json":
        return value
    from schemas.formats.timestamps import parse_timestamp  # noqa: PLC0415 - a producer only writes reports

    found = parse_timestamp(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("instant", "not an RFC 3339 instant in the years 2000 to 2099")
    return found


def _read_minute(value: object, info: ValidationInfo) -> object:
    found = _read_instant(value, info)
    if isinstance(found, int) and found % MINUTE:
        raise PydanticCustomError("minute", "not on a whole minute")
    return found


def _write_instant(value: int) -> str:
    return (_EPOCH + dt.timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")


_AS_TEXT: Final = PlainSerializer(_write_instant, return_type=str, when_used="json")
_TEXT_SCHEMA: Final = WithJsonSchema({"type": "string", "format": "date-time"})
_Range: Final = Field(ge=MIN_TIMESTAMP, lt=END_OF_TIME)
Instant = Annotated[int, _Range, BeforeValidator(_read_instant), _AS_TEXT, _TEXT_SCHEMA]
"""Microseconds UTC; RFC 3339 in JSON."""
Minute = Annotated[int, _Range, BeforeValidator(_read_minute), _AS_TEXT, _TEXT_SCHEMA]
"""The start of a minute, in microseconds UTC."""


class _Report(BaseModel):
    """What every report carries."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    version: Literal[1] = 1
    topic: str = Field(min_length=1, max_length=249, description="The topic that the events were sent to.")
    source: str = Field(min_length=1, max_length=256, description="The producer by name, as its events carry it.")
    instance: str = Field(min_length=1, max_length=64, description="One life of the producer; a restart is another.")
    sequence: int = Field(ge=1, le=MAX_EVENTS, description="Rises with every report of an instance; the highest holds.")
    events: int = Field(ge=0, le=MAX_EVENTS, description="Events whose delivery the broker has acknowledged.")
    quantity: int = Field(ge=0, le=MAX_SUM, description="The sum of their quantities; it may exceed 2^53.")
    sent_at: Instant = Field(description="When it was reported, by the producer's clock.")


class ControlTotal(_Report):
    """Events and quantity of one category and minute, as sent by one instance so far."""

    kind: Literal["total"] = "total"
    category: str = Field(min_length=1, max_length=64, description="The category's name.")
    minute: Minute = Field(description="The minute of event time, by its start.")

    def key(self) -> bytes:
        """Return the key of its record: the same for every report of this total."""
        parts = [self.topic, self.source, self.instance, self.category, _write_instant(self.minute)]
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()


class ControlInstance(_Report):
    """Everything that one instance has sent so far, and whether it has ended: then its totals are final."""

    kind: Literal["instance"] = "instance"
    started_at: Instant = Field(description="When the instance began, by its clock.")
    closed: bool = Field(description="Whether it ended in good order: nothing follows, and nothing is missing.")

    def key(self) -> bytes:
        """Return the key of its record."""
        return json.dumps([self.topic, self.source, self.instance], ensure_ascii=False, separators=(",", ":")).encode()


Report = ControlTotal | ControlInstance
_reports: Final[TypeAdapter[Report]] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


class NotAReport(ValueError):
    """A record that is no report; the message says why, in words that are safe to show."""


def controls_topic(topic: str) -> str:
    """Return the topic to which the producers of a topic report unless told otherwise."""
    return f"{topic}.controls"


def to_wire(report: Report) -> bytes:
    """Return a report's JSON."""
    return report.model_dump_json().encode()


def from_wire(value: bytes) -> Report:
    """Return the report that a record's value holds. Raises NotAReport."""
    try:
        return _reports.validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise NotAReport(said.encode("ascii", "backslashreplace").decode()[:300]) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report (draft 2020-12)."""
    schema = _reports.json_schema(mode="validation")
    about = {"$schema": GenerateJsonSchema.schema_dialect, "$id": "urn:tally:controls", "title": "Tally control report"}
    return {**about, **schema}
