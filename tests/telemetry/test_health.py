"""When a flow or a rater is alive and when it is ready: a judgement of plain data, at every kind of standstill."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from schemas.log import LogId
from schemas.progress import Mark, Progress
from tally.health import Limits, Problem, alive, problems, rater_alive, rater_problems
from tally.telemetry.rater import PassCounts, RaterState, RaterWatch
from tally.telemetry.state import FlowState, LogState

LOG = LogId("usage", "3")
LIMITS = Limits(stall_after=30.0, flush_interval=1.0)
NOW = 1_000.0


def progress(next_offset: int = 10, *, finite: bool = False) -> Progress:
    return Progress(LOG, 1, "f", 0, next_offset, Mark(0, None, None, 0), finite=finite)


def log(*, moved: float, seen: float | None = NOW, end: int | None = 20, finite: bool = False) -> LogState:
    return LogState(progress(finite=finite), 10, end, seen, moved)


def flow(*logs: LogState, turned: float = NOW, settled: float | None = NOW) -> FlowState:
    return FlowState(0.0, turned, settled, logs={LogId("usage", str(3 + n)): found for n, found in enumerate(logs)})


def test_a_flow_that_moves_is_ready_and_alive() -> None:
    state = flow(log(moved=NOW - 31, seen=NOW - 31), log(moved=NOW, finite=True, seen=0))
    assert problems(state, LIMITS, NOW) == []
    assert alive(state, LIMITS, NOW)


def test_nothing_was_written_yet() -> None:
    (found,) = problems(flow(settled=None), LIMITS, NOW)
    assert (found.what, found.since) == ("starting", 0.0)


def test_a_store_that_is_away_is_named_alone() -> None:
    state = flow(log(moved=0), settled=NOW - 60)
    state.away_since, state.away_why = NOW - 40, "store x does not answer"
    assert problems(state, LIMITS, NOW) == [Problem("store", "the store is away: store x does not answer", NOW - 40)]
    state.away_since = NOW - 1  # not long, but nothing has been written for long
    assert [found.what for found in problems(state, LIMITS, NOW)] == ["store"]
    state.settled_at = NOW - 31
    assert problems(state, LIMITS, NOW) != [] == problems(replace(state, logs={}), LIMITS, NOW)


def test_a_write_that_does_not_come_back() -> None:
    state = flow(settled=NOW - 40)
    state.writing_since = NOW - 39
    (found,) = problems(state, LIMITS, NOW)
    assert (found.what, found.since) == ("store", NOW - 39)


def test_reading_that_does_not_come_back() -> None:
    (found,) = problems(flow(turned=NOW - 40, settled=NOW - 40), LIMITS, NOW)
    assert (found.what, found.since) == ("flow", NOW - 40)


def test_a_log_that_does_not_move_though_there_is_something_to_read() -> None:
    state = flow(log(moved=NOW - 32), log(moved=NOW - 32, end=10), log(moved=NOW - 32, end=None, seen=None))
    (found,) = problems(state, LIMITS, NOW)
    assert (found.what, found.log, found.offset, found.since) == ("log", LOG, 10, NOW - 32)
    assert "its end is at offset 20" in found.message
    assert problems(state, replace(LIMITS, bounded=True), NOW) == []


def test_a_broker_that_does_not_say_where_a_log_ends() -> None:
    (found,) = problems(flow(log(moved=NOW, seen=NOW - 32)), LIMITS, NOW)
    assert (found.what, found.log, found.since) == ("log", LOG, NOW - 32)
    assert "broker" in found.message


def test_a_flow_that_is_stopping_is_not_ready() -> None:
    assert [found.what for found in problems(flow(), LIMITS, NOW, stopping=True)] == ["stopping"]


@pytest.mark.parametrize(("still", "lives"), [(310.0, True), (311.0, False)])
def test_alive_as_long_as_the_loop_turns(still: float, lives: bool) -> None:
    limits = replace(LIMITS, flush_interval=1.05)
    state = flow(turned=NOW - still, settled=NOW - still)
    assert alive(state, limits, NOW) == lives
    state.writing_since = NOW - still  # the store's trouble: a restart would not help
    assert alive(state, limits, NOW)


def rater(**changes: Any) -> RaterState:
    return RaterState(started_at=0.0, turned_at=NOW, **{"passed_at": NOW - 500, **changes})


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (rater(), None),
        (rater(passed_at=None), ("starting", 0.0)),
        (rater(passed_at=None, failed_since=NOW - 5, failed_why="book.yaml:3: no"), ("pass", NOW - 5)),
        (rater(failed_since=NOW - 5, failed_why="book.yaml:3: no"), ("pass", NOW - 5)),
        (rater(away_since=NOW - 30), None),  # not long yet
        (rater(away_since=NOW - 32, away_why="no route"), ("store", NOW - 32)),
        (rater(failed_since=NOW - 50, away_since=NOW - 32), ("store", NOW - 32)),
    ],
)
def test_a_rater_is_ready_once_it_has_rated_and_while_its_passes_can(
    state: RaterState, found: tuple[str, float] | None
) -> None:
    told = rater_problems(state, LIMITS, NOW)
    assert [(one.what, one.since) for one in told] == ([] if found is None else [found])
    assert all(why in told[0].message for why in (state.failed_why, state.away_why) if why)
    assert rater_problems(state, LIMITS, NOW, stopping=True)[0].what == "stopping"


@pytest.mark.parametrize(
    ("still", "passing", "lives"),
    [(310.0, False, True), (311.0, False, False), (3_600.0, True, True), (3_601.0, True, False)],
)
def test_a_rater_is_alive_while_it_looks_at_the_time_or_gets_on_in_a_pass(
    still: float, passing: bool, lives: bool
) -> None:
    state = RaterState(0.0, NOW - still, passing_since=NOW - still if passing else None)
    assert rater_alive(state, Limits(31.0), NOW) == lives


def test_a_failed_pass_is_over_with_the_next_that_rates() -> None:
    watch = RaterWatch(clock=lambda: NOW, wall=lambda: 5_000_000)
    counts = PassCounts(1.0, 3, 9, 2_000_000, Counter(written=2), {"2026-11": Counter(no_price=1)})
    watch.ended("prices", PassCounts(), why="book.yaml:3: no")
    assert (watch.look().failed_since, watch.look().rated_at) == (NOW, None)
    watch.ended("stopped", replace(counts, failures={"2026-11": Counter(no_price=9)}))
    assert watch.look().failed_since == NOW
    assert watch.look().failures == {}, "a pass that was cut short does not know"
    watch.ended("incomplete", counts, months=["2026-10", "2026-11"])
    state = watch.look()
    assert (state.failed_since, state.failed_why, state.rated_at, state.complete_to) == (None, "", 5_000_000, 2_000_000)
    assert state.failures == {"2026-11": Counter(no_price=1)}
    assert state.passes == Counter(prices=1, stopped=1, incomplete=1)
    watch.ended("rated", PassCounts(), months=["2026-12"])
    assert watch.look().failures == {}, "of a month that is not rated any more"
