"""The wire formats as traffic has them."""

from collections.abc import Callable
from typing import Final

from schemas.catalogue import Catalogue
from schemas.verdicts import END_OF_TIME, MAX_QUANTITY, MIN_TIMESTAMP
from tally.generate import plan as p
from tally.generate.layout import (
    BAD_QUANTITIES,
    BAD_TIMESTAMPS,
    NO_JSON,
    NO_OBJECT,
    Layout,
    Piece,
    Variant,
    left_out,
    one_of,
    quoted,
    unknown_name,
)
from tally.generate.spec import Format, Packing

OUTCOME_NAMES: Final = ("filtered", "rate_limited", "invalid", "abuse", "client_discard", "cardinality_limited")
"""What the outcomes 1 to 6 of a sentry-outcomes message are counted as."""

OUTCOME_REASONS: Final = (
    "null",
    '"browser-extensions"',
    '"org_quota"',
    '"invalid_json"',
    '"org_abuse_limit"',
    '"sample_rate"',
    '"cardinality_limit"',
)
"""A reason as clients give it, by outcome."""


def tally_layout(catalogue: Catalogue) -> Layout:
    """Return the native format."""
    names = catalogue.names
    return Layout(
        pieces=(
            Piece("{", "open"),
            Piece(quoted("event_id"), "hex"),
            Piece(quoted("org_id"), "number", p.ORG),
            Piece(quoted("project_id"), "number", p.PROJECT),
            Piece(quoted("category"), "word", p.CATEGORY, tuple(f'"{name}"' for name in names)),
            Piece(quoted("quantity"), "number", p.QUANTITY),
            Piece(quoted("timestamp"), "milliseconds", p.TIMESTAMP),
            Piece("}", "close"),
        ),
        variants=(
            *NO_JSON,
            *NO_OBJECT,
            *left_out("event_id", "org_id", "category", "quantity", "timestamp"),
            Variant("missing_field", (("project_id", None), ("quantity", "-1"))),
            *one_of("org_id", "wrong_type", ['"1"', "1.0", "null"]),
            *one_of("event_id", "wrong_type", ["7"]),
            *one_of("category", "wrong_type", ["17"]),
            *one_of("quantity", "wrong_type", ['"3"', "true"]),
            Variant("wrong_type", (("timestamp", "1793491200"), ("category", unknown_name(names)))),
            *one_of("category", "unknown_category", [unknown_name(names), '"Error"']),
            Variant("unknown_category", (("category", unknown_name(names)), ("quantity", "-5"))),
            *one_of("quantity", "bad_quantity", BAD_QUANTITIES),
            Variant("bad_quantity", (("quantity", "-2"), ("timestamp", '"tomorrow"'))),
            *one_of("timestamp", "bad_timestamp", BAD_TIMESTAMPS),
        ),
        precision=1000,
    )


def sentry_layout(catalogue: Catalogue) -> Layout:
    """Return Sentry's outcome message, version 1."""
    unknown = str(max(category.id for category in catalogue.categories) + 1)
    return Layout(
        pieces=(
            Piece("{", "open"),
            Piece(quoted("timestamp"), "microseconds", p.TIMESTAMP),
            Piece(quoted("org_id"), "number", p.ORG),
            Piece(quoted("project_id"), "number", p.PROJECT),
            Piece(quoted("key_id"), "number", p.KEY),
            Piece(quoted("outcome"), "number", p.OUTCOME),
            Piece(quoted("reason"), "word", p.OUTCOME, OUTCOME_REASONS),
            Piece(quoted("event_id") + "null", "text"),
            Piece(quoted("category"), "number", p.WIRE_ID, default=1),
            Piece(quoted("quantity"), "number", p.QUANTITY, default=1),
            Piece("}", "close"),
        ),
        variants=(
            *NO_JSON,
            *NO_OBJECT,
            *left_out("timestamp", "outcome"),
            Variant("missing_field", (("timestamp", None), ("quantity", "-1"))),
            *one_of("org_id", "wrong_type", ['"1"', "1.0", "[]"]),
            *one_of("outcome", "wrong_type", ['"0"', "null"]),
            *one_of("category", "wrong_type", ['"error"']),
            *one_of("quantity", "wrong_type", ['"3"']),
            *one_of("timestamp", "wrong_type", ["1793491200"]),
            *one_of("category", "unknown_category", [unknown]),
            Variant("unknown_category", (("category", unknown), ("timestamp", '"tomorrow"'))),
            *one_of("quantity", "bad_quantity", BAD_QUANTITIES),
            *one_of("timestamp", "bad_timestamp", BAD_TIMESTAMPS),
        ),
        precision=1,
        not_billable=OUTCOME_NAMES,
    )


def cloudevents_layout(catalogue: Catalogue) -> Layout:
    """Return CloudEvents 1.0 in JSON, structured mode."""
    names = catalogue.names
    return Layout(
        pieces=(
            Piece("{", "open"),
            Piece(quoted("specversion") + '"1.0"', "text"),
            Piece(quoted("id"), "hex"),
            Piece(quoted("source") + '"relay-1"', "text"),
            Piece(quoted("type"), "word", p.CATEGORY, tuple(f'"{name}"' for name in names)),
            Piece(quoted("subject"), "numeral", p.ORG),
            Piece(quoted("time"), "milliseconds", p.TIMESTAMP),
            Piece(quoted("data") + "{", "open"),
            Piece(quoted("quantity"), "number", p.QUANTITY, default=1),
            Piece(quoted("project_id"), "number", p.PROJECT),
            Piece("}", "close"),
            Piece("}", "close"),
        ),
        variants=(
            *NO_JSON,
            *NO_OBJECT,
            *left_out("id", "source", "type", "subject", "time"),
            Variant("missing_field", (("subject", None), ("quantity", "-1"))),
            *one_of("specversion", "wrong_type", ['"0.3"']),
            *one_of("subject", "wrong_type", ["1"]),
            *one_of("time", "wrong_type", ["1793491200"]),
            *one_of("quantity", "wrong_type", ['"3"', "null"]),
            *one_of("type", "unknown_category", [unknown_name(names)]),
            Variant("unknown_category", (("type", unknown_name(names)), ("quantity", "-5"))),
            *one_of("quantity", "bad_quantity", BAD_QUANTITIES),
            *one_of("time", "bad_timestamp", BAD_TIMESTAMPS),
        ),
        precision=1000,
    )


ARROW_NO_STREAM: Final = 0
ARROW_UNKNOWN: Final = 1
ARROW_EDITS: Final = {
    2: (p.QUANTITY, -1),
    3: (p.QUANTITY, MAX_QUANTITY + 1),
    4: (p.TIMESTAMP, MIN_TIMESTAMP - 1),
    5: (p.TIMESTAMP, END_OF_TIME),
}
"""The malformed variants of an Arrow stream: no stream at all, an unknown category, and columns with other values."""


def arrow_layout() -> Layout:
    """Return what an Arrow stream can get wrong: its columns have types, so that less of JSON's trouble is left."""
    return Layout(
        pieces=(),
        variants=(
            Variant("not_json", alone=True),
            Variant("unknown_category"),
            Variant("bad_quantity"),
            Variant("bad_quantity"),
            Variant("bad_timestamp"),
            Variant("bad_timestamp"),
        ),
        precision=1,
    )


def layout_of(form: Format, packing: Packing, catalogue: Catalogue) -> Layout:
    """Return how to write events of a format, packed so."""
    return arrow_layout() if packing == "arrow" else LAYOUTS[form](catalogue)


LAYOUTS: Final[dict[Format, Callable[[Catalogue], Layout]]] = {
    "tally": tally_layout,
    "sentry-outcomes": sentry_layout,
    "cloudevents": cloudevents_layout,
}
"""How to write each format."""
