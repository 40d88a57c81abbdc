"""The rule for sights of a log's end, against a log with transactions that knows what is complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.sources.base import LogEnd
from dataflows.sources.kafka_ends import Sights


class TransactionalLog:
    """A partition: every offset is open (undecided) or decided; None stands for no transaction."""

    def __init__(self) -> None:
        self.writers: list[str | None] = []
        self.open: set[str] = set()

    def append(self, writer: str | None) -> None:
        self.writers.append(writer)
        if writer is not None:
            self.open.add(writer)

    def decide(self, writer: str) -> None:
        if writer in self.open:
            self.open.remove(writer)
            decided = [None if each == writer else each for each in self.writers]
            self.writers = [*decided, None]  # the control record

    def high(self) -> int:
        return len(self.writers)

    def stable(self) -> int:
        return next((offset for offset, writer in enumerate(self.writers) if writer in self.open), len(self.writers))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from([None, "a", "b"])),
        st.tuples(st.just("decide"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("high"), st.none()),
        st.tuples(st.just("stable"), st.none()),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_sight_promises_only_what_is_decided(steps: list[tuple[str, str | None]]) -> None:
    log, sights = TransactionalLog(), Sights()
    present: dict[int, int] = {}  # how many records were in the log at each instant
    before: LogEnd | None = None
    for now, (step, writer) in enumerate(steps):
        present[now] = log.high()
        if step == "append":
            log.append(writer)
        elif step == "decide":
            assert writer is not None
            log.decide(writer)
        elif step == "high":
            sights.high(0, log.high(), now)
        else:
            sights.stable(0, log.stable())
        sight = sights.ends.get(0)
        if sight is not None and sight != before:
            assert present[sight.seen_at] <= sight.offset <= log.stable()
            assert before is None or (sight.seen_at > before.seen_at and sight.offset >= before.offset)
            before = sight


@given(STEPS)
def test_an_end_is_seen_as_soon_as_nothing_is_open(steps: list[tuple[str, str | None]]) -> None:
    log, sights = TransactionalLog(), Sights()
    for now, (step, writer) in enumerate(steps):
        if step == "append":
            log.append(writer)
        elif step == "high":
            sights.high(0, log.high(), now)
    for writer in ("a", "b"):
        log.decide(writer)
    for now in (1000, 1001):
        sights.high(0, log.high(), now)
        sights.stable(0, log.stable())
    assert sights.ends[0] == (log.high(), 1001)


@pytest.mark.parametrize("stable", [0, 4])
def test_an_open_transaction_keeps_the_last_sight(stable: int) -> None:
    sights = Sights()
    sights.high(0, 3, 10)
    sights.stable(0, 3)
    sights.high(0, 5, 20)
    sights.stable(0, stable)
    sights.high(0, 9, 30)
    assert sights.ends == {0: (3, 10)}
    sights.stable(0, 7)
    assert sights.ends == {0: (5, 20)}
