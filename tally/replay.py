"""Replaying dead letters: each one that decodes today becomes a usage row of its own, once, however often it is tried.

The row of a letter lies under the topic `replay:TOPIC`, in the partition `PARTITION/OFFSET/INDEX`, with the letter's
generation, in segment 0: no two letters share a key, and a row written twice is one row. What was decided is kept in
`replays`, by position, with the row in it, and in this order:

    replays: counting  ──►  usage row  ──►  replays: counted

So a crash leaves a record with the row that was meant, whatever the settings are by then; the next replay, of any
letters, first writes the rows of such records. A letter that was counted is never decoded again; where its row is
not in the store any more, it is written again as it was recorded.

Guarantees: a letter is counted once; of letters with one (organisation, event id) one is counted, the first in the
order of positions within a call. Two replays at once of the same letters, with the same settings and options, write
the same rows.
Not guaranteed: what the store cannot know. It keeps no ids of the events that the log itself had accepted, so an event
that was corrected and sent again under its id, and was counted then, is counted once more when its letter is replayed.
Nor that two replays at once under different settings, or of different letters with one event id, count only one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from schemas.formats.base import Decoded, Rejected
from schemas.formats.judge import judge
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import FIRST_CANDIDATE
from sinks.store import Store
from tally.deadletters import PAGE_LETTERS, Letter, Selection, read_pages
from tally.positions import Position
from tally.replay_records import (
    COUNTED,
    COUNTING,
    TAKEN,
    Record,
    Row,
    generations_now,
    log_of,
    logs_with_rows,
    name_of,
    note_places,
    records_at,
    records_counting,
    records_taken,
    usage_of,
    write_records,
)

Outcome = Literal[
    "counted", "completed", "already_replayed", "duplicate", "not_billable", "needs_accept", "rejected", "cut"
]
OUTCOMES: Final[dict[Outcome, str]] = {
    "counted": "counted in a usage row",
    "completed": "counted: the row of an earlier replay was not there; it had been interrupted, or the row deleted",
    "already_replayed": "counted by an earlier replay; nothing was changed",
    "duplicate": "dropped: its organisation and event id were replayed already",
    "not_billable": "decodes, but is not billable",
    "needs_accept": "a conflict or an old event: counted only with --accept",
    "rejected": "does not decode under today's settings either",
    "cut": "larger than what the store keeps of an event: send it again",
}
"""What can become of a letter, each with what that means."""

EventId = tuple[int, str]


class Replayed(NamedTuple):
    """What became of one letter. `row` is the usage row that it is in, None where it is in none."""

    position: Position
    reason: str
    outcome: Outcome
    detail: str
    row: Row | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How letters are replayed: under which settings, by whom and when (microseconds UTC).

    `own_format` decodes each letter in the format that it came in, otherwise all are taken for the settings' format.
    `accept` counts conflicts and old events too. `dry_run` decides and writes nothing.
    """

    settings: MeterSettings
    now: int
    by: str
    accept: bool = False
    dry_run: bool = False
    own_format: bool = True


@dataclass(slots=True)
class _Decision:
    letter: Letter
    outcome: Outcome
    detail: str = ""
    org_id: int = 0
    event_id: str | None = None
    row: Row | None = None
    moved: bool = False

    def drop_for(self, other: Position) -> None:
        if other != self.letter.position:
            self.outcome, self.detail, self.row = "duplicate", _repeats(other), None

    def told(self) -> Replayed:
        return Replayed(self.letter.position, self.letter.reason, self.outcome, self.detail, self.row)


def replay(store: Store, selection: Selection, terms: Terms) -> Iterator[Replayed]:
    """Replay the selected letters and yield what became of each, in the order of positions, once it is written.

    To be walked to its end. Raises what the store raises; replaying again then goes on where it stopped.
    """
    run = _Run(store, terms)
    if not terms.dry_run:
        run.completed = finish_interrupted(store, terms)
    for page in read_pages(store, selection, raw=True):
        yield from run.page(page)


def finish_interrupted(store: Store, terms: Terms) -> set[Position]:
    """Write the usage rows of replays that were interrupted before they had; return the letters' positions."""
    finished: set[Position] = set()
    records = records_counting(store)
    for start in range(0, len(records), PAGE_LETTERS):
        some = records[start : start + PAGE_LETTERS]
        first = first_taken(store, [record.event_id for record in some])
        # Interrupted before it had looked whether another letter with its id had been counted meanwhile.
        others = {r.position: first.get((r.org_id, r.event_id), r.position) for r in some}
        counted = [record for record in some if others[record.position] == record.position]
        dropped = [record for record in some if others[record.position] != record.position]
        note_places(store, [record.position for record in counted], terms.now)
        store.write_usage([usage_of(record.position, Row.read(record), terms.settings) for record in counted])
        write_records(
            store,
            [replace(record, outcome=COUNTED) for record in counted]
            + [replace(r, outcome="duplicate", detail=_repeats(others[r.position])) for r in dropped],
        )
        finished |= {record.position for record in counted}
    return finished


def first_taken(store: Store, event_ids: Iterable[str | None]) -> dict[EventId, Position]:
    """Return, of the letters with one of these event ids that were counted or are being counted, the one that stands.

    What was counted stands; of two that are being counted at this moment, the one that began first.
    """
    records = records_taken(store, {event_id for event_id in event_ids if event_id})
    records.sort(key=lambda record: (record.outcome != COUNTED, record.replayed_at, record.position))
    found: dict[EventId, Position] = {}
    for record in records:
        found.setdefault((record.org_id, record.event_id), record.position)
    return found


def _row_taken(record: Record, letter: Letter) -> Row | None:
    """Return the usage row that a letter was given already; None where it was given none.

    Another content at the same position, of a file that was changed and metered again, is another event.
    """
    if record.outcome not in TAKEN:
        return None
    row = Row.read(record)
    return row if row.raw == name_of(letter.raw) else None


def _repeats(other: Position) -> str:
    return f"the event with its id at {other} was replayed"


@dataclass
class _Run:
    store: Store
    terms: Terms
    taken: dict[EventId, Position] = field(default_factory=dict)
    """The ids that this call has counted: all that a dry run can know of its own decisions."""
    completed: set[Position] = field(default_factory=set)
    """The letters whose interrupted replays this call has completed."""
    formats: dict[str, MeterSettings] = field(default_factory=dict)
    """The settings with the format of each letter so far."""
    broker_clocks: dict[str, set[LogId]] = field(default_factory=dict)
    """By topic, the logs whose clock is a broker's."""

    def page(self, letters: Sequence[Letter]) -> Iterator[Replayed]:
        stored = records_at(self.store, letters)
        decisions = [self._decide(letter, stored.get(letter.position)) for letter in letters]
        self._drop_repeats(decisions)
        self._find_lost(decisions)
        if not self.terms.dry_run:
            self._write(decisions, stored)
            self._follow(letters, decisions)
        return iter([decision.told() for decision in decisions])

    def _decide(self, letter: Letter, record: Record | None) -> _Decision:
        """Decide on a letter by itself; whether its id was counted before comes after."""
        if record is not None and (row := _row_taken(record, letter)):
            interrupted = record.outcome == COUNTING or letter.position in self.completed
            outcome: Outcome = "completed" if interrupted else "already_replayed"
            moved = row.generation != letter.generation and max(row.generation, letter.generation) >= FIRST_CANDIDATE
            if moved:
                # The log was metered again, and the letter is of another generation than when it was replayed.
                row = row.of_generation(letter.generation)
            return _Decision(letter, outcome, f"by {record.replayed_by}", row=row, moved=moved)
        if letter.cut:
            return _Decision(letter, "cut", f"{letter.raw_size:,} bytes, of which {len(letter.raw):,} were kept")
        settings = self.terms.settings
        found = decode(letter, self._settings_of(letter))
        if isinstance(found, Rejected):
            return _Decision(letter, "rejected", f"{found.reason}: {found.detail}" if found.detail else found.reason)
        ids = (found.org_id, found.event_id)
        if found.not_billable is not None:
            return _Decision(letter, "not_billable", found.not_billable, *ids)
        if not self.terms.accept and (why := must_be_accepted(letter, found, settings, self._now_of(letter))):
            return _Decision(letter, "needs_accept", why, *ids)
        return _Decision(letter, "counted", "", *ids, row=Row.of(letter, found, settings))

    def _settings_of(self, letter: Letter) -> MeterSettings:
        if not self.terms.own_format:
            return self.terms.settings
        if letter.format not in self.formats:
            self.formats[letter.format] = replace(self.terms.settings, format=letter.format)
        return self.formats[letter.format]

    def _now_of(self, letter: Letter) -> int | None:
        """Return the instant against which the letter's age counts, as it did in the log; None where none does."""
        if letter.topic not in self.broker_clocks:
            progress = self.store.progress(letter.topic)
            self.broker_clocks[letter.topic] = {log for log in progress if "topic_id" in progress[log].source}
        return letter.clock if letter.log in self.broker_clocks[letter.topic] else self.terms.settings.as_of

    def _drop_repeats(self, decisions: Sequence[_Decision]) -> None:
        """Drop what is to be counted but repeats an id of an earlier replay, or of an earlier letter of this call."""
        candidates = [found for found in decisions if found.outcome == "counted" and found.event_id is not None]
        before = first_taken(self.store, [found.event_id for found in candidates])
        for found in candidates:
            identity = (found.org_id, found.event_id or "")
            found.drop_for(before.get(identity) or self.taken.setdefault(identity, found.letter.position))

    def _find_lost(self, decisions: Sequence[_Decision]) -> None:
        """Let earlier replays whose usage rows are gone from the store be completed once more."""
        counted = {
            log_of(found.letter.position): found
            for found in decisions
            if found.outcome == "already_replayed" and not found.moved
        }
        rows = {log: found.row for log, found in counted.items() if found.row is not None}
        for log in rows.keys() - logs_with_rows(self.store, rows):
            counted[log].outcome = "completed"

    def _write(self, decisions: Sequence[_Decision], stored: Mapping[Position, Record]) -> None:
        counting = [found for found in decisions if found.outcome == "counted"]
        self._record(counting, COUNTING, stored)
        # Another replay may have taken an id, or a letter, since they were looked for.
        others = first_taken(self.store, [found.event_id for found in counting])
        for found in counting:
            found.drop_for(others.get((found.org_id, found.event_id or ""), found.letter.position))
        written = [found for found in decisions if found.outcome in {"counted", "completed"} or found.moved]
        note_places(self.store, [found.letter.position for found in written], self.terms.now)
        settings = self.terms.settings
        self.store.write_usage([usage_of(w.letter.position, w.row, settings) for w in written if w.row is not None])
        late = [found.letter.position for found in decisions if found.outcome == "completed"]
        write_records(self.store, [replace(stored[p], outcome=COUNTED) for p in late if stored[p].outcome == COUNTING])
        self._record([found for found in counting if found.outcome == "counted"], COUNTED, {})
        self._record([found for found in counting if found.outcome == "duplicate"], "duplicate", {})
        begun = {found.letter.position for found in counting}
        aside = [f for f in decisions if f.outcome in {"duplicate", "not_billable"} and f.letter.position not in begun]
        newest = records_at(self.store, [found.letter for found in aside])
        for found in aside:
            record = newest.get(found.letter.position)
            if record is not None and (row := _row_taken(record, found.letter)):
                found.outcome, found.detail, found.row = "already_replayed", f"by {record.replayed_by}", row
        for outcome in ("duplicate", "not_billable"):
            self._record([found for found in aside if found.outcome == outcome], outcome, newest)

    def _follow(self, letters: Sequence[Letter], decisions: Sequence[_Decision]) -> None:
        """Give letters their rows again where a remeter was switched to or undone since the page was read.

        The switch has carried over the replays that it saw; what was recorded after its last look is written here.
        """
        if not any(found.row is not None for found in decisions):
            return
        now = generations_now(self.store, letters)
        moved: list[tuple[Position, Row]] = []
        for found in decisions:
            if found.row is not None:
                was = found.letter.generation
                generation = now.get((found.letter.position, found.row.raw), was)
                if generation != was and max(generation, was) >= FIRST_CANDIDATE:
                    found.row = found.row.of_generation(generation)
                    moved.append((found.letter.position, found.row))
        if moved:
            note_places(self.store, [position for position, _ in moved], self.terms.now)
            self.store.write_usage([usage_of(position, row, self.terms.settings) for position, row in moved])

    def _record(self, decisions: Iterable[_Decision], outcome: str, stored: Mapping[Position, Record]) -> None:
        records = []
        for found in decisions:
            detail = found.detail if found.row is None else found.row.written()
            before = stored.get(found.letter.position)
            if before is not None and (before.outcome, before.detail) == (outcome, detail):
                continue  # it has been said before; who said it first is kept
            records.append(
                Record(
                    topic=found.letter.topic,
                    partition=found.letter.partition,
                    offset=found.letter.offset,
                    index=found.letter.index,
                    org_id=found.org_id,
                    event_id=found.event_id or "",
                    outcome=outcome,
                    detail=detail,
                    fingerprint=self.terms.settings.fingerprint(),
                    replayed_at=self.terms.now,
                    replayed_by=self.terms.by,
                )
            )
        write_records(self.store, records)


def decode(letter: Letter, settings: MeterSettings) -> Decoded | Rejected:
    """Return the one event in a letter's bytes, or why there is none."""
    found = judge(letter.raw, settings)
    if len(found) != 1:
        # The bytes of one rejected event; several in them, as in an array within an array, were never one.
        return Rejected("not_an_object", f"its bytes hold {len(found)} events, and a letter is one")
    return found[0].outcome


def must_be_accepted(letter: Letter, event: Decoded, settings: MeterSettings, now: int | None) -> str:
    """Say why an event is counted only where it is accepted explicitly; '' where nothing stands against it.

    `now` is the instant against which its age counts, None where its age was never asked.
    """
    if letter.reason == "conflicting_duplicate":
        return "another event with its id was in the log before it, and may have been counted"
    if letter.reason == "too_old":
        return letter.detail or "it was too old when it came"
    if now is not None and event.timestamp < now - settings.max_age:
        return f"its timestamp is more than {settings.max_age // 1_000_000} s before the clock of its log"
    return ""


@dataclass(slots=True)
class Summary:
    """How many letters had each outcome, and (events, quantity) by category of those newly counted."""

    outcomes: Counter[str] = field(default_factory=Counter)
    counted: dict[str, tuple[int, int]] = field(default_factory=dict)

    def watch(self, replayed: Iterable[Replayed]) -> Iterator[Replayed]:
        """Pass letters on and count them."""
        for one in replayed:
            self.outcomes[one.outcome] += 1
            if one.row is not None and one.outcome in {"counted", "completed"}:
                events, quantity = self.counted.get(one.row.category, (0, 0))
                self.counted[one.row.category] = (events + 1, quantity + one.row.quantity)
            yield one
