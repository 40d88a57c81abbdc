"""Remeters beside each other, beside a run that starts and one that writes late: all counts once, or is refused.

The other side comes in at the worst moment, from within the call that is raced.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataflows.decode import Decoder
from dataflows.meter import Meter
from dataflows.open_rows import OpenRows
from dataflows.plan import Listing, Plan, make_plan
from dataflows.resume import start_of
from schemas.errors import SettingsError, StoreUnavailable, UncleanStop
from schemas.metering import MeterSettings
from schemas.progress import Progress
from schemas.usage import Flush
from sinks.remeters import Part, decide, read_decisions, write_parts
from sinks.store import Store
from tally import replay
from tally.remeter import switching
from tally.remeter.ranges import generation_of
from tally.remeter.switching import switch, undo
from tests.queries.relogged import LOG, ListSource, metered
from tests.remeter.steps import AT, BY, differences, remeter, take_up
from tests.remeter.test_sequences import SHORT, WIDE, log, replayed, total

LONGEST = replace(WIDE, horizon_buckets=20)
REPEATS = log((0, "a", 1), (30, "a", 1), (60, "b", 2), (760, "b", 2))
"""Quantity 5 of 3 events under WIDE, 6 of 4 under SHORT, 3 of 2 under LONGEST."""
PLAIN = log((0, "a", 1), (1, "b", 1), (2, "c", 1), (3, "d", 1))

Meanwhile = Callable[[], object]


def first(monkeypatch: pytest.MonkeyPatch, name: str, meanwhile: Meanwhile) -> None:
    """Let something happen just before the first call of a function of the switching module."""
    real = getattr(switching, name)
    waiting = [meanwhile]

    def call(*arguments: Any, **named: Any) -> Any:
        if waiting:
            waiting.pop()()
        return real(*arguments, **named)

    monkeypatch.setattr(switching, name, call)


def late(source: ListSource, progress: Progress) -> list[Flush]:
    """Return what a run writes that had looked at the generations before a switch."""
    start = start_of(source.list_logs()[0], progress, WIDE, rows_past_progress=False).progress
    meter, decoder = Meter(WIDE, start, broker_clock=True), Decoder(WIDE)
    reader = source.open({LOG: start.mark.warm_offset})
    while not reader.exhausted:
        for batch in reader.poll():
            meter.add(decoder(batch))
    return [meter.flush()]


def write_late(store: Store, flushes: list[Flush]) -> None:
    store.write_usage(flushes)
    store.write_progress(flushes)


def announce(store: Store, plan: Plan, source: ListSource) -> None:
    """Start a run, as the flow does, and let it meter everything."""
    none = OpenRows(SHORT.catalogue.names).none()
    plan.check_nobody_else_writes(store)
    store.write([Flush(planned.progress, SHORT.format, none, ()) for planned in plan.logs])
    plan.check_nobody_else_writes(store)
    for planned in plan.logs:
        metered(store, source, SHORT, planned.progress, source.end)


def plan_of(store: Store, source: ListSource) -> Plan:
    return make_plan([Listing(source, source.list_logs(), AT)], SHORT, store)


def test_both_made_and_both_switched_in_every_order(store: Store) -> None:
    take_up(store, REPEATS, WIDE)
    one, two = remeter(store, REPEATS, SHORT), remeter(store, REPEATS, LONGEST)
    before, short, longest = (5, 3), (6, 4), (3, 2)
    steps = [
        (switch, one, SHORT, short),
        (switch, two, LONGEST, longest),
        (undo, two, LONGEST, short),
        (undo, one, SHORT, before),
        (switch, two, LONGEST, longest),
        (switch, one, SHORT, short),
        (undo, one, SHORT, longest),
        (undo, two, LONGEST, before),
    ]
    for number, (step, name, settings, seen) in enumerate(steps):
        step(store, name, settings, now=AT + number, by=BY)
        assert total(store) == seen, (number, step.__name__, name)
        assert differences(store) == []
        assert len(store.progress_of_all_generations(LOG.topic)) == 1


def test_one_that_was_undone_replaces_the_one_that_came_after_it(store: Store) -> None:
    take_up(store, REPEATS, WIDE)
    one = remeter(store, REPEATS, SHORT)
    switch(store, one, SHORT, now=AT, by=BY)
    undo(store, one, SHORT, now=AT, by=BY)
    two = remeter(store, REPEATS, LONGEST)
    switch(store, two, LONGEST, now=AT, by=BY)
    switch(store, one, SHORT, now=AT, by=BY)
    assert total(store) == (6, 4)
    assert differences(store) == []


def test_undo_brings_back_a_log_of_which_nothing_counts(store: Store) -> None:
    take_up(store, REPEATS, WIDE)
    one = remeter(store, REPEATS, SHORT)
    switch(store, one, SHORT, now=AT, by=BY)
    write_parts(store, [Part("00000001", LOG, generation_of(one), "replaced")], AT)
    decide(store, "00000001", "active", AT, BY)
    assert total(store) == (0, 0)
    undo(store, one, SHORT, now=AT, by=BY)
    assert total(store) == (5, 3)


def test_of_two_switches_at_once_one_is_taken_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    take_up(store, REPEATS, WIDE)
    one, two = remeter(store, REPEATS, SHORT), remeter(store, REPEATS, LONGEST)
    first(monkeypatch, "decide", lambda: switch(store, two, LONGEST, now=AT, by=BY))
    with pytest.raises(UncleanStop, match=f"remeter {one} was taken back"):
        switch(store, one, SHORT, now=AT, by=BY)
    assert total(store) == (3, 2)
    assert differences(store) == []
    assert [read_decisions(store, name)[-1].decision for name in (one, two)] == ["undone", "active"]
    undo(store, two, LONGEST, now=AT, by=BY)
    assert total(store) == (5, 3)


@pytest.fixture
def switched(store: Store) -> str:
    """A remeter in force over the first half of a log, and a run of before that has written all of it beside that."""
    take_up(store, PLAIN, WIDE, 2)
    flushes = late(PLAIN, store.progress(LOG.topic)[LOG])
    name = remeter(store, PLAIN, SHORT)
    switch(store, name, SHORT, now=AT, by=BY)
    write_late(store, flushes)
    assert total(store) == (2, 2)
    return name


def test_a_run_that_was_planned_before_an_undo_does_not_start(store: Store, switched: str) -> None:
    plan = plan_of(store, PLAIN)
    undo(store, switched, SHORT, now=AT, by=BY)
    with pytest.raises(UncleanStop, match="generation 1 has taken the place"):
        announce(store, plan, PLAIN)
    assert total(store) == (4, 4)
    assert differences(store) == []


@pytest.mark.parametrize("moment", ["note_replays", "decide"])
def test_a_run_that_starts_during_an_undo_stands_in_its_way(
    store: Store, switched: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While it looks at replays, which may be long, and between its last look and its row."""
    first(monkeypatch, moment, lambda: announce(store, plan_of(store, PLAIN), PLAIN))
    with pytest.raises(UncleanStop, match="would count twice"):
        undo(store, switched, SHORT, now=AT, by=BY)
    assert total(store) == (4, 4)
    assert differences(store) == []


def test_undo_looks_at_progress_where_all_that_a_late_run_read_was_repeats(store: Store) -> None:
    source = log((0, "a", 1), (0, "b", 1), (0, "a", 1), (0, "b", 1))
    take_up(store, source, WIDE, 2)
    flushes = late(source, store.progress(LOG.topic)[LOG])
    assert len(flushes[0].rows) == 0
    name = remeter(store, source, LONGEST)
    switch(store, name, LONGEST, now=AT, by=BY)
    write_late(store, flushes)
    take_up(store, source, LONGEST)
    assert differences(store) == []
    with pytest.raises(UncleanStop, match="generation 1 has gone on at or past offset 2"):
        undo(store, name, LONGEST, now=AT, by=BY)
    assert differences(store) == []


def cut_off(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: Callable[..., object], name: str, rules: MeterSettings
) -> None:
    """Switch or undo; letters are replayed under `rules` just before the row, and the store is away just after it."""

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the store is away")

    def last(*arguments: Any, **named: Any) -> Any:
        assert "counted" in replayed(store, rules)
        found = decide(*arguments, **named)
        patched.setattr(switching, "note_replays", away)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(switching, "decide", last)
        with pytest.raises(StoreUnavailable, match=f"remeter {name} is .*, but .*the store is away"):
            step(store, name, SHORT, now=AT, by=BY)


CONFLICTS = log((0, "a", 1), (2, "a", 5), (2, "b", 1), (2, "b", 7), (300, "c", 1))
"""Two conflicts under WIDE, one of them an event under SHORT."""


@pytest.mark.parametrize("undone", [False, True], ids=["switch", "undo"])
def test_letters_that_were_read_before_a_switch_and_written_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, undone: bool
) -> None:
    take_up(store, CONFLICTS, WIDE)
    name = remeter(store, CONFLICTS, SHORT)
    if undone:
        switch(store, name, SHORT, now=AT, by=BY)
    write, waiting = replay._Run._write, [undo if undone else switch]

    def write_after_it(*arguments: Any) -> None:
        if waiting:
            waiting.pop()(store, name, SHORT, now=AT, by=BY)
        write(*arguments)

    monkeypatch.setattr(replay._Run, "_write", write_after_it)
    assert "counted" in replayed(store, WIDE)
    assert total(store) == ((10, 4) if undone else (15, 5))
    assert differences(store) == []


def test_a_switch_that_was_cut_off_after_its_row_is_completed_by_the_same_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_up(store, CONFLICTS, WIDE)
    name = remeter(store, CONFLICTS, SHORT)
    cut_off(store, monkeypatch, switch, name, WIDE)
    assert total(store) == (8, 4), "what was replayed at that moment has not come along"
    with pytest.raises(SettingsError, match="in force already: its replayed letters were looked at once more"):
        switch(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (15, 5)
    assert differences(store) == []


def test_an_undo_that_was_cut_off_after_its_row_is_completed_by_the_same_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_up(store, CONFLICTS, WIDE)
    name = remeter(store, CONFLICTS, SHORT)
    switch(store, name, SHORT, now=AT, by=BY)
    cut_off(store, monkeypatch, undo, name, SHORT)
    assert total(store) == (3, 3), "what was replayed at that moment has not come along"
    with pytest.raises(SettingsError, match="is undone already: its replayed letters were looked at once more"):
        undo(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (10, 4)
    assert differences(store) == []
