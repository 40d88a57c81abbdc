"""YAML for money: numbers become exact decimals straight from their text, and nothing is guessed.

Taken: mappings, lists, text, true/false, null, whole numbers, plain decimals and days. Refused, with the line:
duplicate keys, floats that are no plain decimals (1e3, .5, .inf, .nan), octal-looking numbers, tags, anchors and
aliases (an alias bomb is a few bytes), several documents, deep nesting, and files beyond a size or a number of values.
What is neither of these is text.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_BYTES: Final = 16 << 20
MAX_NODES: Final = 1_000_000
"""Keys, values and lists: a file of ones and commas has eight million in 16 MiB, and would be read for minutes."""
MAX_DEPTH: Final = 24
MAX_DIGITS: Final = 80
"""Far above what a price may have: a longer number is refused before it is worth a conversion."""

Path = tuple[str | int, ...]

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)\.[0-9]+")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER_LIKE: Final = re.compile(
    r"[-+]?\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+|[-+]?\.(inf|nan)", re.IGNORECASE
)
_WORDS: Final[dict[str, Any]] = {"": None, "~": None, "null": None, "true": True, "false": False}

# libyaml where the wheel has it: ten times faster, the same events.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StrictYamlError(ValueError):
    """What is wrong and in which line (1 is the first; 0 where no line can be named)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content and the line of each of its nodes, by path."""

    content: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: tuple[Any, ...]) -> int:
        """Return the line of the node at a path, or of the closest node around it; unknown parts are passed over."""
        here: Path = ()
        for part in path:
            if (*here, part) in self.lines:
                here = (*here, part)
        return self.lines.get(here, 1)


def load(text: str) -> Document:
    """Read one YAML document. Raises StrictYamlError."""
    if len(text) > MAX_BYTES:
        raise StrictYamlError(0, f"larger than {MAX_BYTES:,} bytes: split it")
    lines: dict[Path, int] = {}
    try:
        events = iter(yaml.parse(text, Loader=_LOADER))
        content: Any = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                content = _node(next(events), events, (), lines)
                break
        for event in events:
            if isinstance(event, DocumentStartEvent):
                raise StrictYamlError(_line(event), "a second document begins: a file holds one")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StrictYamlError(0 if mark is None else mark.line + 1, str(error.problem or error)) from error
    except yaml.YAMLError as error:
        raise StrictYamlError(0, str(error)) from error
    return Document(content, lines)


def _line(event: Event) -> int:
    assert event.start_mark is not None, "an event that was read has a place"
    return int(event.start_mark.line) + 1


def _node(event: Event, events: Iterator[Event], path: Path, lines: dict[Path, int]) -> Any:
    line = _line(event)
    lines[path] = line
    if len(lines) > MAX_NODES:
        raise StrictYamlError(line, f"more than {MAX_NODES:,} values: split the file")
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
        raise StrictYamlError(line, "anchors and aliases are not taken: write it out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise StrictYamlError(line, f"tags are not taken ({tag})")
    if isinstance(event, ScalarEvent):
        return _scalar(event, line)
    if len(path) >= MAX_DEPTH:
        raise StrictYamlError(line, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, path, lines)
    assert isinstance(event, MappingStartEvent)
    return _mapping(events, path, lines)


def _sequence(events: Iterator[Event], path: Path, lines: dict[Path, int]) -> list[Any]:
    items: list[Any] = []
    for event in events:
        if isinstance(event, SequenceEndEvent):
            break
        items.append(_node(event, events, (*path, len(items)), lines))
    return items


def _mapping(events: Iterator[Event], path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in events:
        if isinstance(event, MappingEndEvent):
            break
        line = _line(event)
        if not isinstance(event, ScalarEvent) or event.anchor is not None or event.tag is not None:
            raise StrictYamlError(line, "a key is plain text")
        if event.value in found:
            raise StrictYamlError(line, f"{event.value!r} stands twice (first in line {lines[*path, event.value]})")
        found[event.value] = _node(next(events), events, (*path, event.value), lines)
        lines[*path, event.value] = line
    return found


def _scalar(event: ScalarEvent, line: int) -> Any:
    text: str = event.value
    if event.style:  # quoted or a block (plain is None here and '' there)
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    number: Callable[[str], Any] | None = None
    if _INTEGER.fullmatch(text):
        number = int
    elif _DECIMAL.fullmatch(text):
        number = Decimal
    if number is not None:
        if len(text) > MAX_DIGITS:
            raise StrictYamlError(line, f"a number of {len(text)} characters")
        return number(text.replace("_", ""))
    if _DAY.fullmatch(text):
        try:
            return dt.date.fromisoformat(text)
        except ValueError as error:
            raise StrictYamlError(line, f"{text} is no day: {error}") from error
    if _NUMBER_LIKE.fullmatch(text):
        raise StrictYamlError(line, f"{text} is not a plain number: write it as in 1500 or 0.0011125 (or quote a text)")
    return text
