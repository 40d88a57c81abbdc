"""What became of one record: the log is metered again up to it, by the meter itself, and the answer held to the store.

A record that no run has come to yet is told in the same way, such as one that a flood of rejections stopped a run at.

Guarantees: the verdicts are those of the run that counted the record, wherever the log is still there from a point at
which the store knows the meter's state: a generation's start, or the current mark. Where it is not, `exact` is False
and `note` says what is missing. Not guaranteed: that the store holds what the verdict says; `agrees` tells.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from schemas.errors import SettingsError
from schemas.formats import FORMATS
from schemas.formats.base import Decoded, Rejected
from schemas.formats.judge import judge
from schemas.log import EventBatch, LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Counts, Mark, Progress
from sinks.store import Store
from tally.fates import Fate, RowKey, Start, Walk
from tally.positions import Position
from tally.rereading import LogAgain

Decode = Callable[[RecordBatch], EventBatch]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A record and what became of each event in it. `timestamp` is the broker's, `size` the value's bytes.

    `metered`: False where no run has come to it. The verdicts are then those that one would reach.
    """

    log: LogId
    offset: int
    generation: int
    metered: bool
    settings: MeterSettings
    size: int
    timestamp: int | None
    fates: tuple[Fate, ...]
    exact: bool
    note: str


def generation_of(position: Position, generations: list[Progress], again: LogAgain) -> Progress:
    """Return the generation that metered an offset, or will. Raises SettingsError where none did or will.

    `generations` are the log's, the newest first: where a log was metered twice, the newer one is meant.
    """
    offset, newest = position.offset, generations[0]
    found = next((one for one in generations if one.start_offset <= offset), None)
    if found is None:
        raise SettingsError(f"{position}: metering of this log began later, at offset {generations[-1].start_offset}")
    end = again.listed.log_end
    if end is not None and offset >= end:
        raise SettingsError(f"{position}: past the log's end at {end}")
    if offset >= found.next_offset and found is not newest:
        raise SettingsError(
            f"{position}: not metered; generation {found.generation} ends at offset {found.next_offset}, and this "
            "range was passed over"
        )
    if offset < again.listed.log_start:
        raise SettingsError(
            f"{position}: the log starts at {again.listed.log_start} by now; the record is gone (retention)"
        )
    return found


def settings_of(settings: MeterSettings, generation: Progress) -> MeterSettings:
    """Return the settings under which a generation was metered: those in force, in any format.

    Raises SettingsError where they have changed otherwise.
    """
    for name in (settings.format, *FORMATS):
        candidate = replace(settings, format=name)
        if candidate.fingerprint() == generation.fingerprint:
            return candidate
    raise SettingsError(
        f"{generation.log}: generation {generation.generation} was metered under other settings (fingerprint "
        f"{generation.fingerprint}) than those in force ({settings.fingerprint()}); give the settings of that run, by "
        "the same flags, environment and tally.toml, to have it explained"
    )


def start_for(offset: int, generation: Progress, generations: list[Progress], log_start: int) -> Start:
    """Return where to begin so that the verdict at `offset` is the one that the run reached, as late as can be."""
    mark = generation.mark
    if generation is generations[0] and offset >= mark.count_from and mark.warm_offset >= log_start:
        return Start(generation, mark.count_from)
    first, before = generation.start_offset, None
    for one in generations:
        if generation.follows(one) and one.next_offset == first:
            before = one
    mark = Mark(first, None, None, first) if before is None else replace(before.mark, count_from=first)
    if mark.warm_offset >= log_start:
        return Start(_begin(generation, mark), first)
    if before is not None and first >= log_start:
        mark = Mark(first, before.clock, before.max_timestamp, first)
        note = f"a repeat of an event from before offset {first} may be told as accepted"
    else:
        mark = Mark(log_start, None, None, log_start)
        note = "clock, watermark and repeats may have been other than they are told here"
    return Start(_begin(generation, mark), None, f"the log is gone before offset {log_start} (retention): {note}")


def _begin(generation: Progress, mark: Mark) -> Progress:
    return replace(
        generation,
        next_offset=mark.count_from,
        mark=mark,
        counts=Counts(),
        clock=None,
        max_timestamp=None,
        watermark=None,
    )


def explain(
    store: Store,
    settings: MeterSettings,
    position: Position,
    again: LogAgain,
    make_decoder: Callable[[MeterSettings], Decode],
    on_read: Callable[[int, int], None] = lambda _done, _of: None,
) -> Explanation:
    """Meter a log again up to a position and say what became of the record there, or of its one event.

    `on_read` is told of bytes or offsets done, and of how many there are. Raises SettingsError, SourceError, or what
    the meter raises.
    """
    log, offset = position.log, position.offset
    generations = [one for one in store.progress_of_all_generations(log.topic) if one.log == log]
    generation = generation_of(position, generations, again)
    metered = offset < generation.next_offset
    settings = settings_of(settings, generation)
    decode = make_decoder(settings)
    record = again.record_at(offset)
    value = record.data[int(record.starts[0]) : int(record.ends[0])]
    judged = judge(value, settings)
    if position.index is not None and position.index >= len(judged):
        raise SettingsError(f"{position}: the record holds {len(judged)} events, numbered from 0")
    start = start_for(offset, generation, generations, again.listed.log_start)
    walk = Walk(settings, generation, start, again.source.broker_clock, decode(record))
    first = start.progress.mark.warm_offset
    for batch in again.batches(first):
        if walk.add(decode(batch), offset):
            break
        on_read(batch.next_offset - first, offset - first)
    fates = [_worded(fate, judged[fate.index].outcome) for fate in walk.fates if position.index in {None, fate.index}]
    if metered:
        fates = [_held_to(store, Position(log, offset, fate.index), fate) for fate in fates]
    return Explanation(
        log=log,
        offset=offset,
        generation=generation.generation,
        metered=metered,
        settings=settings,
        size=len(value),
        timestamp=None if record.timestamps is None else int(record.timestamps[0]),
        fates=tuple(fates),
        exact=start.exact_from is not None,
        note=start.note,
    )


def _worded(fate: Fate, outcome: Decoded | Rejected) -> Fate:
    if isinstance(outcome, Rejected):
        return replace(fate, detail=fate.detail or outcome.detail)
    return replace(fate, event=outcome)


def _held_to(store: Store, position: Position, fate: Fate) -> Fate:
    """Look up what the store has of an event."""
    if fate.row is not None:
        return _held_to_row(store, position, fate, fate.row)
    if not fate.verdict.startswith("rejected:"):
        return fate
    place = (
        "topic = {topic:String} AND partition = {partition:String} AND offset = {offset:UInt64} "
        "AND index = {index:UInt32}"
    )
    log = position.log
    at = {"topic": log.topic, "partition": log.partition, "offset": position.offset, "index": position.index}
    sql = (
        f"SELECT reason, detail, raw_size, (SELECT max(outcome) FROM replays FINAL WHERE {place}) AS replayed "
        f"FROM active_letters WHERE {place}"
    )
    found = store.query_rows(sql, at)
    stored = found[0] if found else None
    agrees = stored is not None and f"rejected:{stored['reason']}" == fate.verdict
    detail = fate.detail or (str(stored["detail"]) if stored else "")
    return replace(fate, stored=stored, agrees=agrees, detail=detail)


def _held_to_row(store: Store, position: Position, fate: Fate, row: RowKey) -> Fate:
    kinds = {
        "org_id": "UInt64",
        "category": "String",
        "project_id": "UInt64",
        "dimensions": "String",
        "topic": "String",
        "partition": "String",
        "generation": "UInt32",
        "segment": "UInt64",
    }
    where = " AND ".join(f"{name} = {{{name}:{kind}}}" for name, kind in kinds.items())
    found = store.query_rows(
        "SELECT quantity, events, max_quantity, first_offset, last_offset, first_timestamp, last_timestamp "
        f"FROM usage_windows FINAL WHERE {where} AND window_start = toDateTime({{window:UInt32}}, 'UTC')",
        {**{name: getattr(row, name) for name in kinds}, "window": row.window_start // 1_000_000},
    )
    stored = found[0] if found else None
    agrees = stored is not None and stored["first_offset"] <= position.offset <= stored["last_offset"]
    return replace(fate, stored=stored, agrees=agrees)
