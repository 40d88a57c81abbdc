"""Switching over to a remeter's candidates, back again, and dropping one: each is one row in remeter_decisions.

What must be true is asked before the row is written; what could only be made true by it (replays that are counted at
that moment) is done before and once more after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.errors import MeteringError, SettingsError, StoreError, UncleanStop
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import REMETER, Progress
from sinks.remeters import Decision, decide, read_parts
from sinks.store import Store
from tally.remeter.ranges import Target, generation_of, target_within
from tally.remeter.replays import carry_replays, note_replays
from tally.remeter.state import Lineage, candidates_of, decisions_on, note_parts

_FOLDED: Final = """
SELECT topic, partition, sum(toInt128(events)), sum(toInt128(quantity)),
    sum(if(segment = 0, toInt128(0), toInt128(events)))
FROM usage_windows FINAL WHERE generation = {generation:UInt32} AND NOT startsWith(topic, 'replay:')
GROUP BY topic, partition
"""

_LETTERS: Final = """
SELECT topic, partition, count() FROM remetered_letters FINAL WHERE generation = {generation:UInt32}
GROUP BY topic, partition
"""


class Sums(NamedTuple):
    """What the rows of a candidate come to: it must be what its progress counts."""

    events: int = 0
    quantity: int = 0
    late: int = 0
    letters: int = 0


@dataclass(frozen=True)
class Standing:
    """A remeter as it is: what was decided last, its candidates, and why it cannot be switched to ([]: it can)."""

    name: str
    decisions: tuple[Decision, ...]
    candidates: tuple[Progress, ...]
    targets: tuple[Target, ...]
    hindrances: tuple[str, ...]

    @property
    def state(self) -> str:
        """Return what was decided last: made, active, undone, dropped."""
        return self.decisions[-1].decision


def standing_of(store: Store, name: str) -> Standing:
    """Look at a remeter. Raises SettingsError where there is none of that name."""
    decisions = decisions_on(store, name)
    candidates = candidates_of(store, name)
    targets, hindrances = [], list[str]()
    if decisions[-1].decision == "dropped":
        hindrances.append("it was dropped; `tally remeter run` makes it anew")
    elif decisions[-1].decision != "active":
        lineage = Lineage.of(store, {one.log.topic for one in candidates})
        for candidate in candidates:
            log = candidate.log
            if log not in lineage.counting:
                hindrances.append(f"{log}: no generation counts, so that there is nothing to replace")
                continue
            found = target_within(lineage.counting[log], lineage.known[log], *candidate.places)
            if isinstance(found, Target):
                targets.append(found)
                hindrances += _incomplete(candidate, found)
            else:
                hindrances.append(
                    f"{log}: remeter {found.source[REMETER]['id']}, in force, stands for generations that this one "
                    "would replace in part: undo that first"
                )
        if not candidates:
            hindrances.append("nothing of it was metered yet; `tally remeter run` again goes on with it")
        hindrances += _unbalanced(store, name, candidates)
    return Standing(name, decisions, candidates, tuple(targets), tuple(hindrances))


def _incomplete(candidate: Progress, target: Target) -> list[str]:
    log, at, end = target.log, candidate.next_offset, target.end
    if candidate.start_offset != target.start:
        return [f"{log}: it begins at offset {candidate.start_offset}, and what it replaces at {target.start}"]
    if at < end:
        number = target.replaced[-1].generation
        todo = "stop the run if there is one, and let `tally remeter run` go on with it"
        return [f"{log}: metered again up to offset {at}, and generation {number} is at {end} by now: {todo}"]
    if at > end:
        return [f"{log}: it reaches offset {at}, past the end at {end} of what it replaces"]
    return []


def _unbalanced(store: Store, name: str, candidates: Iterable[Progress]) -> list[str]:
    """Hold each candidate's counts to themselves and to its rows and letters."""
    sums = sums_of(store, name)
    found = []
    for one in candidates:
        counts, rows = one.counts, sums.get(one.log, Sums())
        said = Sums(counts.accepted, counts.quantity, counts.late, counts.rejected.total())
        if not counts.balances():
            found.append(f"{one.log}: its counts do not balance: {counts}")
        found += [
            f"{one.log}: progress counts {mine} {what}, and its rows have {theirs}"
            for what, mine, theirs in zip(Sums._fields, said, rows, strict=True)
            if mine != theirs
        ]
    return found


def sums_of(store: Store, name: str) -> dict[LogId, Sums]:
    """Return what the rows and letters of a remeter's candidates come to, by log."""
    asked = {"generation": generation_of(name)}
    letters = {LogId(row[0], row[1]): int(row[2]) for row in store.query(_LETTERS, asked)}
    rows = {LogId(row[0], row[1]): Sums(*map(int, row[2:])) for row in store.query(_FOLDED, asked)}
    return {log: rows.get(log, Sums())._replace(letters=letters.get(log, 0)) for log in {*rows, *letters}}


def switch(store: Store, name: str, settings: MeterSettings, *, now: int, by: str) -> Standing:
    """Put a remeter's candidates in the place of what they replace, with one row; return how it stood before.

    Raises SettingsError where it is in force already, MeteringError where it is not complete or does not balance,
    UncleanStop where a run is writing what it replaces, or another remeter was switched to at the same moment. Nothing
    that counts has changed then, or the switch was taken back.
    """
    standing = standing_of(store, name)
    own = [(one.log, one.generation) for one in standing.candidates]
    if standing.state == "active":
        # The switch may have been cut off after its row, before it had looked at replays for the last time.
        _follow_replays(store, name, own, settings, now)
        raise SettingsError(
            f"remeter {name} is in force already: its replayed letters were looked at once more, and nothing else was "
            "changed"
        )
    if standing.hindrances:
        raise MeteringError(
            f"remeter {name} cannot be switched to: {_listed(standing.hindrances)}. Nothing was changed"
        )
    _check_nobody_writes(store, standing.targets)
    note_parts(store, name, standing.targets, now)
    _follow_replays(store, name, own, settings, now)
    again = standing_of(store, name)
    if again.hindrances:
        raise UncleanStop(f"remeter {name}: a run is writing what it replaces: {_listed(again.hindrances)}")
    decide(store, name, "active", now, by)
    _check_alone(store, name, standing.candidates, now, by)
    with _told_that(name, "in force"):
        _follow_replays(store, name, own, settings, now)
    return standing


def _follow_replays(
    store: Store, name: str, generations: Sequence[tuple[LogId, int]], settings: MeterSettings, now: int
) -> None:
    note_replays(store, name, now)
    carry_replays(store, generations, settings)


@contextmanager
def _told_that(name: str, state: str) -> Iterator[None]:
    """Say what is decided already where the store refuses what comes after it."""
    try:
        yield
    except StoreError as error:
        raise type(error)(
            f"remeter {name} is {state}, but letters that were replayed at this moment may not have come along; give "
            f"the same command once more, which looks at them again: {error}"
        ) from error


def _check_alone(store: Store, name: str, candidates: Iterable[Progress], now: int, by: str) -> None:
    """Take a switch back where another one has come between its look and its row: both would count, or neither.

    Whoever looks last sees both, so that one of two at once is taken back, or each of them.
    """
    lineage = Lineage.of(store, {one.log.topic for one in candidates})
    for candidate in candidates:
        first, last = candidate.places
        there = [
            one.generation
            for one in lineage.counting.get(candidate.log, ())
            if one.places[0] <= last and first <= one.places[1]
        ]
        if there != [candidate.generation]:
            decide(store, name, "undone", now, by)
            raise UncleanStop(
                f"{candidate.log}: another remeter of the same range was switched to or undone at this moment, so that "
                f"remeter {name} was taken back. `tally remeter list` shows what is in force; switch again where it is "
                "not what you want"
            )


def undo(store: Store, name: str, settings: MeterSettings, *, now: int, by: str) -> None:
    """Put back what a remeter replaced, with one row. Raises SettingsError or UncleanStop, with nothing changed.

    UncleanStop too where a run has started at the same moment, so that it was switched to again.
    """
    decision = decisions_on(store, name)[-1].decision
    candidates = candidates_of(store, name)
    replaced = _replaced(store, name, candidates)
    back = [(one.log, one.generation) for one in replaced]
    if decision == "undone":
        # The undo may have been cut off after its row, before it had looked at replays for the last time.
        _follow_replays(store, name, back, settings, now)
        raise SettingsError(
            f"remeter {name} is undone already: its replayed letters were looked at once more, and nothing else was "
            "changed"
        )
    if decision != "active":
        raise SettingsError(f"remeter {name} is not in force: there is nothing to undo")
    _check_can_be_undone(store, candidates, replaced)
    _follow_replays(store, name, back, settings, now)
    # That may have taken long, and a run may have started meanwhile.
    replaced = _replaced(store, name, candidates)
    _check_can_be_undone(store, candidates, replaced)
    decide(store, name, "undone", now, by)
    try:
        _check_not_past(store, candidates, _replaced(store, name, candidates))
    except UncleanStop:
        decide(store, name, "active", now, by)
        raise
    with _told_that(name, "undone"):
        _follow_replays(store, name, back, settings, now)


def _replaced(store: Store, name: str, candidates: Iterable[Progress]) -> list[Progress]:
    """Return the progress, as it is now, of the generations that a remeter has replaced."""
    parts = {(part.log, part.generation) for part in read_parts(store, name) if part.role == "replaced"}
    known = Lineage.of(store, {one.log.topic for one in candidates}).known
    return [one for found in known.values() for one in found if (one.log, one.generation) in parts]


def _check_can_be_undone(store: Store, candidates: Sequence[Progress], replaced: Sequence[Progress]) -> None:
    lineage = Lineage.of(store, {one.log.topic for one in candidates})
    for candidate in candidates:
        counting = lineage.counting.get(candidate.log, [])
        first, last = candidate.places
        others = [one for one in counting if one.places[0] <= first and last <= one.places[1]]
        if others and candidate.generation not in {one.generation for one in others}:
            raise SettingsError(
                f"{candidate.log}: remeter {others[0].source[REMETER]['id']}, in force, has replaced this one since: "
                "undo that first"
            )
    _check_not_past(store, candidates, replaced)


def _check_not_past(store: Store, candidates: Sequence[Progress], replaced: Sequence[Progress]) -> None:
    """Raise UncleanStop where what was replaced reaches past its candidate, and a newer generation counts from there.

    Its rows may be none where all of it was repeats: progress says how far it was metered.
    """
    lineage = Lineage.of(store, {one.log.topic for one in candidates})
    for candidate in candidates:
        log, end = candidate.log, candidate.next_offset
        if all(one.places[0] <= candidate.places[1] for one in lineage.counting.get(log, ())):
            continue
        for one in replaced:
            if one.log == log and (one.next_offset > end or store.rows_past_progress(log, one.generation, end)):
                raise UncleanStop(
                    f"{log}: generation {one.generation} has gone on at or past offset {end}, from which on a newer "
                    "generation counts: a run had gone on while the switch was made. Put back, its rows would count "
                    "twice; nothing was changed"
                )


def drop(store: Store, name: str, *, now: int, by: str) -> None:
    """Give a remeter up: it can no longer be switched to, and its rows stay hidden for ever. Raises SettingsError."""
    if decisions_on(store, name)[-1].decision == "active":
        raise SettingsError(f"remeter {name} is in force: undo it first (`tally remeter undo {name}`)")
    decide(store, name, "dropped", now, by)


def _check_nobody_writes(store: Store, targets: Iterable[Target]) -> None:
    for target in targets:
        last = target.replaced[-1]
        if last.finite and last.fully_read:
            continue
        if target.after is None and store.rows_past_progress(target.log, last.generation, last.next_offset):
            raise UncleanStop(
                f"{target.log}: usage rows of generation {last.generation} lie past its progress at offset "
                f"{last.next_offset}: a run is writing them, or stopped uncleanly. Stop it, or start it once more so "
                "that progress covers them; then let `tally remeter run` go on, and switch. Nothing was changed"
            )


def _listed(hindrances: Sequence[str]) -> str:
    more = f"; and {len(hindrances) - 5} more" if len(hindrances) > 5 else ""
    return "; ".join(hindrances[:5]) + more
