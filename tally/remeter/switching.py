"""Switching over to a remeter's candidates, back again, and dropping one: each is one row in remeter_decisions.

What must be true is asked before the row is written; what could only be made true by it (replays that are counted at
that moment) is done before and once more after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from schemas.errors import MeteringError, SettingsError, UncleanStop
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
    UncleanStop where a run is writing what it replaces. Nothing that counts has changed then.
    """
    standing = standing_of(store, name)
    if standing.state == "active":
        raise SettingsError(f"remeter {name} is in force already; nothing was changed")
    if standing.hindrances:
        raise MeteringError(
            f"remeter {name} cannot be switched to: {_listed(standing.hindrances)}. Nothing was changed"
        )
    _check_nobody_writes(store, standing.targets)
    note_parts(store, name, standing.targets, now)
    note_replays(store, name, now)
    own = [(one.log, one.generation) for one in standing.candidates]
    carry_replays(store, own, settings)
    again = standing_of(store, name)
    if again.hindrances:
        raise UncleanStop(f"remeter {name}: a run is writing what it replaces: {_listed(again.hindrances)}")
    decide(store, name, "active", now, by)
    note_replays(store, name, now)
    carry_replays(store, own, settings)
    return standing


def undo(store: Store, name: str, settings: MeterSettings, *, now: int, by: str) -> None:
    """Put back what a remeter replaced, with one row. Raises SettingsError or UncleanStop, with nothing changed."""
    if decisions_on(store, name)[-1].decision != "active":
        raise SettingsError(f"remeter {name} is not in force: there is nothing to undo")
    candidates = candidates_of(store, name)
    lineage = Lineage.of(store, {one.log.topic for one in candidates})
    replaced: dict[LogId, list[int]] = {}
    for part in read_parts(store, name):
        if part.role == "replaced" and part.log in lineage.known:
            replaced.setdefault(part.log, []).append(part.generation)
    for candidate in candidates:
        counting = lineage.counting[candidate.log]
        if candidate.generation not in {one.generation for one in counting}:
            first, last = candidate.places
            other = next(one for one in counting if one.places[0] <= first and last <= one.places[1])
            raise SettingsError(
                f"{candidate.log}: remeter {other.source[REMETER]['id']}, in force, has replaced this one since: undo "
                "that first"
            )
        if counting[-1].generation != candidate.generation:
            for number in replaced[candidate.log]:
                _check_not_past(store, candidate, number)
    back = [(log, number) for log, numbers in replaced.items() for number in numbers]
    note_replays(store, name, now)
    carry_replays(store, back, settings)
    decide(store, name, "undone", now, by)
    note_replays(store, name, now)
    carry_replays(store, back, settings)


def _check_not_past(store: Store, candidate: Progress, number: int) -> None:
    log = candidate.log
    if store.rows_past_progress(log, number, candidate.next_offset):
        raise UncleanStop(
            f"{log}: rows of generation {number} lie at or past offset {candidate.next_offset}, from which on a newer "
            "generation counts: a run had gone on while the switch was made. Put back, they would count twice; nothing "
            "was changed"
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
