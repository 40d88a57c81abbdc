"""Making a remeter's candidates: which there are to be, what has to be true first, and the metering itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.remeters import (
    Decision,
    decide,
    progress_of_every_generation,
    read_decisions,
)
from sinks.store import Store
from tally.remeter.metering import Candidates, Decode, begin
from tally.remeter.ranges import Asked, Target, generation_of, name_of, targets_of
from tally.remeter.replays import carry_replays, note_replays
from tally.remeter.state import note_parts
from tally.rereading import LogAgain


@dataclass(frozen=True)
class Planned:
    """A remeter that can be made: its logs as they are found again, and the progress from which each candidate goes on.

    `fresh`: nothing of it was written before. `notes` are for a person.
    """

    name: str
    topic: str
    settings: MeterSettings
    targets: tuple[Target, ...]
    logs: tuple[LogAgain, ...]
    progress: tuple[Progress, ...]
    fresh: bool
    notes: tuple[str, ...]

    @property
    def offsets(self) -> int:
        """How many offsets there are to meter, those that were metered before included."""
        return sum(target.end - target.start for target in self.targets)


def find_targets(store: Store, topic: str, partition: str | None, asked: Asked) -> list[Target]:
    """Return what a remeter of a topic, or of one of its partitions, would replace. Raises SettingsError."""
    every = progress_of_every_generation(store, topic)
    counting = store.progress_of_all_generations(topic)
    if not counting:
        known = sorted({log.topic for log in store.progress()})
        raise SettingsError(f"--topic {topic}: the store knows no such topic; it knows {', '.join(known) or 'none'}")
    if partition is not None:
        log = LogId(topic, partition)
        if not any(one.log == log for one in counting):
            known = sorted({one.log.partition for one in counting})
            more = f" and {len(known) - 10} more" if len(known) > 10 else ""
            raise SettingsError(
                f"--partition {partition}: the store knows no such log of {topic}; it knows "
                f"{', '.join(known[:10])}{more}"
            )
        every, counting = [[one for one in some if one.log == log] for some in (every, counting)]
    return targets_of(every, counting, asked)


def plan_remeter(
    store: Store,
    settings: MeterSettings,
    topic: str,
    targets: Iterable[Target],
    reopen: Callable[[Progress], LogAgain],
    clock: Callable[[], int],
) -> Planned:
    """Find every log again, and what was made of the remeter before. Nothing is written.

    Raises SettingsError where the remeter is in force already, SourceError where a log is gone, is not the one that was
    metered, or no longer has the records.
    """
    targets = tuple(targets)
    name, words = _name(store, topic, settings, targets)
    if words and words[-1].decision == "active":
        raise SettingsError(
            f"remeter {name} has just these settings and logs, and is in force since the switch: undo it first "
            f"(`tally remeter undo {name}`), or give the settings that the log is to be metered with"
        )
    made = {one.log: one for one in progress_of_every_generation(store, topic) if one.generation == generation_of(name)}
    logs, progress, notes = [], [], []
    seen_at = clock()  # before any log is listed, since one listing may serve all of them: what came later is not in it
    for target in targets:
        again = reopen(target.replaced[-1])
        start, note = begin(target, again.listed, settings, name, seen_at)
        stored = made.get(target.log)
        if stored is not None and stored.mark.warm_offset < again.listed.log_start:
            raise SettingsError(
                f"{target.log}: remeter {name} stands at offset {stored.next_offset}, and the log is gone before "
                f"{again.listed.log_start} (retention), where going on would have to begin. Drop it (`tally remeter "
                f"drop {name}`) and meter again what is left"
            )
        if stored is not None and again.listed.log_end is not None:
            stored = stored.at_end(again.listed.log_end, seen_at)
        logs.append(again)
        progress.append(start if stored is None else stored)
        notes += [note] if note else []
    return Planned(name, topic, settings, targets, tuple(logs), tuple(progress), not words, tuple(notes))


def _name(store: Store, topic: str, settings: MeterSettings, targets: tuple[Target, ...]) -> tuple[str, list[Decision]]:
    """Return the name of a remeter, and its decisions so far: one that was dropped is made anew, under another name."""
    decisions = read_decisions(store)
    attempt = 0
    while True:
        name = name_of(topic, settings.fingerprint(), targets, attempt)
        words = [one for one in decisions if one.remeter == name]
        if not words or words[-1].decision != "dropped":
            return name, words
        attempt += 1


def make_candidates(
    store: Store,
    planned: Planned,
    decode: Decode,
    *,
    now: int,
    by: str,
    on_read: Callable[[LogId, int], None] = lambda _log, _done: None,
) -> list[Progress]:
    """Meter the logs of a plan into its candidates, and return the progress of each.

    Nothing that counts changes. `on_read` is told of a log and of how many offsets of all logs are done. Raises
    SourceError, what the store raises, or what the meter raises; called again it goes on where it stopped.
    """
    note_parts(store, planned.name, planned.targets, now)
    if planned.fresh:
        decide(store, planned.name, "made", now, by)
    candidates = Candidates(store, planned.settings, decode)
    candidates.announce(planned.progress)
    done, reached = 0, list[Progress]()
    for target, again, progress in zip(planned.targets, planned.logs, planned.progress, strict=True):
        before = done - target.start

        def tell(offset: int, log: LogId = target.log, before: int = before) -> None:
            on_read(log, before + offset)

        reached.append(candidates.meter(progress, again, target.end, tell))
        done += target.end - target.start
    candidates.flush()
    note_replays(store, planned.name, now)
    carry_replays(store, [(one.log, one.generation) for one in reached], planned.settings)
    return reached
