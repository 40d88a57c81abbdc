"""The files of deploy/, read for the tests of this folder."""

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tally.settings import Settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose.yaml"
KUBERNETES: Final = DEPLOY / "kubernetes"
ALERTS: Final = DEPLOY / "monitoring" / "alerts.yaml"

VARIABLES: Final = frozenset(f"TALLY_{name.upper()}" for name in Settings.model_fields)
"""The environment variables that Tally reads as settings."""


def read(path: Path) -> Any:
    """Return a YAML file of one document."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tool(name: str, package: str) -> str:
    """Return the path of a program, or skip the test for want of it; with CI=true that is a failure."""
    found = shutil.which(name)
    if found is None:
        said = f"no {name} here: it is in Debian's package {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    return found


def settings_of(environment: dict[str, str]) -> dict[str, str]:
    """Return the settings that an environment gives; fails for a TALLY_ variable that is none."""
    given = {name: value for name, value in environment.items() if name.startswith("TALLY_")}
    assert given.keys() <= VARIABLES, f"no such settings: {sorted(given.keys() - VARIABLES)}"
    return {name.removeprefix("TALLY_").lower(): value for name, value in given.items()}
