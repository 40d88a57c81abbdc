"""Learns what a rater does, pass by pass, and gives it out as readings: plain data, changed by one thread alone."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, Self, get_args

from schemas.statements import FailureReason
from tally.telemetry.names import ABOUT, OF_A_RATER, Metric
from tally.telemetry.readings import Reading

MICROSECONDS: Final = 1_000_000
NANOSECONDS: Final = 1_000_000_000
REASONS: Final[tuple[FailureReason, ...]] = get_args(FailureReason)

Result = Literal["rated", "incomplete", "stopped", "prices", "store", "rating"]
"""How a pass ended: everything was priced; some usage was not; it was asked to stop; or what it failed by."""
RATED: Final[tuple[Result, ...]] = ("rated", "incomplete")
RESULTS: Final[tuple[Result, ...]] = get_args(Result)
OUTCOMES: Final = ("written", "unchanged", "superseded", "withdrawn", "interims", "overtaken")


class Sink(Protocol):
    """Takes what is measured."""

    def record(self, name: Metric, value: float, attributes: Mapping[str, str]) -> None:
        """Record a value of a histogram."""
        ...


@dataclass(slots=True)
class PassCounts:
    """What one pass counted: failures by month and reason, statements by outcome, `seconds` that it took.

    `complete_to` (microseconds UTC) is what usage was complete to as it was read; None where that is not known.
    """

    seconds: float = 0.0
    organisations: int = 0
    lines: int = 0
    complete_to: int | None = None
    statements: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(slots=True)
class RaterState:
    """A process that rates. Instants are monotonic seconds; None: not so now, or not yet.

    `turned_at`: the last organisation, or a wait. `passing_since`: a pass is under way. `passed_at`: the last pass that
    rated ended, `rated_at` the same in microseconds UTC. `failed_since`, `failed_why`: no pass has succeeded since, for
    that reason. `away_since`, `away_why`: the store was found away and has not answered since.
    """

    started_at: float
    turned_at: float
    passing_since: float | None = None
    passed_at: float | None = None
    rated_at: int | None = None
    complete_to: int | None = None
    failed_since: float | None = None
    failed_why: str = ""
    away_since: float | None = None
    away_why: str = ""
    waits: int = 0
    passes: Counter[str] = field(default_factory=Counter)
    organisations: int = 0
    lines: int = 0
    statements: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Counter[str]] = field(default_factory=dict)

    def copy(self) -> Self:
        """Return a copy that stays as it is."""
        failures = {month: found.copy() for month, found in self.failures.items()}
        return replace(self, passes=self.passes.copy(), statements=self.statements.copy(), failures=failures)


class RaterWatch:
    """Keeps the state of a rater. Its methods are called by the rater's thread; `look` by any.

    `clock` is monotonic seconds, `wall` microseconds UTC.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self.sink = sink
        self.clock = clock
        self.wall = wall
        now = clock()
        self._lock = threading.Lock()
        self._state = RaterState(started_at=now, turned_at=now)

    def look(self) -> RaterState:
        """Return the state now, as a copy."""
        with self._lock:
            return self._state.copy()

    def beat(self) -> None:
        """Note that the rater is at work, or waits for the next pass."""
        self._state.turned_at = self.clock()

    def began(self) -> None:
        """Take the start of a pass."""
        self._state.passing_since = self._state.turned_at = self.clock()

    def waiting(self, message: str) -> None:
        """Take a wait for the store, which was found away."""
        with self._lock:
            state = self._state
            state.waits += 1
            state.turned_at = self.clock()
            state.away_why = message
            if state.away_since is None:
                state.away_since = state.turned_at

    def answered(self) -> None:
        """Note that the store has answered."""
        self._state.away_since = None

    def away_for(self) -> float:
        """Return for how many seconds the store has been away; 0 while it answers."""
        since = self._state.away_since
        return 0.0 if since is None else self.clock() - since

    def inserted(self, table: str, _rows: int, _began: int, took: int) -> None:
        """Take an insert that the store has acknowledged, and its length in nanoseconds."""
        if self.sink is not None:
            self.sink.record("tally.insert.duration", took / NANOSECONDS, {"table": table})

    def ended(self, result: Result, counts: PassCounts, *, why: str = "", months: Collection[str] = ()) -> None:
        """Take the end of a pass; `why` where it failed. Failures are kept of `months` alone, where any are given."""
        now = self.clock()
        with self._lock:
            state = self._state
            state.turned_at, state.passing_since = now, None
            state.passes[result] += 1
            state.organisations += counts.organisations
            state.lines += counts.lines
            state.statements += counts.statements
            if result in RATED:
                state.failures |= counts.failures
                if months:
                    state.failures = {month: found for month, found in state.failures.items() if month in months}
                state.passed_at, state.rated_at, state.complete_to = now, self.wall(), counts.complete_to
                state.failed_since = state.away_since = None
                state.failed_why = ""
            elif result != "stopped":
                state.failed_since = state.failed_since if state.failed_since is not None else now
                state.failed_why = why
        if self.sink is not None:
            self.sink.record("tally.rating.duration", counts.seconds, {})


@dataclass(frozen=True, slots=True)
class RaterMoment:
    """What is read: the state, the time (monotonic seconds; microseconds UTC), and whether the rater is ready."""

    state: RaterState
    now: float
    wall: int
    ready: bool


def _one(value: Callable[[RaterMoment], float | None]) -> Callable[[RaterMoment], Iterator[Reading]]:
    def read(moment: RaterMoment) -> Iterator[Reading]:
        if (found := value(moment)) is not None:
            yield Reading(found, {})

    return read


def _each(
    attribute: str, values: Iterable[str], counts: Callable[[RaterState], Mapping[str, int]]
) -> Callable[[RaterMoment], Iterator[Reading]]:
    """Read every value of an attribute, those that were not seen as 0: what is missing raises no alert."""
    every = tuple(values)

    def read(moment: RaterMoment) -> Iterator[Reading]:
        found = counts(moment.state)
        for value in every:
            yield Reading(found.get(value, 0), {attribute: value})

    return read


def _failures(moment: RaterMoment) -> Iterator[Reading]:
    for month, found in moment.state.failures.items():
        for reason in REASONS:
            yield Reading(found[reason], {"month": month, "reason": reason})


def _delay(moment: RaterMoment) -> float | None:
    """Return 0 at least: finite logs that were read to their end are complete for ever."""
    complete_to = moment.state.complete_to
    return None if complete_to is None else max(0, moment.wall - complete_to) / MICROSECONDS


def _rated_at(moment: RaterMoment) -> float | None:
    return None if moment.state.rated_at is None else moment.state.rated_at / MICROSECONDS


def _away(moment: RaterMoment) -> float:
    since = moment.state.away_since
    return 0.0 if since is None else moment.now - since


RATER_READINGS: Final[dict[Metric, Callable[[RaterMoment], Iterator[Reading]]]] = {
    "tally.rating.passes": _each("result", RESULTS, lambda state: state.passes),
    "tally.rating.time": _one(_rated_at),
    "tally.rating.organisations": _one(lambda moment: moment.state.organisations),
    "tally.rating.lines": _one(lambda moment: moment.state.lines),
    "tally.rating.statements": _each("outcome", OUTCOMES, lambda state: state.statements),
    "tally.rating.failures": _failures,
    "tally.rating.delay": _one(_delay),
    "tally.rating.ready": _one(lambda moment: int(moment.ready)),
    "tally.store.waits": _one(lambda moment: moment.state.waits),
    "tally.store.away": _one(_away),
}
"""How each counter and gauge is read. Histograms are recorded instead."""

assert RATER_READINGS.keys() == {name for name in OF_A_RATER if ABOUT[name].kind != "histogram"}
