"""The wire formats, one a file. A file put into this folder is found by itself; nothing else has to be touched.

A format is a module with a value `FORMAT`, a `schemas.formats.base.WireFormat`. The other modules here are what
formats share; `judge` is the contract: it decides what every other decoder must answer.
"""

import importlib
import pkgutil
from typing import Final

from schemas.formats.base import WireFormat


def _found() -> dict[str, WireFormat]:
    formats: dict[str, WireFormat] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        found: WireFormat | None = getattr(importlib.import_module(module.name), "FORMAT", None)
        if found is not None:
            assert found.name not in formats, f"two wire formats are called {found.name}"
            formats[found.name] = found
    return formats


FORMATS: Final[dict[str, WireFormat]] = _found()
"""Every wire format by its name."""
