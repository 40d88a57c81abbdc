"""A dead letter as people and machines read it; nothing in it reaches a terminal as a command."""

import base64
import unicodedata
from typing import Any

from tally.deadletters import Letter
from tally.replay_records import Record
from tally.units import show_instant


def clock_of(letter: Letter) -> str | None:
    """Return the clock of the log at the letter's event as RFC 3339, None before the first event."""
    return None if letter.clock is None else show_instant(letter.clock)


def as_json_value(letter: Letter, record: Record | None) -> dict[str, Any]:
    """Return a letter, and what became of it, as plain JSON values."""
    replayed = None
    if record is not None:
        replayed = {
            "outcome": record.outcome,
            "detail": record.detail,
            "at": show_instant(record.replayed_at),
            "by": record.replayed_by,
        }
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "index": letter.index,
        "reason": letter.reason,
        "detail": letter.detail,
        "format": letter.format,
        "generation": letter.generation,
        "clock": clock_of(letter),
        "bytes": letter.raw_size,
        "cut": letter.cut,
        "text": readable(letter.raw),
        "raw_base64": base64.b64encode(letter.raw).decode(),
        "replayed": replayed,
    }


def as_text(letter: Letter, record: Record | None) -> str:
    """Return a letter, and what became of it, as lines for a terminal."""
    kept = f", the first {len(letter.raw):,} of them kept" if letter.cut else ""
    lines = [
        readable(str(letter.position).encode()),
        f"  reason      {letter.reason}",
        f"  detail      {readable(letter.detail.encode())}",
        f"  format      {letter.format}, generation {letter.generation}",
        f"  log's clock {clock_of(letter) or 'not known yet'}",
        f"  bytes       {letter.raw_size:,}{kept}",
    ]
    if record is not None:
        lines.append(f"  replayed    {record.outcome}, {show_instant(record.replayed_at)}, by {record.replayed_by}")
    return "\n".join([*lines, "", readable(letter.raw), ""])


def readable(raw: bytes, most: int = 4_096) -> str:
    r"""Return bytes as text that is safe on a terminal: what is no UTF-8, and what a terminal would obey, as \x1b.

    Newlines and tabs stay. After `most` bytes it is cut, with a note of how many follow.
    """
    text = raw[:most].decode("utf-8", "backslashreplace")
    shown = "".join(_visible(character) for character in text)
    return shown if len(raw) <= most else f"{shown}\n… {len(raw) - most:,} bytes more"


def _visible(character: str) -> str:
    if character in "\n\t" or character == " ":
        return character
    # Controls, formats (writing direction among them), lone surrogates, unassigned ones, and odd kinds of space.
    if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in {"Zl", "Zp"}:
        return ascii(character)[1:-1]
    return character
