"""Kept events against usage rows: of a category that keeps its events, each one that was accepted is kept.

A generation's progress names the categories that it keeps. A replayed dead letter has no progress; what was kept of it
is held to its usage row.

Kept events are written before the usage rows of the same flush, and both before the progress that covers them. So
where a run is going on, the kept events that progress covers lie between the events of the rows that it covers and
those of all rows. What a first pass finds unequal is asked again, progress first.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from schemas.differences import Checked
from tally.reconcile.asking import Asking, batched, where
from tally.reconcile.count_laws import AGAIN

_PROGRESS: Final = """
SELECT topic, partition, generation, next_offset, JSONExtract(source, 'kept', 'Array(String)') AS keeps,
    place = max(place) OVER (PARTITION BY topic, partition) AS newest
FROM active_progress {where}
"""

_GIVEN: Final = """
SELECT tupleElement(given, 1) AS topic, tupleElement(given, 2) AS partition, tupleElement(given, 3) AS generation,
    tupleElement(given, 4) AS next_offset, tupleElement(given, 5) AS keeps, tupleElement(given, 6) AS newest
FROM (
    SELECT arrayJoin(arrayZip({topics:Array(String)}, {partitions:Array(String)}, {generations:Array(UInt32)},
        {offsets:Array(UInt64)}, {keeps:Array(Array(String))}, {newest:Array(UInt8)})) AS given
)
"""

_KEPT: Final = """
SELECT topic, partition, generation, toString(category) AS name, offset FROM kept_events_current {where}
"""

_WANTED: Final = """
SELECT topic, partition, generation, arrayJoin(keeps) AS name FROM ({progress})
UNION DISTINCT
SELECT DISTINCT topic, partition, generation, toString(category) AS name FROM kept_events_current {where}
"""

_EVERYTHING: Final = """
SELECT w.topic, w.partition, w.generation, w.name, p.next_offset, p.newest, p.known = 1 AS known,
    has(p.keeps, w.name) AS declared, r.events, r.past_events, r.past_rows, k.events, k.past_events
FROM ({wanted}) AS w
LEFT JOIN (SELECT *, 1 AS known FROM ({progress})) AS p USING (topic, partition, generation)
LEFT JOIN (
    SELECT u.topic AS topic, u.partition AS partition, u.generation AS generation, u.name AS name,
        sum(toInt128(u.events)) AS events, countIf(u.last_offset >= p.next_offset AND p.known = 1) AS past_rows,
        sumIf(toInt128(u.events), u.last_offset >= p.next_offset AND p.known = 1) AS past_events
    FROM (
        SELECT topic, partition, generation, toString(category) AS name, last_offset, events
        FROM active_windows {rows}
    ) AS u
    LEFT JOIN (SELECT *, 1 AS known FROM ({progress})) AS p USING (topic, partition, generation)
    GROUP BY topic, partition, generation, name
) AS r USING (topic, partition, generation, name)
LEFT JOIN (
    SELECT e.topic AS topic, e.partition AS partition, e.generation AS generation, e.name AS name, count() AS events,
        countIf(e.offset >= p.next_offset AND p.known = 1) AS past_events
    FROM ({kept}) AS e
    LEFT JOIN (SELECT *, 1 AS known FROM ({progress})) AS p USING (topic, partition, generation)
    GROUP BY topic, partition, generation, name
) AS k USING (topic, partition, generation, name)
ORDER BY w.topic, w.partition, w.generation, w.name
"""


class _Found(NamedTuple):
    """A category of a generation: what progress says, the events of its usage rows, and its kept events.

    `past_…` lie past progress, `known` says that there is any, and `declared` that it names the category.
    """

    topic: str
    partition: str
    generation: int
    category: str
    next_offset: int
    newest: bool
    known: bool
    declared: bool
    rows: int
    rows_past: int
    past_rows: int
    kept: int
    kept_past: int

    @property
    def place(self) -> dict[str, str | int]:
        return {name: getattr(self, name) for name in ("topic", "partition", "generation", "category")}

    @property
    def in_flight(self) -> bool:
        going_on = self.newest and (self.past_rows or self.kept_past)
        return bool(going_on) and self.rows - self.rows_past <= self.kept - self.kept_past <= self.rows


def kept_laws(ask: Asking) -> list[Checked]:
    """Check kept events against usage rows, for every generation and category that has any or should have."""
    ask.on_step("kept events")
    law = Checked("kept", "events of categories that keep them, by usage rows", "kept events")
    topics, parameters = ask.asked.topics()
    only = where(topics)
    progress = _PROGRESS.format(where=only)
    if not _any(ask, progress, only, parameters):
        return [law]
    for some in batched(_asked(ask, progress, only, only, parameters), 10 * AGAIN):
        unequal = [one for one in some if one.known and one.rows != one.kept and not one.in_flight]
        now = {one[:4]: one for page in batched(unequal, AGAIN) for one in _again(ask, page)}
        for one in some:
            _check(law, now.get(one[:4], one))
    return [law]


def _any(ask: Asking, progress: str, only: str, parameters: Mapping[str, Any]) -> bool:
    # Most stores keep no events: their rows are not gone through for nothing.
    found = f"SELECT 1 FROM kept_events_current {only} LIMIT 1"
    sql = f"SELECT 1 FROM ({progress}) WHERE notEmpty(keeps) LIMIT 1 UNION ALL {found}"
    return bool(ask.store.query(sql, parameters))


def _asked(ask: Asking, progress: str, wanted: str, rows: str, parameters: Mapping[str, Any]) -> Iterator[_Found]:
    sql = _EVERYTHING.format(
        wanted=_WANTED.format(progress=progress, where=wanted),
        progress=progress,
        rows=rows,
        kept=_KEPT.format(where=rows),
    )
    for row in ask.store.stream(sql, parameters):
        known, numbers = (bool(one) for one in row[5:8]), (int(one) for one in row[8:])
        yield _Found._make((*row[:4], int(row[4]), *known, *numbers))


def _again(ask: Asking, page: list[_Found]) -> Iterator[_Found]:
    """Ask again for what was unequal: progress first, then rows and events against just that progress."""
    keys = sorted({(one.topic, one.partition) for one in page})
    logs = {"topics": [key[0] for key in keys], "partitions": [key[1] for key in keys]}
    of_logs = (
        "(topic, partition) IN (SELECT tupleElement(given, 1), tupleElement(given, 2) FROM "
        "(SELECT arrayJoin(arrayZip({topics:Array(String)}, {partitions:Array(String)})) AS given))"
    )
    found = ask.store.query(_PROGRESS.format(where=where([of_logs])), logs)
    given = {
        "topics": [row[0] for row in found],
        "partitions": [row[1] for row in found],
        "generations": [row[2] for row in found],
        "offsets": [row[3] for row in found],
        "keeps": [list(row[4]) for row in found],
        "newest": [int(row[5]) for row in found],
    }
    yield from _asked(ask, _GIVEN, where([of_logs]), where([of_logs]), given)


def _check(law: Checked, one: _Found) -> None:
    if one.in_flight:
        law.add(one.rows, one.rows)
        note = (
            f"kept events or usage rows lie past progress at offset {one.next_offset} (the run is going on, or stopped "
            "uncleanly; the next one covers them)"
        )
        law.name("in_flight", one.place, one.rows, one.kept, note)
        return
    note = "" if one.declared or not one.known else "the generation's settings do not keep events of this category"
    law.compare(one.place, one.rows, one.kept, note)
