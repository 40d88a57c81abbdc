"""Whether a flow or a rater is alive, and whether it is well: a pure judgement of what is known of it.

Alive: its loop turns. A supervisor restarts what is not, so a store that is away is no reason: a restart cannot help.
Ready: what is read reaches the store in time. A flow that is alive and stalled is not ready, and the answer says which
log does not move, or that the store is away, and since when. A rater is ready once it has rated, and for as long as its
last pass could: usage that has no price is told by an alert of its own, and holds up nobody else's bill.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from schemas.log import LogId
from tally.telemetry.rater import RaterState
from tally.telemetry.state import FlowState, LogState

STALLS_TO_DEATH: Final = 10
"""A loop that has not turned for this many times `stall_after` counts as dead."""

LONGEST_STEP: Final = 3_600.0
"""Seconds within a pass that may go by without one organisation: the store adds up a month of everyone's usage."""

What = Literal["starting", "stopping", "store", "flow", "log", "pass"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a flow or a rater is not ready.

    `since` is in monotonic seconds; `log` and `offset` where it is one log's trouble.
    """

    what: What
    message: str
    since: float
    log: LogId | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds without movement after which a flow counts as stalled.

    `flush_interval` (seconds) is added to it: nothing is written more often. `bounded`: the run ends at ends that were
    seen when it began, so what lies behind them is not waited for.
    """

    stall_after: float
    flush_interval: float = 0.0
    bounded: bool = False

    @property
    def stall(self) -> float:
        """Return the seconds between two flushes that are too many."""
        return self.stall_after + self.flush_interval


def alive(state: FlowState, limits: Limits, now: float) -> bool:
    """Say whether the loop turns, or is in a call of the store, which ends by itself."""
    return state.writing_since is not None or now - state.turned_at <= STALLS_TO_DEATH * limits.stall


def problems(state: FlowState, limits: Limits, now: float, *, stopping: bool = False) -> list[Problem]:
    """Return why the flow is not ready at `now`; [] where it is. Store first: it stalls everything behind it."""
    found: list[Problem] = []
    if stopping:
        found.append(Problem("stopping", "the run was asked to stop: it flushes and ends", state.turned_at))
    stale = state.settled_at is not None and now - state.settled_at > limits.stall
    if (trouble := _store_trouble(state, limits, now, stale=stale)) is not None:
        return [*found, trouble]
    if state.settled_at is None:
        return [*found, Problem("starting", "nothing has reached the store yet", state.started_at)]
    if stale:
        return [*found, Problem("flow", "the flow does not turn: reading has not come back", state.turned_at)]
    return [*found, *_log_troubles(state, limits, now)]


def rater_alive(state: RaterState, limits: Limits, now: float) -> bool:
    """Say whether a rater looks at the time between passes, and gets on within one."""
    longest = STALLS_TO_DEATH * limits.stall if state.passing_since is None else LONGEST_STEP
    return now - state.turned_at <= longest


def rater_problems(state: RaterState, limits: Limits, now: float, *, stopping: bool = False) -> list[Problem]:
    """Return why a rater is not ready at `now`; [] where it is."""
    found: list[Problem] = []
    if stopping:
        found.append(Problem("stopping", "the rater was asked to stop: it ends after its batch", state.turned_at))
    if state.away_since is not None and now - state.away_since > limits.stall:
        return [*found, Problem("store", f"the store is away: {state.away_why}", state.away_since)]
    if state.failed_since is not None:
        return [*found, Problem("pass", f"nothing is rated: {state.failed_why}", state.failed_since)]
    if state.passed_at is None:
        return [*found, Problem("starting", "the first pass has not ended yet", state.started_at)]
    return found


def _store_trouble(state: FlowState, limits: Limits, now: float, *, stale: bool) -> Problem | None:
    """Return that the store is what holds the flow up, where it is: too long by itself, or when all is too late."""
    since = min((at for at in (state.away_since, state.writing_since) if at is not None), default=None)
    if since is None or (now - since <= limits.stall and not stale):
        return None
    if state.away_since is not None:
        return Problem("store", f"the store is away: {state.away_why}", since)
    return Problem("store", "the store has not answered a write yet", since)


def _log_troubles(state: FlowState, limits: Limits, now: float) -> Iterator[Problem]:
    for log, found in state.logs.items():
        # The end of a file is known from the beginning, and no broker has to be asked for it again.
        if not found.written.finite and found.end_seen_at is not None and now - found.end_seen_at > limits.stall:
            yield Problem(
                "log", "its end was not seen since: the broker is out of reach", found.end_seen_at, log, found.position
            )
        elif _behind(found) and not limits.bounded and now - found.moved_at > limits.stall:
            message = f"nothing was read since, though its end is at offset {found.log_end}"
            yield Problem("log", message, found.moved_at, log, found.position)


def _behind(found: LogState) -> bool:
    return found.log_end is not None and found.position < found.log_end
