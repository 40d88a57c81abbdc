"""How long a run that was asked to stop waits for its store."""

import threading
from collections.abc import Sequence

import pytest

from dataflows.reading import Control
from schemas.errors import StoreUnavailable, TallyError
from schemas.usage import Flush
from sinks.retry import Retrying
from tally.draining import GRACE, HUNG, Draining


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def away() -> None:
    raise StoreUnavailable("store x does not answer")


def test_a_wait_ends_ten_seconds_after_the_stop() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    asked = []

    def on_wait(message: str) -> None:
        asked.append(message)
        if clock.now > 150 and not control.stop_requested:
            control.request_stop()
            asked.append(clock.now)

    retrying = Retrying(patience=None, on_wait=on_wait, should_stop=draining.over, sleep=clock.sleep, clock=clock)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        retrying.run(away, what="writing")
    (stopped,) = [found for found in asked if isinstance(found, float)]
    assert GRACE == 10
    assert stopped + GRACE <= clock.now <= stopped + GRACE + 0.2


def test_a_store_that_comes_back_in_time_is_written_to() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    control.request_stop()
    left = [1, 1, 1]

    def back_soon() -> str:
        if left:
            left.pop()
            away()
        return "written"

    retrying = Retrying(patience=None, should_stop=draining.over, sleep=clock.sleep, clock=clock)
    assert retrying.run(back_soon, what="writing") == "written"
    assert clock.now < 100 + GRACE


def test_a_failure_ends_a_wait_at_once() -> None:
    control = Control()
    draining = Draining(control, clock=Clock())
    assert not draining.over()
    control.fail(TallyError("elsewhere"))
    assert draining.over()


def test_a_stop_that_came_before_counts_from_the_beginning() -> None:
    clock, control = Clock(), Control()
    control.request_stop()
    draining = Draining(control, clock=clock)
    assert not draining.over()
    clock.now += GRACE
    assert draining.over()


def test_only_a_call_that_stays_out_long_after_the_stop_counts_as_hung() -> None:
    clock, control = Clock(), Control()
    draining = Draining(control, clock=clock)
    seen = []

    def write(_: Sequence[Flush]) -> None:
        clock.now += 60
        control.request_stop()
        seen.append(draining.hung())
        clock.now += GRACE + HUNG - 0.1
        seen.append(draining.hung())
        clock.now += 0.2
        seen.append(draining.hung())

    draining.writing(write)(())
    assert seen == [False, False, True]
    assert not draining.hung()


def test_a_hung_call_is_given_up_with_a_message() -> None:
    control, left, gone = Control(), list[TallyError](), threading.Event()

    def leave(error: TallyError) -> None:
        left.append(error)
        gone.set()

    draining = Draining(control, watch_calls=True, grace=-HUNG, leave=leave)
    draining.writing(lambda _: (control.request_stop(), gone.wait(60))[0])(())
    assert gone.is_set()
    assert isinstance(left[0], StoreUnavailable)
