"""How an event is written: a format as a list of pieces, and every way in which it can be malformed.

A piece is constant text, or a field: its name and how its value is written. A variant is one kind of malformed event:
up to two fields left out or replaced, the whole replaced, or the text cut short; and the reason that it must get.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from schemas.verdicts import Reason

Value = Literal["number", "numeral", "word", "hex", "milliseconds", "microseconds", "text"]
VALUES: Final[dict[Value, int]] = {
    "number": 0,
    "word": 1,
    "hex": 2,
    "milliseconds": 3,
    "microseconds": 4,
    "text": 5,
    "numeral": 6,
}
"""How a field's value is written; a word is looked up by number, a numeral is a number in quotes, text is the same for
every event (and stands in the piece)."""


class Piece(NamedTuple):
    """A field (`text` is its quoted name and colon), or text that opens an object (ends in a brace) or closes one.

    `column` of the plan holds the value; `words` are what a word column's numbers stand for (JSON). A field whose value
    is `default` is left out of a terse event.
    """

    text: str
    value: Value | Literal["open", "close"]
    column: int = 0
    words: tuple[str, ...] = ()
    default: int = -1


class Variant(NamedTuple):
    """A malformed event. `edits`: field name → JSON text, or None to leave it out. `whole` replaces the event.

    `alone`: it spoils the record that it is in, so it is sent as a record of its own. `cut`: the text ends early.
    """

    reason: Reason
    edits: tuple[tuple[str, str | None], ...] = ()
    whole: str = ""
    cut: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """A format: its pieces, its malformed variants, and to how many microseconds its timestamps are cut."""

    pieces: tuple[Piece, ...]
    variants: tuple[Variant, ...]
    precision: int
    not_billable: tuple[str, ...] = field(default=())
    """Why an event is not billable, by its outcome's number less one."""


def quoted(name: str) -> str:
    """Return a field's name as it is written before its value."""
    return json.dumps(name) + ":"


def one_of(field_name: str, reason: Reason, texts: Sequence[str]) -> list[Variant]:
    """Return a variant for each wrong text of a field."""
    return [Variant(reason, ((field_name, text),)) for text in texts]


def left_out(*names: str) -> list[Variant]:
    """Return a variant for each required field, without it."""
    return [Variant("missing_field", ((name, None),)) for name in names]


NO_JSON: Final = [
    Variant("not_json", cut=True, alone=True),
    Variant("not_json", cut=True, alone=True),
    Variant("not_json", whole="{'quantity': 1}", alone=True),
]
NO_OBJECT: Final = [Variant("not_an_object", whole=text, alone=True) for text in ("null", "42", '"event"', "true")]
BAD_QUANTITIES: Final = ("-1", "1.5", "9007199254740993", "1e3")
BAD_TIMESTAMPS: Final = (
    '"2026-13-01T00:00:00Z"',
    '"2026-11-22T10:00:00"',
    '"yesterday"',
    '"1999-12-31T23:59:59Z"',
    '"2100-01-01T00:00:00Z"',
)


def unknown_name(names: Sequence[str]) -> str:
    """Return a category name that is none of these."""
    name = "no-such-category"
    while name in names:
        name += "-"
    return json.dumps(name)
