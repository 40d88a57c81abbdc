"""Sentry's outcome message, version 1: `sentry-outcomes`. One outcome is one JSON object.

    {"timestamp": "2026-11-22T10:00:00.123456Z", "outcome": 0, "org_id": 1, "project_id": 7, "key_id": null,
     "reason": null, "event_id": null, "category": 1, "quantity": 3}

- `timestamp` and `outcome` are required, and null is a wrong_type there. Elsewhere null and absent mean the same:
  `org_id` and `project_id` 0, `category` 1 (error), `quantity` 1.
- `category` is a number of the catalogue; one that it does not have, negative ones included, is an unknown_category.
- Only outcome 0 is billed. Any other is not billable and is counted under its name; a number from 7 to 255 that has no
  name yet is counted as `outcome_N`, so that a new kind of outcome shows and is never billed. Further numbers are a
  wrong_type, which keeps the set of words small.
- `quantity` is a u64 at the source; past 2^53 it is a bad_quantity here.
- `event_id` is that of the error that was counted, not of the message: identity is the position in the log.
  `reason`, `event_id` and `key_id` are checked for their type and otherwise only information.
- There are no attributes, so nothing to group by: `dimensions` is always ''. So no value is kept of an event, and one
  of a category whose events carry an amount is a missing_field.
"""

from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.formats.base import STRICT, Context, Decoded, Outcome, Rejected
from schemas.formats.fields import Id, Quantity, Timestamp, refused, unknown_category
from schemas.formats.kept import kept_of
from schemas.formats.strict_json import JsonObject
from schemas.log import NO_VALUES

ACCEPTED: Final = 0
OUTCOMES: Final = ("accepted", "filtered", "rate_limited", "invalid", "abuse", "client_discard", "cardinality_limited")
"""Sentry's outcomes, by number."""
DEFAULT_CATEGORY: Final = 1
"""What an absent category means: error."""


class SentryOutcome(BaseModel):
    """A Sentry outcome: how many units of a category of one project had which outcome."""

    model_config = ConfigDict(
        **STRICT,
        title="Sentry outcome, version 1",
        json_schema_extra={
            "examples": [
                {
                    "timestamp": "2026-11-22T10:00:00.123456Z",
                    "outcome": 0,
                    "org_id": 1,
                    "project_id": 7,
                    "key_id": None,
                    "reason": None,
                    "event_id": None,
                    "category": 1,
                    "quantity": 3,
                },
                {"timestamp": "2026-11-22T10:00:00Z", "outcome": 2, "org_id": 1, "reason": "quota"},
            ]
        },
    )

    timestamp: Timestamp = Field(
        description="When it happened: an RFC 3339 instant with a zone, in the years 2000 to 2099."
    )
    outcome: Annotated[int, Field(ge=0, le=255)] = Field(
        description="The outcome's number, an integer from 0 to 255; only 0 (accepted) is billable."
    )
    org_id: Id | None = Field(
        default=None, description="The organisation's number, an integer from 0 to 9223372036854775807; null means 0."
    )
    project_id: Id | None = Field(
        default=None, description="The project's number, an integer from 0 to 9223372036854775807; null means 0."
    )
    key_id: Id | None = Field(
        default=None, description="The key's number, an integer from 0 to 9223372036854775807, or null."
    )
    reason: str | None = Field(default=None, description="A string that says why, or null.")
    event_id: str | None = Field(default=None, description="The counted error's id, a string, or null.")
    category: int | None = Field(
        default=None, description="The number of a category of the catalogue, an integer; null means 1 (error)."
    )
    quantity: Quantity | None = Field(
        default=None,
        description="Units of the category, an integer from 0 to 9007199254740992, without fraction or exponent; "
        "null means 1.",
    )


class SentryOutcomes:
    """The reader of Sentry's outcomes."""

    name: ClassVar[str] = "sentry-outcomes"
    model: ClassVar[type[BaseModel]] = SentryOutcome
    takes_arrow: ClassVar[bool] = False

    def read(self, value: JsonObject, context: Context) -> Outcome:
        """Decode one outcome; what is wrong with it comes back as a Rejected."""
        number = value.get("category")
        if number is None:
            number = DEFAULT_CATEGORY
        try:
            event = SentryOutcome.model_validate(value)
        except ValidationError as error:
            return refused(error, SentryOutcome, number, context.row_by_id)
        category = context.row_by_id.get(DEFAULT_CATEGORY if event.category is None else event.category)
        if category is None:
            return unknown_category(number)
        kept = kept_of({}, category, context, "attributes") if event.outcome == ACCEPTED else NO_VALUES
        if isinstance(kept, Rejected):
            return kept
        return Decoded(
            org_id=event.org_id or 0,
            event_id=None,
            project_id=event.project_id or 0,
            category=category,
            quantity=1 if event.quantity is None else event.quantity,
            timestamp=event.timestamp,
            dimensions="",
            not_billable=None if event.outcome == ACCEPTED else name_of_outcome(event.outcome),
            source="",
            kept=kept,
        )


def name_of_outcome(number: int) -> str:
    """Return the word under which an outcome is counted."""
    return OUTCOMES[number] if number < len(OUTCOMES) else f"outcome_{number}"


FORMAT: Final = SentryOutcomes()
