"""What the cases read: generated traffic, the same bytes for the same number, made once and kept.

Traffic runs at 10,000 events a second of event time, as one busy partition would see it, so that the number of usage
rows, and of ids within the dedupe horizon, has the proportion to the number of events that it has in earnest.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
EVENTS_PER_SECOND: Final = 10_000
ORGS: Final = 5_000
NO_TROUBLE: Final = ("--malformed", "0", "--late", "0", "--duplicates", "0", "--conflicts", "0")

TRAFFIC: Final[Mapping[str, tuple[str, ...]]] = {
    "every kind of trouble": (),
    "well-formed": ("--malformed", "0"),
    "no trouble": NO_TROUBLE,
}
"""Kinds of traffic with their flags of `tally generate`. No kind is without events that are out of order."""


class NoInput(Exception):
    """An input could not be made; the message has the generator's last words."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One input: a kind of traffic and how many events of it; several `parts` make a folder of files.

    `start` is the date on which it begins, '' where any will do: a broker's clock calls old events too old.
    `events_per_second` of event time.
    """

    kind: str
    events: int
    parts: int = 1
    start: str = ""
    events_per_second: int = EVENTS_PER_SECOND

    def flags(self) -> tuple[str, ...]:
        """Return what `tally generate` is told, but the target."""
        span = max(1, self.events // self.events_per_second)
        size = ("--events", str(self.events), "--orgs", str(ORGS), "--seed", "1", "--span", f"{span}s")
        return (*size, *TRAFFIC[self.kind], *(("--start", self.start) if self.start else ()))


class Inputs:
    """Makes inputs in a folder and remembers them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recent = folder / "recent"
        folder.mkdir(parents=True, exist_ok=True)

    def forget_recent(self) -> None:
        """Remove what would not be used again: traffic of a certain date."""
        shutil.rmtree(self.recent, ignore_errors=True)

    def file(self, traffic: Traffic) -> Path:
        """Return the traffic as a file, one JSON event a line; a folder of files where it has several parts."""
        told = "\n".join((*traffic.flags(), str(traffic.parts), _generator_digest()))
        stem = f"{traffic.kind.replace(' ', '-')}-{traffic.events}-{traffic.parts}-{traffic.events_per_second}"
        name = f"{stem}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
        folder = self.recent if traffic.start else self.folder
        place = folder / (name if traffic.parts > 1 else f"{name}.ndjson")
        if not place.exists():
            fresh = folder / f"{name}.partial" / place.name
            shutil.rmtree(fresh.parent, ignore_errors=True)
            fresh.parent.mkdir(parents=True)
            several = traffic.parts > 1
            parts = ("--partitions", str(traffic.parts)) if several else ()
            generate(f"{fresh}/" if several else str(fresh), *traffic.flags(), *parts)
            for stale in set(folder.glob(f"{stem}-*")) - {fresh.parent}:  # of an earlier generator
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            fresh.rename(place)  # all of it or none: what was cut short is never taken for whole
            shutil.rmtree(fresh.parent)
        return place


def generate(target: str, *flags: str) -> None:
    """Run `tally generate`. Raises NoInput where it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "tally.cli", "generate", target, *flags], check=False, capture_output=True, text=True
    )
    if ran.returncode:
        raise NoInput(f"tally generate {target}: " + "\n".join(ran.stderr.strip().splitlines()[-5:]))


def _generator_digest() -> str:
    sources = sorted((ROOT / "tally" / "generate").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
