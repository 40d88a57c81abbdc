"""What every wire format shares: what an event decodes to, what it may look up, and how a refusal is worded."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict

from schemas.catalogue import Keep
from schemas.formats.strict_json import JsonObject
from schemas.log import NO_VALUES, KeptValues
from schemas.metering import MeterSettings
from schemas.verdicts import Reason


@dataclass(frozen=True, slots=True)
class Decoded:
    """A well-formed event.

    `event_id` is None where the format has no message id: the event's position is its identity. `category` is a row
    of the catalogue, `quantity` counts units of it, `timestamp` is microseconds UTC. `dimensions` is the canonical
    JSON of the grouped attributes, '' without any. `not_billable` is the word that says why it is not billed, None
    for an event that is. `source` is the producer's name, '' where it gives none. `kept` is what its category asks
    for of its attributes.
    """

    org_id: int
    event_id: str | None
    project_id: int
    category: int
    quantity: int
    timestamp: int
    dimensions: str
    not_billable: str | None
    source: str
    kept: KeptValues = NO_VALUES


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be counted: a reason of the closed set, and what was found where something else was due."""

    reason: Reason
    detail: str


Outcome = Decoded | Rejected


@dataclass(frozen=True, slots=True)
class Context:
    """What a format looks up: the catalogue's rows by name and by id, and the names of the grouped attributes.

    `keeps` says which attributes are kept of a category's events, by row; only categories that name any are in it.
    """

    row_by_name: Mapping[str, int]
    row_by_id: Mapping[int, int]
    group_by: tuple[str, ...]
    keeps: Mapping[int, Keep]

    @classmethod
    def of(cls, settings: MeterSettings) -> "Context":
        """Return the look-ups of these settings."""
        catalogue = settings.catalogue
        return cls(
            MappingProxyType(catalogue.row_by_name()),
            MappingProxyType(catalogue.row_by_id()),
            tuple(sorted(set(settings.group_by))),
            MappingProxyType({row: keep for row, keep in catalogue.keeps().items() if keep.attributes}),
        )


class WireFormat(Protocol):
    """A wire format: a name, a strict pydantic model (the published contract) and how its fields are read."""

    @property
    def name(self) -> str:
        """The name that `--format` takes."""

    @property
    def model(self) -> type[BaseModel]:
        """The strict model of one event; its JSON Schema is the published contract."""

    @property
    def takes_arrow(self) -> bool:
        """Whether a value may be an Arrow IPC stream with the model's fields as columns."""

    def read(self, value: JsonObject, context: Context) -> Outcome:
        """Decode one event. Never raises: what is wrong with it comes back as a Rejected."""


STRICT: Final = ConfigDict(strict=True, frozen=True, extra="ignore")
"""Of every model: types as they stand, unknown fields ignored."""

Schema = dict[str, Any]
"""A JSON Schema."""
