"""What an open window row and an id in the dedupe horizon take: by the arrays' own sizes, and by growth of the RSS."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.operations.figures import Figure
from benchmarks.operations.running import Failed, Tell

THINGS: Final = {"ids": "id in the dedupe horizon", "rows": "open window row"}


def measure(counts: Sequence[int], tell: Tell) -> list[Figure]:
    """Fill a meter with each of these counts, of ids and of rows, each in a process of its own. Raises Failed."""
    figures: list[Figure] = []
    for what, thing in THINGS.items():
        found = [_grown(what, count, tell) for count in counts]
        how = "at " + ", ".join(f"{count:,}" for count in counts)
        figures += [
            Figure(f"bytes an {thing}, arrays", [one["array_bytes"] / one["count"] for one in found], "bytes", how),
            Figure(
                f"bytes an {thing}, arrays at the worst moment",
                [max(one["worst"] for one in found)],
                "bytes",
                "just after they grew",
            ),
            Figure(f"bytes an {thing}, growth of the RSS", [one["rss"] / one["count"] for one in found], "bytes", how),
        ]
    return figures


def _grown(what: str, count: int, tell: Tell) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.operations.growth", what, str(count)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise Failed(ran.stderr.strip()[-500:])
    found: dict[str, Any] = json.loads(ran.stdout)
    tell(
        f"{count:,} {what}: {found['array_bytes'] / count:.1f} bytes each in arrays, {found['rss'] / count:.1f} of RSS"
    )
    return found
