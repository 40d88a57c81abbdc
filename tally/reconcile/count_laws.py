"""Progress against itself and against the usage rows, for every partition and generation.

Rows past progress were written by a run that is going on, or that was stopped between its two writes; the next run
covers them. So the newest generation's rows are known up to them only: what progress counts lies between the rows
that it covers and all rows. A generation that was followed by another has none: its sides must be equal.

Progress and rows are two tables and cannot be read at one moment. What a first pass over everything finds unequal is
therefore asked again, progress first: rows that are read later are at least as many as those that it covers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.differences import Checked, Law
from sinks.store import Store
from tally.reconcile.asking import Asking, batched, where

AGAIN: Final = 200
"""How many partitions are asked again at a time."""

NO_REPLAYS: Final = "NOT startsWith(topic, 'replay:')"
"""Replayed dead letters have rows under topics of their own, and no progress: `replay_laws` is about them."""

_COUNTS: Final = """
SELECT topic, partition, generation, start_offset, next_offset, records, events, accepted, late, duplicates,
    arraySum(mapValues(not_billable)) AS not_billable, arraySum(mapValues(rejected)) AS rejected, quantity,
    place = max(place) OVER (PARTITION BY topic, partition) AS newest
FROM active_progress {where}
"""

_FOLDED: Final = """
SELECT topic, partition, generation,
    sum(toInt128(w.events)) AS events, sum(toInt128(w.quantity)) AS quantity,
    sum(if(w.segment = 0, toInt128(0), toInt128(w.events))) AS late,
    countIf(w.last_offset >= p.next_offset) AS past_rows,
    sumIf(toInt128(w.events), w.last_offset >= p.next_offset) AS past_events,
    sumIf(toInt128(w.quantity), w.last_offset >= p.next_offset) AS past_quantity,
    sumIf(toInt128(w.events), w.last_offset >= p.next_offset AND w.segment != 0) AS past_late
FROM (
    SELECT topic, partition, generation, last_offset, events, quantity, segment FROM active_windows {where}
) AS w
LEFT JOIN ({progress}) AS p USING (topic, partition, generation)
GROUP BY topic, partition, generation
"""

_EVERYTHING: Final = """
SELECT topic, partition, generation, {counts}, p.known = 1, {folded}, r.found = 1
FROM (SELECT *, 1 AS known FROM ({progress})) AS p
FULL OUTER JOIN (SELECT *, 1 AS found FROM ({rows})) AS r USING (topic, partition, generation)
ORDER BY topic, partition, generation
"""

_GIVEN: Final = """
SELECT tupleElement(given, 1) AS topic, tupleElement(given, 2) AS partition, tupleElement(given, 3) AS generation,
    tupleElement(given, 4) AS next_offset
FROM (
    SELECT arrayJoin(arrayZip({topics:Array(String)}, {partitions:Array(String)}, {generations:Array(UInt32)},
        {offsets:Array(UInt64)})) AS given
)
"""


class Key(NamedTuple):
    """A partition log's generation."""

    topic: str
    partition: str
    generation: int

    @property
    def place(self) -> dict[str, str | int]:
        """Return the place of a finding."""
        return self._asdict()


class Counted(NamedTuple):
    """What progress says of a generation."""

    start_offset: int = 0
    next_offset: int = 0
    records: int = 0
    events: int = 0
    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    not_billable: int = 0
    rejected: int = 0
    quantity: int = 0
    newest: bool = True


class Folded(NamedTuple):
    """What the usage rows of a generation come to, and how much of it lies in rows past progress."""

    events: int = 0
    quantity: int = 0
    late: int = 0
    past_rows: int = 0
    past_events: int = 0
    past_quantity: int = 0
    past_late: int = 0


Found = tuple[Key, Counted | None, Folded]

_ROW_LAWS: Final[dict[Law, tuple[str, str]]] = {
    "accepted": ("events", "past_events"),
    "quantity": ("quantity", "past_quantity"),
    "late": ("late", "past_late"),
}
"""Laws between progress and rows: what progress counts under the law's name, the rows' sum, and that past progress."""


def count_laws(ask: Asking) -> list[Checked]:
    """Check what progress says against itself and against the usage rows."""
    laws: dict[Law, Checked] = {
        "records": Checked("records", "offsets passed over", "records, each of one event or more", at_least=True),
        "events": Checked("events", "events", "accepted + duplicates + not billable + rejected"),
        "accepted": Checked("accepted", "accepted", "events of the usage rows"),
        "quantity": Checked("quantity", "quantity checksum", "quantity of the usage rows"),
        "late": Checked("late", "late", "events of the rows of late segments"),
    }
    for some in batched(_everything(ask), 10 * AGAIN):
        unequal = [key for key, counted, folded in some if not _equal(counted, folded)]
        again = _again(ask.store, unequal)
        for key, counted, folded in some:
            now = again.get(key)
            _check(laws, *(now or (key, counted, folded)))
    return list(laws.values())


def _everything(ask: Asking) -> Iterator[Found]:
    ask.on_step("progress and usage rows")
    topics, parameters = ask.asked.topics()
    progress = _COUNTS.format(where=where(topics))
    short = f"SELECT topic, partition, generation, next_offset FROM active_progress {where(topics)}"
    rows = _FOLDED.format(where=where([NO_REPLAYS], topics), progress=short)
    sql = _EVERYTHING.format(
        progress=progress,
        rows=rows,
        counts=", ".join(f"p.{name}" for name in Counted._fields),
        folded=", ".join(f"r.{name}" for name in Folded._fields),
    )
    width = len(Counted._fields)
    for row in ask.store.stream(sql, parameters):
        key, rest = Key(*row[:3]), row[3:]
        counted = Counted(*rest[:width]) if rest[width] else None
        yield key, counted, Folded(*map(int, rest[width + 1 : -1])) if rest[-1] else Folded()


def _again(store: Store, keys: Sequence[Key]) -> dict[Key, Found]:
    """Ask again for what was unequal: progress first, then the rows against just that progress."""
    found: dict[Key, Found] = {}
    for some in batched(keys, AGAIN):
        given = given_keys([(key, 0) for key in some])
        progress = _COUNTS.format(where=where([f"(topic, partition) IN (SELECT topic, partition FROM ({_GIVEN}))"]))
        counted = {Key(*row[:3]): Counted(*row[3:]) for row in store.query(progress, given)}
        offsets = given_keys([(key, counted[key].next_offset if key in counted else 0) for key in some])
        condition = f"(topic, partition, generation) IN (SELECT topic, partition, generation FROM ({_GIVEN}))"
        rows = store.query(_FOLDED.format(where=where([condition]), progress=_GIVEN), offsets)
        folded = {Key(*row[:3]): Folded(*map(int, row[3:])) for row in rows}
        found |= {key: (key, counted.get(key), folded.get(key, Folded())) for key in some}
    return found


def given_keys(keys: Iterable[tuple[Key, int]]) -> Mapping[str, Any]:
    """Return the parameters of `_GIVEN`: generations, each with an offset."""
    listed = list(keys)
    return {
        "topics": [key.topic for key, _ in listed],
        "partitions": [key.partition for key, _ in listed],
        "generations": [key.generation for key, _ in listed],
        "offsets": [offset for _, offset in listed],
    }


def _equal(counted: Counted | None, folded: Folded) -> bool:
    return (
        counted is not None
        and not folded.past_rows
        and all(getattr(counted, law) == getattr(folded, names[0]) for law, names in _ROW_LAWS.items())
    )


def _check(laws: Mapping[Law, Checked], key: Key, counted: Counted | None, folded: Folded) -> None:
    place = key.place
    if counted is None:
        note = "usage rows of a log or generation of which there is no progress"
        laws["accepted"].compare(place, 0, folded.events, note)
        laws["quantity"].compare(place, 0, folded.quantity, note)
        laws["late"].compare(place, 0, folded.late, note)
        return
    _check_counts(laws, key, counted)
    for law, (total, past) in _ROW_LAWS.items():
        known, rows, ahead = getattr(counted, law), getattr(folded, total), getattr(folded, past)
        if folded.past_rows and counted.newest and rows - ahead <= known <= rows:
            laws[law].add(known, known)
            if law == "accepted":
                laws[law].name("in_flight", place, known, rows, _past(counted, folded))
        else:
            laws[law].compare(place, known, rows, _past(counted, folded) if folded.past_rows else "")


def _past(counted: Counted, folded: Folded) -> str:
    return (
        f"{folded.past_rows} usage rows lie past progress at offset {counted.next_offset} (the run is going on, or "
        "stopped uncleanly; the next one covers them)"
    )


def _check_counts(laws: Mapping[Law, Checked], key: Key, counted: Counted) -> None:
    whole = counted.accepted + counted.duplicates + counted.not_billable + counted.rejected
    laws["events"].compare(key.place, counted.events, whole)
    offsets, law = counted.next_offset - counted.start_offset, laws["records"]
    law.add(offsets, counted.records)
    if counted.records > offsets:
        law.name("difference", key.place, offsets, counted.records, "more records than offsets")
    elif counted.records > counted.events:
        law.name("difference", key.place, counted.events, counted.records, "fewer events than records")
