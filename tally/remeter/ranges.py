"""What a remeter is about: which whole generations of which logs, and where its candidates start and end.

A usage row holds a total over its generation, so a part of a generation cannot be taken out: what is replaced is always
a run of consecutive whole generations, of those that count now.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dataflows.resume import CONTENT_KEYS
from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.progress import FIRST_CANDIDATE, Progress

_NAME: Final = re.compile("[0-7][0-9a-f]{7}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: offsets from `start` up to `end`, or one generation; None: all that was metered."""

    start: int | None = None
    end: int | None = None
    generation: int | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError for what can have no answer."""
        if self.generation is not None and (self.start, self.end) != (None, None):
            raise SettingsError("--generation names a range by itself: leave --from-offset and --to-offset out")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise SettingsError(f"--to-offset {self.end} is not after --from-offset {self.start}: it is exclusive")

    @property
    def whole(self) -> bool:
        """Say whether all that was metered is asked for."""
        return (self.start, self.end, self.generation) == (None, None, None)


@dataclass(frozen=True, slots=True)
class Target:
    """A log's generations that are replaced, oldest first; `before` and `after` are their neighbours, where there are.

    `covered` are generations in their place that are hidden already: what an earlier remeter, replaced now, stands for.
    """

    log: LogId
    replaced: tuple[Progress, ...]
    before: Progress | None = None
    after: Progress | None = None
    covered: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, int]:
        """Return the first and the last place in the order of generations."""
        return self.replaced[0].places[0], self.replaced[-1].places[1]

    @property
    def start(self) -> int:
        """Return the first offset that is metered again."""
        return self.replaced[0].start_offset

    @property
    def end(self) -> int:
        """Return one past the last offset: where the last generation ends, or stands now."""
        return self.replaced[-1].next_offset

    def widened(self, asked: Asked) -> bool:
        """Say whether this is more than the offsets that were asked for."""
        wider = asked.start is not None and asked.start > self.start
        return wider or (asked.end is not None and asked.end < self.end)


def targets_of(every: Iterable[Progress], counting: Sequence[Progress], asked: Asked) -> list[Target]:
    """Return the targets of the logs whose generations are given: all of them, and those that count.

    Logs of which nothing was metered in the range have none. Raises SettingsError where that is so of all of them.
    """
    by_log: dict[LogId, list[Progress]] = {}
    for one in sorted(counting, key=lambda one: one.places):
        by_log.setdefault(one.log, []).append(one)
    known: dict[LogId, list[Progress]] = {}
    for one in every:
        known.setdefault(one.log, []).append(one)
    found = [
        target for log in sorted(by_log) if (target := _target(by_log[log], known.get(log, []), asked)) is not None
    ]
    if not found:
        raise SettingsError(_nothing(by_log, asked))
    return found


def _target(counting: list[Progress], known: list[Progress], asked: Asked) -> Target | None:
    of_this_content = _with_content_of_last(counting)
    chosen = [number for number, one in enumerate(of_this_content) if _is_meant(one, asked)]
    if not chosen:
        return None
    first, last = chosen[0], chosen[-1]
    replaced = tuple(of_this_content[first : last + 1])
    if replaced[0].start_offset >= replaced[-1].next_offset:
        return None
    return Target(
        log=replaced[0].log,
        replaced=replaced,
        before=of_this_content[first - 1] if first else None,
        after=of_this_content[last + 1] if last + 1 < len(of_this_content) else None,
        covered=_covered(known, replaced, replaced[0].places[0], replaced[-1].places[1]),
    )


def target_within(counting: Sequence[Progress], known: Iterable[Progress], first: int, last: int) -> Target | Progress:
    """Return what stands now in the places `first` to `last` of a log, or a generation that stands there only in part.

    `counting` are the log's generations that count, in the order of their places, `known` all of them.
    """
    inside = [one for one in counting if first <= one.places[0] and one.places[1] <= last]
    across = [one for one in counting if one not in inside and one.places[0] <= last and first <= one.places[1]]
    if across:
        return across[0]
    assert inside, f"nothing counts in the places {first} to {last}, where something was replaced"
    after = next((one for one in counting if one.places[0] > last), None)
    return Target(inside[0].log, tuple(inside), None, after, _covered(known, inside, first, last))


def _covered(known: Iterable[Progress], replaced: Iterable[Progress], first: int, last: int) -> tuple[int, ...]:
    names = {one.generation for one in replaced}
    inside = (one.generation for one in known if first <= one.places[0] and one.places[1] <= last)
    return tuple(sorted(set(inside) - names))


def _with_content_of_last(counting: list[Progress]) -> list[Progress]:
    """Return the generations since the log's content last changed: the older ones metered what is gone."""
    newest = counting[-1].source
    found: list[Progress] = []
    for one in reversed(counting):
        if any(key in one.source and key in newest and one.source[key] != newest[key] for key in CONTENT_KEYS):
            break
        found.append(one)
    return found[::-1]


def _is_meant(one: Progress, asked: Asked) -> bool:
    if asked.generation is not None:
        return one.generation == asked.generation
    after = asked.start is None or one.next_offset > asked.start
    return after and (asked.end is None or one.start_offset < asked.end)


def _nothing(by_log: dict[LogId, list[Progress]], asked: Asked) -> str:
    shown = [
        f"{log}: " + ", ".join(f"{one.generation} ({one.start_offset} to {one.next_offset})" for one in generations)
        for log, generations in list(by_log.items())[:5]
    ]
    more = f"; and {len(by_log) - 5} more logs" if len(by_log) > 5 else ""
    what = "nothing was metered" if asked.whole else "nothing that was metered lies in the range asked for"
    return f"{what}; the generations that count, with their offsets: {'; '.join(shown)}{more}"


def name_of(topic: str, fingerprint: str, targets: Iterable[Target], attempt: int) -> str:
    """Return a remeter's name, 8 hex digits: the same for the same settings, logs and places.

    Started again after a crash, a remeter so finds its own candidates. `attempt` tells those after a drop apart.
    """
    places = sorted([target.log.partition, *target.places] for target in targets)
    text = json.dumps([topic, fingerprint, attempt, places], separators=(",", ":"))
    number = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % FIRST_CANDIDATE
    return f"{number:08x}"


def generation_of(name: str) -> int:
    """Return the generation that a remeter's candidates have, in every log."""
    return FIRST_CANDIDATE + int(name, 16)


def read_name(text: str) -> str:
    """Return a remeter's name as it was typed. Raises SettingsError for what can be none."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{text!r} is no remeter's name: 8 hex digits, as `tally remeter list` shows them")
    return name
