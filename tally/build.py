"""What this copy of Tally was built from: a revision that the build of an image writes beside the samples."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "tally-metering"
REVISION_FILE: Final = Path(__file__).parent / "data" / "revision"
"""Written by deploy/Dockerfile. A working tree has none: what it holds may be no revision at all."""


def revision(file: Path = REVISION_FILE) -> str | None:
    """Return the revision that was built; None where none was written down."""
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def described() -> str:
    """Return the version, and the revision where it is known: `0.1.0 (revision 5c1d…)`."""
    built = revision()
    return version(DISTRIBUTION) + (f" (revision {built})" if built else "")
