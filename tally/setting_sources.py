"""Where settings come from, beside flags: the environment and tally.toml; and how a problem names its place."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from schemas.errors import SettingsError
from tally import setting_values

CONFIG_VARIABLE: Final = "TALLY_CONFIG"
DEFAULT_FILE: Final = "tally.toml"
ARGUMENTS: Final = frozenset({"sources"})
"""Settings that the command line takes as arguments rather than flags."""

_REPHRASED: Final = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
}


class EnvironmentSource(EnvSettingsSource):
    """TALLY_* variables. Kafka properties are read here, so that they join those of the file key by key."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:
        """Return the variable's text, or the properties in it; what cannot be read is left to the validator."""
        if field_name == "kafka" and value is not None:
            try:
                return setting_values.properties(value)
            except ValueError:
                return value
        return super().prepare_field_value(field_name, field, value, value_is_complex)


class FileSource(PydanticBaseSettingsSource):
    """tally.toml, of the working folder or named by TALLY_CONFIG. Unknown keys are handed on, and refused."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one field of the file."""
        del field
        return read_file().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the whole file."""
        return read_file()


def file_in_force() -> Path | None:
    """Return the settings file that is read; None where there is none. Raises SettingsError for a named one."""
    named = os.environ.get(CONFIG_VARIABLE)
    if not named:
        return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None
    place = Path(named).expanduser()
    if not place.is_file():
        raise SettingsError(f"{place} ({CONFIG_VARIABLE}): no such file")
    return place


def read_file() -> dict[str, Any]:
    """Read the settings file; {} where there is none. Fractions stay exact. Raises SettingsError."""
    place = file_in_force()
    if place is None:
        return {}
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"{place}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{place}: is no TOML: {error}") from error


@dataclass(frozen=True, slots=True)
class Origins:
    """The place that each setting's value came from; a setting that is missing has its default."""

    places: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, settings: type[BaseSettings], flags: Mapping[str, Any]) -> Self:
        """Look at the places in order of strength. Kafka properties may come from several."""
        file = file_in_force()
        in_file = read_file()
        environment = {key.upper() for key, value in os.environ.items() if value}
        places = dict.fromkeys(in_file.keys() - settings.model_fields.keys(), str(file))
        for name in settings.model_fields:
            found = []
            if name in flags:
                found.append("argument" if name in ARGUMENTS else flag(name))
            if variable(name) in environment:
                found.append(variable(name))
            if name in in_file:
                found.append(str(file))
            if found:
                places[name] = " and ".join(found) if name == "kafka" else found[0]
        return cls(places)

    def of(self, name: str) -> str:
        """Return a setting's place."""
        return self.places.get(name, "default")


def flag(name: str) -> str:
    """Return the flag of a setting: `allowed_lateness` is `--allowed-lateness`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return "TALLY_" + name.upper()


def explain(error: ValidationError, origins: Origins, settings: type[BaseSettings]) -> str:
    """Write every problem on a line of its own, with its setting and the place that it came from."""
    problems = []
    for found in error.errors(include_url=False, include_input=False):
        name = str(found["loc"][0]) if found["loc"] else "settings"
        if found["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name.replace("-", "_"), settings.model_fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; see `tally config` for those that there are"
            text = f"no such setting{hint}"
        else:
            text = _REPHRASED.get(
                found["type"], found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            )
        problems.append(f"{name} ({origins.of(name)}): {text}")
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)
