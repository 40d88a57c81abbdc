"""Short constructors, so that a test reads like the rows that it is about."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from schemas.log import LogId
from schemas.progress import Mark, Progress
from schemas.usage import DeadLetter, Flush, KeptRows, UsageRows
from sinks.store import Store

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = 1_795_348_800 * SECOND
"""2026-11-22T12:00:00Z."""


class R(NamedTuple):
    """A usage row; `window` counts minutes from NOON."""

    org: int = 1
    category: str = "error"
    window: int = 0
    quantity: int = 1
    events: int = 1
    last: int = 0
    project: int = 0
    dimensions: str = ""
    segment: int = 0
    start: int | None = None
    """The window's start in microseconds, where minutes from NOON do not do."""

    @property
    def window_start(self) -> int:
        return NOON + self.window * MINUTE if self.start is None else self.start


def usage(rows: Sequence[R]) -> UsageRows:
    """Return rows as the meter hands them over."""
    names = tuple(dict.fromkeys(row.category for row in rows))
    dimensions = tuple(dict.fromkeys(("", *(row.dimensions for row in rows))))

    def column(values: Sequence[int]) -> Any:
        return np.array(values, np.int64)

    starts = column([row.window_start for row in rows])
    return UsageRows(
        org=column([row.org for row in rows]),
        category=np.array([names.index(row.category) for row in rows], np.int32),
        project=column([row.project for row in rows]),
        dimensions=np.array([dimensions.index(row.dimensions) for row in rows], np.int32),
        window_start=starts,
        segment=column([row.segment for row in rows]),
        quantity=column([row.quantity for row in rows]),
        events=column([row.events for row in rows]),
        max_quantity=column([row.quantity for row in rows]),
        first_offset=column([0 for _ in rows]),
        last_offset=column([row.last for row in rows]),
        first_timestamp=starts,
        last_timestamp=starts + 1,
        category_names=names,
        dimension_values=dimensions,
    )


class K(NamedTuple):
    """A kept event; `at` is in microseconds."""

    org: int = 1
    category: str = "seat"
    at: int = NOON
    offset: int = 0
    place: int = 0
    quantity: int = 1
    value: str = ""
    amount: str = ""
    dimensions: str = ""
    project: int = 0


def kept(events: Sequence[K]) -> KeptRows:
    """Return kept events as the meter hands them over."""
    names = tuple(dict.fromkeys(event.category for event in events))

    def column(values: Sequence[int]) -> Any:
        return np.array(values, np.int64)

    return KeptRows(
        org=column([event.org for event in events]),
        category=np.array([names.index(event.category) for event in events], np.int32),
        project=column([event.project for event in events]),
        timestamp=column([event.at for event in events]),
        offset=column([event.offset for event in events]),
        index=column([event.place for event in events]),
        quantity=column([event.quantity for event in events]),
        dimensions=tuple(event.dimensions for event in events),
        values=tuple(event.value for event in events),
        amounts=tuple(event.amount for event in events),
        category_names=names,
    )


def progress(log: str | LogId = "events/0", generation: int = 1, next_offset: int = 100, **changes: Any) -> Progress:
    """Return progress of a log written as topic/partition."""
    plain = Progress(
        log=log if isinstance(log, LogId) else LogId(*log.split("/", 1)),
        generation=generation,
        fingerprint="a" * 16,
        start_offset=0,
        next_offset=next_offset,
        mark=Mark(0, None, None, 0),
    )
    return replace(plain, **changes)


def flush(*rows: R, at: Progress | None = None, letters: Sequence[DeadLetter] = (), **changes: Any) -> Flush:
    """Return a flush of one partition; `changes` go to the usage rows' columns."""
    return Flush(at or progress(), "tally", replace(usage(rows), **changes), tuple(letters))


def letter(offset: int = 7, raw: bytes = b"{}", **changes: Any) -> DeadLetter:
    """Return a dead letter."""
    return replace(DeadLetter(offset, 0, "not_json", "because", None, raw, len(raw)), **changes)


def count(store: Store, table: str) -> int:
    """Return how many rows a table has, those that a newer one replaces included."""
    return int(store.query(f"SELECT count() FROM {table}")[0][0])
