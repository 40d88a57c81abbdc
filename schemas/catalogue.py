"""The category catalogue: which categories exist, under which id and name, and in which unit they are counted."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import SettingsError

DEFAULT_PATH: Final = Path(__file__).with_name("categories.yaml")


class Keep(BaseModel):
    """What is kept of every accepted event of a category, one by one, beside its instant and its quantity.

    `value` names the attribute whose values can be counted once each; an event may lack it. `amount` names the one that
    carries money: an event without it is rejected, since it would be billed as nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    value: str | None = Field(default=None, min_length=1, max_length=256)
    amount: str | None = Field(default=None, min_length=1, max_length=256)

    @property
    def attributes(self) -> bool:
        """Say whether the events' attributes are needed for it."""
        return self.value is not None or self.amount is not None


class Category(BaseModel):
    """One category: a stable number (wire formats), a name (tables, prices) and a unit.

    `keep` asks for its events to be kept one by one: for prices and aggregations that totals cannot answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int = Field(ge=0, le=2**31 - 1)
    name: str = Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")
    unit: Literal["count", "bytes", "milliseconds", "seconds", "units"] = "count"
    description: str = ""
    keep: Keep | None = None


class CatalogueFile(BaseModel):
    """The catalogue file: `categories:` and a list of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    categories: list[Category] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _unique(self) -> "CatalogueFile":
        for key in ("id", "name"):
            seen: set[Any] = set()
            for category in self.categories:
                value = getattr(category, key)
                if value in seen:
                    raise ValueError(f"category {key} {value!r} stands twice")
                seen.add(value)
        return self


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The categories by row; a row's number is what batches carry."""

    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, by row."""
        return tuple(category.name for category in self.categories)

    def row_by_name(self) -> dict[str, int]:
        """Return each name's row."""
        return {category.name: row for row, category in enumerate(self.categories)}

    def row_by_id(self) -> dict[int, int]:
        """Return each id's row."""
        return {category.id: row for row, category in enumerate(self.categories)}

    def id_by_name(self) -> dict[str, int]:
        """Return each name's id."""
        return {category.name: category.id for category in self.categories}

    def keeps(self) -> dict[int, Keep]:
        """Return what is kept of each category whose events are kept, by row."""
        return {row: category.keep for row, category in enumerate(self.categories) if category.keep is not None}

    def digest(self) -> str:
        """Return a hash of what metering depends on: ids, names, what is kept (units and descriptions are not)."""
        text = json.dumps(sorted([c.id, c.name, *_kept(c.keep)] for c in self.categories))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept(keep: Keep | None) -> tuple[str | None, ...]:
    # Nothing for a category that keeps nothing: its digest is what it was before there was anything to keep.
    return () if keep is None else (keep.value, keep.amount)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read a catalogue file (YAML or JSON); None reads the default one, Sentry's categories.

    Raises SettingsError with the file and the reason.
    """
    place = path or DEFAULT_PATH
    try:
        found = yaml.safe_load(place.read_text(encoding="utf-8"))
        return Catalogue(tuple(CatalogueFile.model_validate(found).categories))
    except OSError as error:
        raise SettingsError(f"category catalogue {place}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"category catalogue {place}: is not UTF-8 text (byte {error.start})") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise SettingsError(f"category catalogue {place}: {_in_a_line(error)}") from error


def _in_a_line(error: yaml.YAMLError | ValidationError) -> str:
    """Return what is wrong first, and where."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
