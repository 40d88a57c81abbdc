"""The judge: the plain, event-by-event oracle of the tests, over `json.loads`.

    python -m benchmarks.peers.oracle FILE OUT

Shares no code with the scanner, the contract or the meter, so that an answer which all of those share can be wrong.
"""

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.answers import save_tuples
from benchmarks.inputs import ROOT
from tests.oracle import Event, Record, Rules, meter

RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MALFORMED: Final = Event(rejected="malformed")
"""Which reason it is makes no difference to usage."""


def categories() -> set[str]:
    """Return the names of the default catalogue."""
    text = (ROOT / "schemas" / "categories.yaml").read_text(encoding="utf-8")
    return {each["name"] for each in yaml.safe_load(text)["categories"]}


def decode(line: bytes, known: set[str]) -> Event:
    """Return the event that a line holds."""
    try:
        found = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return MALFORMED
    if not isinstance(found, dict) or not _well_formed(found, known):
        return MALFORMED
    at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", found["timestamp"].upper()))
    if not 2000 <= at.astimezone(UTC).year <= 2099:
        return MALFORMED
    return Event(
        org=found["org_id"],
        event_id=found["event_id"],
        category=found["category"],
        project=found["project_id"],
        quantity=found["quantity"],
        timestamp=(at - EPOCH) // MICROSECOND,
    )


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _well_formed(found: dict[str, Any], known: set[str]) -> bool:
    identity, category, timestamp = (found.get(name) for name in ("event_id", "category", "timestamp"))
    attributes = found.get("attributes", {})
    return (
        isinstance(identity, str)
        and 1 <= len(identity) <= 256
        and isinstance(category, str)
        and category in known
        and isinstance(timestamp, str)
        and RFC3339.fullmatch(timestamp) is not None
        and _is_an_instant(timestamp)
        and all(type(found.get(name)) is int for name in ("org_id", "project_id", "quantity"))
        and all(0 <= found[name] < 2**63 for name in ("org_id", "project_id"))
        and 0 <= found["quantity"] <= 2**53
        and isinstance(found.get("source", ""), str)
        and isinstance(attributes, dict)
        and all(type(value) in {str, int, float, bool} for value in attributes.values())
    )


def _is_an_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.upper()))
    except ValueError:
        return False
    return True


def records(path: Path) -> list[Record]:
    """Return a file's records: its lines that are not blank, by the byte at which they start."""
    known = categories()
    found, offset = [], 0
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                found.append(Record(offset, None, (decode(line, known),)))
            offset += len(line)
    return found


def main() -> None:
    """Count a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.oracle")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    outcome = meter(records(chosen.file), Rules())
    outcome.check()
    save_tuples(
        chosen.out / "rows.arrow",
        (
            (org, category, start // 1_000_000, row.quantity, row.events)
            for (org, category, _, _, start, _), row in outcome.rows.items()
        ),
    )


if __name__ == "__main__":
    main()
