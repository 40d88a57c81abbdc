"""Positions as people write them: TOPIC/PARTITION/OFFSET, with /INDEX where a record holds several events.

A partition may have slashes in its name (a file's path within its folder), so a text is read against the logs that
the store knows of.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.errors import SettingsError
from schemas.log import LogId
from sinks.store import Store

FORM: Final = "TOPIC/PARTITION/OFFSET, with /INDEX for one event of several in a record"
_PLACE: Final = re.compile(r"(\d{1,19})(?:/(\d{1,10}))?", re.ASCII)
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A record of a log, or one event of it; `index` is None where the whole record is meant."""

    log: LogId
    offset: int
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.log}/{self.offset}" + ("" if self.index is None else f"/{self.index}")


def read_position(text: str, logs: Iterable[LogId]) -> Position:
    """Return the position that a text names in one of the logs.

    Where it could be read in two ways, as with files `a` and `a/5`, the one with an index is meant: written in full,
    every position can be named. Raises SettingsError where no log fits.
    """
    known = list(logs)
    readings = []
    for log in known:
        rest = text.removeprefix(f"{log}/")
        found = _PLACE.fullmatch(rest) if rest != text else None
        if found and int(found[1]) <= _LARGEST:
            readings.append(Position(log, int(found[1]), None if found[2] is None else int(found[2])))
    if readings:
        return max(readings, key=lambda found: (found.index is not None, len(found.log.partition)))
    raise SettingsError(f"{text!r} names no position: {_why_not(text, known)}")


def _why_not(text: str, known: list[LogId]) -> str:
    if not known:
        return f"the store knows of no log under that topic; write {FORM}"
    inside = [log for log in known if text == str(log) or text.startswith(f"{log}/")]
    if inside:
        return f"after {inside[0]} an offset must follow, a whole number up to {_LARGEST}"
    shown = ", ".join(str(log) for log in sorted(known)[:5])
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return f"the store has {shown}{more}; write {FORM}"


def find_position(store: Store, text: str) -> Position:
    """Return the position that a text names in a log of the store. Raises SettingsError where no log fits."""
    parts = text.split("/")
    topics = ["/".join(parts[:length]) for length in range(1, len(parts))]
    return read_position(text, [log for topic in topics for log in store.progress(topic)])
