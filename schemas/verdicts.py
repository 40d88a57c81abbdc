"""What can become of an event, as a closed set.

Every event of a log gets exactly one verdict, so that for every partition

    events = accepted + duplicates + not_billable + rejected

holds at every moment. Rejections carry a reason, from the closed list below, in the order in which they are asked.
"""

from typing import Final, Literal, get_args

Reason = Literal[
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "unknown_category",
    "bad_quantity",
    "bad_timestamp",
    "from_the_future",
    "too_old",
    "conflicting_duplicate",
    "overflow",
]
"""Why an event was rejected; the order is the order in which the questions are asked."""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

ACCEPTED: Final = 0
DUPLICATE: Final = 1
NOT_BILLABLE: Final = 2
REJECTED: Final = 3
"""`REJECTED + REASONS.index(reason)` is the code of a rejection in a batch's `verdict` column."""


def code_of(reason: Reason) -> int:
    """Return the verdict code of a rejection."""
    return REJECTED + REASONS.index(reason)


def reason_of(code: int) -> Reason:
    """Return the reason of a rejection's verdict code."""
    return REASONS[code - REJECTED]


FROM_THE_FUTURE: Final = code_of("from_the_future")
TOO_OLD: Final = code_of("too_old")
CONFLICTING_DUPLICATE: Final = code_of("conflicting_duplicate")
OVERFLOW: Final = code_of("overflow")

MAX_QUANTITY: Final = 2**53
"""The largest quantity of one event: what every JSON reader can carry exactly."""
MAX_ID: Final = 2**63 - 1
"""The largest organisation or project id."""
MAX_RAW_BYTES: Final = 1 << 20
"""A dead letter keeps at most this much of an event's raw bytes."""
MIN_TIMESTAMP: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z in microseconds: the first instant an event may carry."""
END_OF_TIME: Final = 4_102_444_800_000_000
"""2100-01-01T00:00:00Z in microseconds: no event may carry this instant or a later one. Usage that nothing
can change any more (every log finite and read to its end) is complete to here."""
