"""Remeters after remeters, dead letters that were replayed, and a log that retention has shortened."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.catalogue import Catalogue, Category, Keep, load_catalogue
from schemas.errors import MeteringError, SettingsError, SourceError, UncleanStop
from schemas.metering import MeterSettings
from schemas.usage import Flush
from sinks.store import Store
from tally.deadletters import Selection
from tally.remeter.ranges import Asked, generation_of
from tally.remeter.switching import drop, standing_of, switch, undo
from tally.replay import Terms, replay
from tests.oracle import Event, Record
from tests.queries.relogged import LOG, ListSource
from tests.remeter.steps import AT, BY, differences, remeter, take_up, usage

SECOND = 1_000_000
NOON = 1_763_812_800 * SECOND
MINUTE = 60 * SECOND
WIDE = MeterSettings(load_catalogue())
"""Ten minutes of dedupe horizon: what repeats within them is a repeat."""
SHORT = replace(WIDE, bucket=SECOND, horizon_buckets=1)
"""A second of it: what repeats later counts again."""


def log(*events: tuple[int, str, int]) -> ListSource:
    """Return a log of one event a record: seconds after noon, event id, quantity."""
    return ListSource(
        [
            Record(offset, NOON + at * SECOND, (Event(1, name, quantity=quantity, timestamp=NOON + at * SECOND),))
            for offset, (at, name, quantity) in enumerate(events)
        ],
        size=1,
    )


def total(store: Store) -> tuple[int, int]:
    found = usage(store).values()
    return sum(quantity for quantity, _ in found), sum(events for _, events in found)


def replayed(store: Store, settings: MeterSettings) -> list[str]:
    return [one.outcome for one in replay(store, Selection(), Terms(settings, AT, BY, accept=True))]


def test_a_later_remeter_replaces_an_earlier_one_and_they_are_undone_in_turn(store: Store) -> None:
    source = log((0, "a", 1), (30, "a", 1), (60, "b", 2), (760, "b", 2))
    take_up(store, source, WIDE)
    assert total(store) == (3 + 2, 3)
    first = remeter(store, source, SHORT)
    switch(store, first, SHORT, now=AT, by=BY)
    assert total(store) == (6, 4)
    longest = replace(WIDE, horizon_buckets=20)
    second = remeter(store, source, longest)
    assert total(store) == (6, 4)
    switch(store, second, longest, now=AT, by=BY)
    assert total(store) == (3, 2)
    assert differences(store) == []
    with pytest.raises(SettingsError, match=f"remeter {second}, in force, has replaced this one since"):
        undo(store, first, SHORT, now=AT, by=BY)
    undo(store, second, longest, now=AT, by=BY)
    assert total(store) == (6, 4)
    undo(store, first, SHORT, now=AT, by=BY)
    assert total(store) == (5, 3)
    # The second was made when the first was in force; it replaces now what counts now.
    switch(store, second, longest, now=AT, by=BY)
    assert total(store) == (3, 2)
    assert differences(store) == []


def test_one_that_would_take_a_part_of_another_is_refused(store: Store) -> None:
    source = log((0, "a", 1), (30, "b", 1), (60, "c", 2), (90, "d", 2))
    for number, settings in enumerate((WIDE, SHORT, WIDE)):
        take_up(store, source, settings, number + 2 if number else 1)
    assert [one.generation for one in store.progress_of_all_generations(LOG.topic)] == [3, 2, 1]
    other = replace(WIDE, window=5 * MINUTE)
    early = remeter(store, source, other, Asked(end=2))
    late = remeter(store, source, other, Asked(start=2))
    assert [one.places for one in standing_of(store, early).candidates] == [(1, 2)]
    assert [one.places for one in standing_of(store, late).candidates] == [(2, 3)]
    switch(store, early, other, now=AT, by=BY)
    with pytest.raises(MeteringError, match=f"remeter {early}, in force, stands for generations"):
        switch(store, late, other, now=AT, by=BY)
    undo(store, early, other, now=AT, by=BY)
    switch(store, late, other, now=AT, by=BY)
    assert total(store) == (6, 4)
    assert differences(store) == []


def test_a_replayed_letter_counts_once_whichever_side_counts_its_event(store: Store) -> None:
    """Of two conflicts that were replayed, one is an event of the log itself under the new rules."""
    source = log((0, "a", 1), (2, "a", 5), (2, "b", 1), (2, "b", 7), (300, "c", 1))
    take_up(store, source, WIDE)
    assert replayed(store, WIDE) == ["counted", "counted"]
    assert total(store) == (1 + 5 + 1 + 7 + 1, 5)
    assert differences(store) == []
    name = remeter(store, source, SHORT)
    assert total(store) == (15, 5)
    assert differences(store) == []
    switch(store, name, SHORT, now=AT, by=BY)
    rows = store.query("SELECT partition, generation FROM active_windows WHERE topic = 'replay:events'")
    assert rows == [("0/3/0", generation_of(name))]
    assert total(store) == (15, 5)
    assert differences(store) == []
    assert replayed(store, SHORT) == ["already_replayed"]
    assert total(store) == (15, 5)
    undo(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (15, 5)
    assert differences(store) == []


def test_a_letter_that_is_replayed_after_the_switch_goes_with_it(store: Store) -> None:
    source = log((0, "a", 1), (0, "a", 5), (300, "c", 1))
    take_up(store, source, WIDE)
    name = remeter(store, source, SHORT)
    switch(store, name, SHORT, now=AT, by=BY)
    assert replayed(store, SHORT) == ["counted"]
    assert total(store) == (7, 3)
    assert differences(store) == []
    undo(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (7, 3), "the letter is one under the old rules too, and was replayed"
    assert differences(store) == []


def test_a_replay_that_was_under_way_at_the_switch_is_completed_by_the_next(store: Store) -> None:
    source = log((0, "a", 1), (0, "a", 5), (300, "c", 1))
    take_up(store, source, WIDE)
    name = remeter(store, source, SHORT)
    letter = store.query("SELECT generation FROM active_letters")
    switch(store, name, SHORT, now=AT, by=BY)
    # Its record was written when nobody looked any more, with the generation that it had read.
    assert replayed(store, SHORT) == ["counted"]
    detail = json.loads(store.query("SELECT detail FROM replays FINAL")[0][0])
    row: dict[str, Any] = {**detail, "generation": letter[0][0]}
    text = json.dumps(row).replace("'", "\\'")
    store.command(f"INSERT INTO replays SELECT * REPLACE ('{text}' AS detail) FROM replays FINAL")
    store.command("SYSTEM START MERGES usage_windows")
    store.command("ALTER TABLE usage_windows DELETE WHERE startsWith(topic, 'replay:') SETTINGS mutations_sync = 2")
    assert total(store) == (2, 2)
    assert replayed(store, SHORT) == ["already_replayed"]
    assert total(store) == (7, 3)


def test_what_retention_took_cannot_be_metered_again(store: Store) -> None:
    source = log((0, "a", 1), (30, "b", 1), (60, "c", 2), (90, "d", 2))
    take_up(store, source, WIDE, 2)
    take_up(store, source, SHORT)
    shorter = replace(source, start=1)
    with pytest.raises(SourceError, match="choose --from-offset 1 or later"):
        remeter(store, shorter, replace(WIDE, window=5 * MINUTE))
    part = remeter(store, shorter, replace(WIDE, window=5 * MINUTE), Asked(generation=2))
    switch(store, part, WIDE, now=AT, by=BY)
    assert total(store) == (6, 4)
    assert differences(store) == []


def test_a_run_that_has_gone_on_is_caught_up_with_before_the_switch(store: Store) -> None:
    source = log((0, "a", 1), (30, "a", 1), (60, "c", 2), (90, "c", 2))
    take_up(store, source, WIDE, 2)
    name = remeter(store, source, SHORT)
    take_up(store, source, WIDE)
    with pytest.raises(MeteringError, match="is at 4 by now"):
        switch(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (3, 2)
    assert remeter(store, source, SHORT) == name
    switch(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (6, 4)
    assert differences(store) == []


def test_rows_past_progress_stand_in_the_way(store: Store) -> None:
    source = log((0, "a", 1), (30, "b", 1), (60, "c", 2))
    take_up(store, source, WIDE, 2)
    at = store.progress(LOG.topic)[LOG]
    name = remeter(store, source, SHORT)
    unclean(store, source)
    with pytest.raises(UncleanStop, match="lie past its progress at offset 2"):
        switch(store, name, SHORT, now=AT, by=BY)
    assert store.progress(LOG.topic)[LOG] == at


def test_undo_is_refused_where_it_would_count_twice(store: Store) -> None:
    source = log((0, "a", 1), (30, "b", 1), (60, "c", 2))
    take_up(store, source, WIDE, 2)
    name = remeter(store, source, SHORT)
    switch(store, name, SHORT, now=AT, by=BY)
    unclean(store, source)  # the run of before had looked just before the switch, and wrote just after it
    take_up(store, source, SHORT)
    assert total(store) == (4, 3)
    with pytest.raises(UncleanStop, match="would count twice"):
        undo(store, name, SHORT, now=AT, by=BY)
    assert total(store) == (4, 3)
    assert differences(store) == []


def unclean(store: Store, source: ListSource) -> None:
    """Write the usage row of the record at offset 2 as generation 1, and no progress."""
    from dataflows.decode import Decoder
    from dataflows.meter import Meter

    progress = next(one for one in _first_generation(store))
    meter, decoder = Meter(WIDE, progress, broker_clock=True), Decoder(WIDE)
    reader = source.open({LOG: progress.mark.warm_offset})
    while not reader.exhausted:
        for batch in reader.poll():
            meter.add(decoder(batch))
    flush: Flush = meter.flush()
    store.write_usage([flush])


def _first_generation(store: Store) -> list[Any]:
    from sinks.remeters import progress_of_every_generation

    return [one for one in progress_of_every_generation(store, LOG.topic) if one.generation == 1]


def test_what_was_dropped_stays_hidden(store: Store) -> None:
    source = log((0, "a", 1), (30, "a", 1))
    take_up(store, source, WIDE)
    name = remeter(store, source, SHORT)
    drop(store, name, now=AT, by=BY)
    assert total(store) == (1, 1)
    with pytest.raises(MeteringError, match="it was dropped"):
        switch(store, name, SHORT, now=AT, by=BY)
    again = remeter(store, source, SHORT)
    assert again != name
    switch(store, again, SHORT, now=AT, by=BY)
    assert total(store) == (2, 2)
    assert differences(store) == []


def test_kept_events_go_with_their_generation(store: Store) -> None:
    keeping = Catalogue((Category(id=1, name="error", keep=Keep(value="user")), Category(id=2, name="span")))
    old, new = replace(WIDE, catalogue=keeping), replace(SHORT, catalogue=keeping)
    alice = '{"user":"alice"}'
    events = [(0, "a"), (30, "a"), (60, "b")]
    source = ListSource(
        [
            Record(offset, NOON + at * SECOND, (Event(1, name, timestamp=NOON + at * SECOND, dimensions=alice),))
            for offset, (at, name) in enumerate(events)
        ]
    )

    def kept() -> list[tuple[int, str]]:
        return [tuple(row) for row in store.query("SELECT offset, value FROM kept_events_current ORDER BY offset")]

    take_up(store, source, old)
    assert kept() == [(0, '"alice"'), (2, '"alice"')]
    name = remeter(store, source, new)
    assert kept() == [(0, '"alice"'), (2, '"alice"')]
    assert differences(store) == []
    switch(store, name, new, now=AT, by=BY)
    assert kept() == [(0, '"alice"'), (1, '"alice"'), (2, '"alice"')]
    assert total(store) == (3, 3)
    assert differences(store) == []
    undo(store, name, new, now=AT, by=BY)
    assert kept() == [(0, '"alice"'), (2, '"alice"')]
    assert differences(store) == []
