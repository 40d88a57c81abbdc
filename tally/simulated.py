"""Pairs of work rated and compared by the chunk, in this process or in several.

    pairs ──► chunks ──► (processes) both sides rated, compared, counted ──► parts, in the order of the pairs

A part is the same wherever it was made, and what is found adds up: so one process and many come to one answer.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sinks.store import Store
from tally.paired_work import Pair
from tally.processes import NO_USAGE, FlatUsage, answers, chunks, flat, started, whole
from tally.rated import Prices, Rated, rate_work
from tally.simulation import Compared, Findings, side_of
from tally.work import Work


@dataclass(frozen=True, slots=True)
class Trial:
    """What a simulation depends on beside usage.

    `top` is how many of the largest differences are kept; with `every`, parts have every comparison, and otherwise
    those that failed alone.
    """

    before: Prices
    after: Prices
    top: int
    every: bool


class Part(NamedTuple):
    """What a chunk of pairs came to: the comparisons to be told, by their place in it, and what was found.

    Those at the places in `open` are in neither: totals do not settle them, and they are to be rated again by window.
    """

    told: list[tuple[int, Compared]]
    findings: Findings
    open: list[int]
    last: int
    """The organisation of the last pair."""


def simulate(
    pairs: Iterable[Pair], trial: Trial, store: Store, window: dt.timedelta, processes: int = 1
) -> Iterator[Part]:
    """Yield what pairs come to, part by part in their order; none is `open` any more."""

    def again(pair: Pair) -> Pair:
        return pair.by_window(store, window)

    if processes == 1:
        for chunk in chunks(pairs):
            yield _settled(part_of(chunk, trial), chunk, trial, again)
        return
    with started(processes, _start, trial) as pool:
        for chunk, part in answers(pool, processes, pairs, _to_send, _chunk):
            yield _settled(part, chunk, trial, again)


def part_of(pairs: Iterable[Pair], trial: Trial) -> Part:
    """Rate pairs and compare the two sides of each."""
    part = Part([], Findings(trial.top), [], 0)
    last = 0
    for place, pair in enumerate(pairs):
        last = pair.org_id
        before, after = _rated(pair.before, trial.before), _rated(pair.after, trial.after)
        if _unsettled(before) or _unsettled(after):
            part.open.append(place)
        else:
            _take(part, place, Compared(pair.org_id, pair.period, side_of(before), side_of(after)), trial)
    return part._replace(last=last)


def _settled(part: Part, pairs: list[Pair], trial: Trial, again: Callable[[Pair], Pair]) -> Part:
    """Return a part in which also those are compared that have to be rated by window: both sides of one reading."""
    for place in part.open:
        pair = again(pairs[place])
        sides = side_of(_rated(pair.before, trial.before)), side_of(_rated(pair.after, trial.after))
        _take(part, place, Compared(pair.org_id, pair.period, *sides), trial)
    return part._replace(told=sorted(part.told, key=lambda item: item[0]), open=[])


def _take(part: Part, place: int, one: Compared, trial: Trial) -> None:
    part.findings.add(one)
    if trial.every or one.state == "failed":
        part.told.append((place, one))


def _rated(work: Work | None, prices: Prices) -> Rated | None:
    return None if work is None else rate_work(work, prices)


def _unsettled(rated: Rated | None) -> bool:
    return rated is not None and any(failure.reason == "needs_parts" for failure in rated.failures)


_mine: Trial | None = None
"""What this process compares, where it is one of several."""


def _start(trial: Trial) -> None:
    global _mine  # noqa: PLW0603 - the one argument of a process that is the same for all its work
    _mine = trial


_Sent = list[tuple[Pair, FlatUsage]]


def _to_send(pairs: list[Pair]) -> _Sent:
    return [(pair.of(NO_USAGE), flat(pair.usage)) for pair in pairs]


def _chunk(sent: _Sent) -> Part:
    assert _mine is not None, "a process is told what to compare before it is given work"
    return part_of([pair.of(whole(usage)) for pair, usage in sent], _mine)
