"""Dead letters of native events, as short as a test wants to write them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from schemas.catalogue import Catalogue, Category
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.usage import DeadLetter
from sinks.store import Store
from tally.replay import Terms
from tally.units import show_instant
from tests.store.samples import NOON, flush, progress

KNOWN = ("error", "span")
CATALOGUE = Catalogue(tuple(Category(id=n, name=name) for n, name in enumerate(KNOWN)))
WITH_WIDGET = Catalogue((*CATALOGUE.categories, Category(id=9, name="widget")))
SETTINGS = MeterSettings(WITH_WIDGET)
TERMS = Terms(SETTINGS, now=NOON, by="ada@host")


def event(**changes: Any) -> dict[str, Any]:
    """Return a native event; a change to None takes the field away, `at` is its timestamp in microseconds."""
    whole = {
        "event_id": "e1",
        "org_id": 1,
        "project_id": 7,
        "category": "widget",
        "quantity": 3,
        "timestamp": show_instant(changes.pop("at", NOON)),
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def letter(offset: int, reason: str = "unknown_category", index: int = 0, **changes: Any) -> DeadLetter:
    """Return the letter of a native event; `raw` gives its bytes instead."""
    given = changes.pop("raw", None)
    raw = json.dumps(event(**changes)).encode() if given is None else given
    return DeadLetter(offset, index, reason, "because", None, raw, len(raw))


def keep(store: Store, letters: Sequence[DeadLetter], log: str = "events/0", **changes: Any) -> None:
    """Write letters of a log, and nothing else of it."""
    at = replace(progress(LogId(*log.split("/", 1))), **changes)
    store.write([flush(at=at, letters=letters)])


def rows(store: Store) -> list[tuple[Any, ...]]:
    """Return the usage rows as readers see them."""
    return store.query("SELECT * FROM usage_windows FINAL ORDER BY ALL")


def total(store: Store) -> tuple[int, int]:
    found = store.query("SELECT sum(quantity), sum(events) FROM usage")[0]
    return int(found[0]), int(found[1])


def kept(store: Store) -> list[tuple[Any, ...]]:
    """Return what is kept of replays: position, outcome, when and by whom."""
    return store.query(
        "SELECT topic, partition, offset, index, outcome, toUnixTimestamp64Micro(replayed_at), replayed_by "
        "FROM replays FINAL ORDER BY topic, partition, offset, index"
    )
