"""What the store knows of a remeter: its decisions, its candidates, and the generations of its logs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.progress import Progress
from sinks.remeters import Decision, Part, progress_of_every_generation, read_decisions, read_parts, write_parts
from sinks.store import Store
from tally.remeter.ranges import Target, generation_of
from tally.replay_records import TOPIC_PREFIX


def note_parts(store: Store, name: str, targets: Iterable[Target], now: int) -> None:
    """Note which generations a remeter is about: those that it replaces first, its candidates, and what is covered."""
    parts = []
    for target in targets:
        log = target.log
        parts.append(Part(name, log, generation_of(name), "candidate"))
        parts += [Part(name, log, one.generation, "replaced") for one in target.replaced]
        own = generation_of(name)
        parts += [Part(name, log, number, "covered") for number in target.covered if number != own]
    write_parts(store, parts, now)


def decisions_on(store: Store, name: str) -> tuple[Decision, ...]:
    """Return what was decided of a remeter, the oldest first. Raises SettingsError where there is none of that name."""
    decisions = read_decisions(store, name)
    if not decisions:
        known = sorted({one.remeter for one in read_decisions(store)})
        raise SettingsError(
            f"no remeter {name!r}; there are {', '.join(known) or 'none: see `tally remeter run --help`'}"
        )
    return tuple(decisions)


def candidates_of(store: Store, name: str) -> tuple[Progress, ...]:
    """Return the progress of a remeter's candidates, in the order of their logs."""
    topics = {part.log.topic for part in read_parts(store, name) if not part.log.topic.startswith(TOPIC_PREFIX)}
    found = [one for topic in topics for one in progress_of_every_generation(store, topic)]
    own = generation_of(name)
    return tuple(sorted((one for one in found if one.generation == own), key=lambda one: one.log))


@dataclass(frozen=True)
class Lineage:
    """The generations of every log of some topics: all that are known, and those that count in the order of places."""

    known: Mapping[LogId, list[Progress]]
    counting: Mapping[LogId, list[Progress]]

    @classmethod
    def of(cls, store: Store, topics: Iterable[str]) -> "Lineage":
        """Read them."""
        known, counting = dict[LogId, list[Progress]](), dict[LogId, list[Progress]]()
        for topic in sorted(topics):
            for one in progress_of_every_generation(store, topic):
                known.setdefault(one.log, []).append(one)
            for one in store.progress_of_all_generations(topic):
                counting.setdefault(one.log, []).insert(0, one)
        return cls(known, counting)
