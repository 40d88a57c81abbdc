"""One typed way to compile a function to machine code, kept on disk between processes."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ("schemas", "dataflows", "tally/generate")
"""The folders whose functions are compiled, or whose constants and functions end up in compiled ones."""


def _digest() -> str:
    """Return a name of everything that compiled code is made from."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> str:
    """Return the folder for compiled code: one for each state of the sources.

    The compiler's own rule is a cache for each file, renewed when that file changes. But a function that is called from
    another file is compiled into its caller, and would stay there as it was: an old rule that goes on counting.
    """
    name = f"compiled-{_digest()}"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    usual = (Path(__file__).parent / "__pycache__", Path.home() / ".cache" / "tally")
    for parent in (Path(chosen),) if chosen else usual:
        try:
            folder = parent / name
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    # Nowhere to keep it: compiled anew by every process, in a folder of its own that nobody else can have written.
    return tempfile.mkdtemp(prefix="tally-compiled-")


numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]  # numba's settings are made at run time


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call for the types it is given; later processes load it from a cache.

    Integer arithmetic wraps as in C; no fast-math, since no float is near. The GIL is released while it runs.
    """
    wrapped: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    return wrapped
