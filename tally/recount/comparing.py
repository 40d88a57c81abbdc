"""Recounted rows, dead letters and counts against those of the store, in bounded memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from schemas.differences import Checked, Place
from schemas.progress import Progress
from sinks.store import Store
from tally.recount.metering import KEY, MAX_TOTAL, VALUES
from tally.recount.patterns import quoted
from tally.recount.scratch import Scratch
from tally.units import show_instant

Row = tuple[Any, ...]

_NAMES: Final = tuple(KEY.split(", "))
_LOG: Final = "topic = {topic:String} AND partition = {partition:String} AND generation = {generation:UInt32}"


class Apart(NamedTuple):
    """Rows that were not compared, or only with the contract's help."""

    straddling: int = 0
    borrowed: int = 0


def _place(generation: Progress, **more: Any) -> dict[str, Any]:
    log = generation.log
    return {"topic": log.topic, "partition": log.partition, "generation": generation.generation, **more}


def compare_rows(store: Store, made: Scratch, generation: Progress, first: int, end: int) -> tuple[Checked, Apart]:
    """Compare the usage rows that lie wholly between two offsets, key by key and column by column."""
    law = Checked("rows", "quantity as recounted", "quantity of the usage rows")
    straddling = borrowed = 0
    recounted = made.stream(
        f"SELECT {KEY}, {', '.join(VALUES)}, borrowed FROM <rows> WHERE last_offset >= {first} ORDER BY {KEY}"
    )
    values = ", ".join(f"toUnixTimestamp64Micro({n})" if n.endswith("timestamp") else n for n in VALUES)
    # The filters on offsets come after FINAL: they name no key column.
    stored = store.stream(
        f"SELECT org_id, toString(category), project_id, dimensions, toInt64(toUnixTimestamp(window_start)) * 1000000 "
        f"AS start, segment, {values} FROM (SELECT * FROM usage_windows FINAL WHERE {_LOG}) "
        "WHERE last_offset >= {first:UInt64} AND first_offset < {end:UInt64} "
        "ORDER BY org_id, toString(category), project_id, dimensions, start, segment",
        {**_place(generation), "first": first, "end": end},
    )
    with closing(merged(recounted, stored, len(_NAMES))) as pairs:
        for key, mine, theirs in pairs:
            named = dict(zip(_NAMES, key, strict=True))
            place = _place(generation, **{**named, "window_start": show_instant(named["window_start"])})
            if theirs is not None and (theirs[3] < first or theirs[4] >= end):
                straddling += 1
            elif mine is None:
                assert theirs is not None
                law.compare(place, 0, int(theirs[0]), "the log has no events for this row")
            else:
                borrowed += mine[-1] > 0
                _compare_row(law, place, mine[:-1], theirs)
    return law, Apart(straddling, borrowed)


def _compare_row(law: Checked, place: Place, mine: Row, theirs: Row | None) -> None:
    quantity = int(mine[0])
    if quantity > MAX_TOTAL:
        note = "the row would pass 63 bits: which of its events are an overflow is not told in SQL"
        law.name("not_checked", place, quantity, None if theirs is None else int(theirs[0]), note)
        return
    if theirs is None:
        law.add(quantity, 0)
        law.name("difference", place, quantity, 0, f"{mine[1]} events of the log are in no usage row")
        return
    law.add(quantity, int(theirs[0]))
    for name, left, right in zip(VALUES, mine, theirs, strict=True):
        if left != right:
            law.name("difference", {**place, "column": name}, int(left), int(right))


def compare_letters(store: Store, made: Scratch, generation: Progress, first: int, end: int) -> Checked:
    """Compare the rejected events between two offsets with the dead letters, position by position."""
    law = Checked("letters", "rejected as recounted", "dead letters")
    recounted = made.stream(
        "SELECT offset, toInt64(`index`), why FROM <judged> WHERE verdict = 'rejected' "
        f"AND offset >= {first} AND offset < {end} ORDER BY offset, `index`"
    )
    stored = store.stream(
        "SELECT offset, toInt64(`index`) AS place, toString(reason) FROM (SELECT * FROM active_letters "
        "WHERE topic = {topic:String} AND partition = {partition:String} AND offset >= {first:UInt64} "
        "AND offset < {end:UInt64}) WHERE generation = {generation:UInt32} ORDER BY offset, place",
        {**_place(generation), "first": first, "end": end},
    )
    with closing(merged(recounted, stored, 2)) as pairs:
        for (offset, index), mine, theirs in pairs:
            sides = int(mine is not None), int(theirs is not None)
            law.add(*sides)
            if mine != theirs:
                words = ["not at all" if one is None else f"as {one[0]}" for one in (mine, theirs)]
                note = f"rejected {words[0]} in the log, {words[1]} in the store"
                law.name("difference", _place(generation, offset=offset, index=index), *sides, note)
    return law


_KEPT: Final = ("org_id", "category", "timestamp", "project_id", "dimensions", "quantity", "value", "amount")


def compare_kept(
    store: Store, made: Scratch, generation: Progress, categories: Sequence[str], first: int, end: int
) -> Checked:
    """Compare the accepted events of some categories between two offsets with those kept, position by position."""
    law = Checked("kept", "events as recounted", "kept events")
    names = ", ".join(map(quoted, categories))
    recounted = made.stream(
        "SELECT offset, toInt64(`index`), org_id, toString(category), timestamp, project_id, dimensions, quantity, "
        f"value, amount FROM <judged> WHERE verdict = 'accepted' AND category IN ({names}) "
        f"AND offset >= {first} AND offset < {end} ORDER BY offset, `index`"
    )
    stored = store.stream(
        "SELECT offset, toInt64(`index`) AS place, org_id, toString(category), toUnixTimestamp64Micro(timestamp), "
        f"project_id, dimensions, quantity, value, ifNull(toString(amount), '') FROM kept_events FINAL WHERE {_LOG} "
        "AND offset >= {first:UInt64} AND offset < {end:UInt64} ORDER BY offset, place",
        {**_place(generation), "first": first, "end": end},
    )
    with closing(merged(recounted, stored, 2)) as pairs:
        for (offset, index), mine, theirs in pairs:
            sides = int(mine is not None), int(theirs is not None)
            law.add(*sides)
            if mine != theirs:
                note = "not kept" if theirs is None else "kept, and not accepted in the log"
                if mine is not None and theirs is not None:
                    apart = [name for name, one, other in zip(_KEPT, mine, theirs, strict=True) if one != other]
                    note = f"kept with another {', '.join(apart)}"
                law.name("difference", _place(generation, offset=offset, index=index), *sides, note)
    return law


def compare_counts(made: Scratch, generation: Progress) -> Checked:
    """Compare what progress counts with the verdicts: only for all that the generation has metered."""
    law = Checked("verdicts", "as recounted", "counted in progress")
    start = generation.start_offset
    records = made.query(f"SELECT uniqExact(offset) FROM <judged> WHERE offset >= {start}")[0][0]
    found = made.query(
        "SELECT multiIf(verdict = 'accepted' AND segment != 0, 'late', verdict), why, toString(not_billable), count(), "
        f"sum(toInt128(quantity)) FROM <judged> WHERE offset >= {start} GROUP BY ALL ORDER BY ALL"
    )
    counts, numbers = generation.counts, dict[str, int]()
    for verdict, why, free, count, quantity in found:
        names = {
            "late": ("accepted", "late"),
            "accepted": ("accepted",),
            "duplicate": ("duplicates",),
            "rejected": (f"rejected.{why}",),
            "not_billable": (f"not_billable.{free}",),
        }[verdict]
        for name in ("events", *names):
            numbers[name] = numbers.get(name, 0) + int(count)
        if verdict in {"late", "accepted"}:
            numbers["quantity"] = numbers.get("quantity", 0) + int(quantity)
    stored = {
        **{name: getattr(counts, name) for name in ("events", "accepted", "late", "duplicates", "quantity")},
        **{f"rejected.{name}": number for name, number in counts.rejected.items()},
        **{f"not_billable.{name}": number for name, number in counts.not_billable.items()},
    }
    law.compare(_place(generation, count="records"), int(records), counts.records, summed=False)
    for name in sorted({*numbers, *stored}):
        place = _place(generation, count=name)
        law.compare(place, numbers.get(name, 0), stored.get(name, 0), summed=name == "events")
    return law


def merged(
    left: Iterator[Row], right: Iterator[Row], size: int
) -> Generator[tuple[Row, Row | None, Row | None], None, None]:
    """Merge two streams in the order of their first `size` columns: the key, the rest of each side (None: not there).

    Closing it closes both streams: a table with an open one cannot be dropped.
    """
    try:
        mine, theirs = next(left, None), next(right, None)
        while mine is not None or theirs is not None:
            least = min(one[:size] for one in (mine, theirs) if one is not None)
            here = mine if mine is not None and mine[:size] == least else None
            there = theirs if theirs is not None and theirs[:size] == least else None
            yield least, None if here is None else here[size:], None if there is None else there[size:]
            mine = next(left, None) if here is not None else mine
            theirs = next(right, None) if there is not None else theirs
    finally:
        for stream in (left, right):
            if isinstance(stream, Generator):
                stream.close()
