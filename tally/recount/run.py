"""A range of a raw log, recounted by another path than it was metered: SQL over the records themselves.

    records ──► raw ──► events (SQL; odd ones by the contract) ──► timed ──► judged ──► rows ──► held to the store

Guarantees: neither the decoder nor the meter takes part; what SQL cannot judge as the contract does is judged by the
contract and counted apart; a verdict is compared only where it cannot depend on what was not read. Not guaranteed:
that a range from the middle of a log, read with a warm-up, is exact where the broker's clock went back meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.differences import Checked
from schemas.formats.judge import judge_of
from schemas.log import RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import Store
from tally.reconcile.asking import batched
from tally.recount.comparing import Apart, compare_counts, compare_kept, compare_letters, compare_rows
from tally.recount.formats import sql_format
from tally.recount.metering import certain_from, fold, meter
from tally.recount.scratch import Scratch, add_borrowed, add_records, decode, odd_records, scratch
from tally.recount.stretch import Stretch
from tally.rereading import LogAgain

INSERT_BYTES: Final = 16 << 20
"""Bytes of records per insert: about eight times as much is held meanwhile."""
ODD_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class CameAgain:
    """Events whose id had come before the dedupe horizon, so that they were counted, and those with the same payload.

    `longest` is the longest time by the log's clock after which one came, in microseconds, as whole buckets.
    """

    events: int
    same_payload: int
    longest: int


@dataclass(frozen=True, slots=True)
class Recount:
    """What a recount found. Rows, letters and verdicts were compared from offset `first` (None: nowhere) to `end`.

    `odd_records` and `borrowed_events` were judged by the contract and not in SQL.
    """

    generation: Progress
    first: int | None
    end: int
    note: str
    records: int
    events: int
    odd_records: int
    borrowed_events: int
    apart: Apart
    came_again: CameAgain
    checked: tuple[Checked, ...]

    @property
    def differences(self) -> int:
        """How many places differ."""
        return sum(one.differences for one in self.checked)


def recount(
    store: Store,
    stretch: Stretch,
    again: LogAgain,
    settings: MeterSettings,
    on_step: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
) -> Recount:
    """Recount a stretch of a log and hold it to the store. `settings` are those that the generation was metered under.

    `on_step` is told what is done now, and how far it is. Raises SourceError, or what the store raises.
    """
    with scratch(store, settings.catalogue) as made:
        records = 0
        for batches in _batches(again, stretch):
            records += add_records(made, batches, stretch.end)
            done = batches[-1].next_offset - stretch.read_from
            on_step("reading", min(done, stretch.end - stretch.read_from), stretch.end - stretch.read_from)
        on_step("decoding in SQL", 0, 0)
        kept = [one for one in settings.catalogue.categories if one.keep is not None]
        reading = [one for one in kept if one.keep is not None and one.keep.attributes]
        odd = decode(made, sql_format(settings.format, settings.group_by, reading))
        borrowed = _borrow(made, settings)
        on_step("metering in SQL", 0, 0)
        meter(made, settings, stretch.before, broker_clock=again.source.broker_clock)
        first: int | None = stretch.first
        count_from = stretch.count_from
        if not stretch.before.whole:
            certain = certain_from(made, settings) if records else None
            first = None if certain is None else max(stretch.first, certain)
            count_from = max(count_from, certain or 0)
        note = stretch.note
        checked: list[Checked] = []
        apart = Apart()
        if first is None or first >= stretch.end:
            note = f"{note}; no verdict of this range is certain: begin further back".removeprefix("; ")
            first = None
        else:
            fold(made, count_from)
            on_step("comparing", 0, 0)
            rows, apart = compare_rows(store, made, stretch.generation, first, stretch.end)
            checked = [rows, compare_letters(store, made, stretch.generation, first, stretch.end)]
            if kept:
                names = [one.name for one in kept]
                checked.append(compare_kept(store, made, stretch.generation, names, first, stretch.end))
            if stretch.whole and stretch.before.whole:
                checked.append(compare_counts(made, stretch.generation))
        return Recount(
            generation=stretch.generation,
            first=first,
            end=stretch.end,
            note=note,
            records=records,
            events=int(made.query("SELECT count() FROM <events>")[0][0]),
            odd_records=odd,
            borrowed_events=borrowed,
            apart=apart,
            came_again=_came_again(made, settings, stretch),
            checked=tuple(checked),
        )


def _batches(again: LogAgain, stretch: Stretch) -> Iterator[list[RecordBatch]]:
    """Yield what is read of the log up to the stretch's end, as much at a time as one insert takes."""
    held: list[RecordBatch] = []
    for batch in again.batches(stretch.read_from):
        held.append(batch)
        over = batch.next_offset >= stretch.end
        if over or sum(len(one.data) for one in held) >= INSERT_BYTES:
            yield held
            held = []
        if over:
            return
    if held:
        yield held


def _borrow(made: Scratch, settings: MeterSettings) -> int:
    judge, names = judge_of(settings), settings.catalogue.names
    borrowed = 0
    for some in batched(odd_records(made), ODD_AT_ONCE):
        judged = [(offset, ts, judge(value)) for offset, ts, value in some]
        borrowed += add_borrowed(made, judged, names)
    return borrowed


def _came_again(made: Scratch, settings: MeterSettings, stretch: Stretch) -> CameAgain:
    events, same, longest = made.query(
        f"SELECT count(), countIf(same), max(apart) FROM <judged> WHERE apart > {settings.horizon_buckets} "
        f"AND verdict = 'accepted' AND offset >= {stretch.first}"
    )[0]
    return CameAgain(int(events), int(same), int(longest) * settings.bucket if events else 0)
