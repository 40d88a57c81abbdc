"""A remeter against the oracle: its rows are what the log comes to under the new rules, and nothing else changes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import GenerationReplaced
from schemas.metering import MeterSettings
from schemas.progress import FIRST_CANDIDATE
from sinks.store import Store
from tally.remeter.ranges import Asked, generation_of
from tally.remeter.switching import standing_of, switch, undo
from tests import oracle
from tests.flow.truth import stored
from tests.metering.logs import logs, rules
from tests.metering.simulation import settings_of
from tests.oracle import Record, Rules
from tests.queries.relogged import LOG, ListSource, metered, stated
from tests.remeter.conftest import clear
from tests.remeter.steps import (
    AT,
    BY,
    Usage,
    differences,
    letters,
    plus,
    remeter,
    take_up,
    usage,
    usage_of,
    usage_of_range,
)

FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PLAIN = rules.map(lambda found: replace(found, kept=()))
"""Rules that keep no events: a list of records has no attributes to keep."""
VIEWS = ("usage", "usage_hourly", "usage_daily", "completeness", "complete_to", "kept_events_current")


def settings_for(found: Rules, **changes: Any) -> MeterSettings:
    return replace(settings_of(found, group_by=("region",)), **changes)


def everything(store: Store) -> list[list[tuple[Any, ...]]]:
    """Return all that readers see of what counts."""
    tables = (*VIEWS, "active_windows", "active_progress", "active_letters")
    return [sorted(store.query(f"SELECT * FROM {table}"), key=repr) for table in tables]


def count_from_to(records: list[Record], cuts: list[int], end: int) -> list[int]:
    """Return offsets at which generations end, ascending, within a log."""
    offsets = [record.offset for record in records]
    return sorted({offsets[cut % len(offsets)] for cut in cuts if offsets} | {end})


@FEW
@given(logs(), st.lists(PLAIN, min_size=1, max_size=3), PLAIN, st.lists(st.integers(0, 29), max_size=2))
def test_a_whole_log_is_what_the_new_rules_make_of_it(
    store: Store, records: list[Record], before: list[Rules], after: Rules, cuts: list[int]
) -> None:
    """Some generations under old rules, all of them replaced; then undone, and switched to once more."""
    clear(store)
    records = stated(records)
    if not records:
        return
    source, new = ListSource(records), settings_for(after)
    for number, end in enumerate(count_from_to(records, cuts, source.end)):
        take_up(store, source, settings_for(before[number % len(before)]), end)
    was = everything(store)
    name = remeter(store, source, new)
    assert everything(store) == was, "a remeter that is not in force changes nothing"

    out = oracle.meter(records, after)
    candidate = stored(store, LOG, generation_of(name))
    assert candidate.rows == out.rows
    assert not standing_of(store, name).hindrances
    switch(store, name, new, now=AT, by=BY)
    assert usage(store) == usage_of(out.rows)
    assert letters(store) == {
        at: verdict.partition(":")[2] for at, verdict in out.verdicts.items() if verdict.startswith("rejected:")
    }
    counts = store.progress(LOG.topic)[LOG].counts
    assert (counts.events, counts.accepted, counts.late, counts.duplicates, counts.quantity) == tuple(
        out.counts[key] for key in ("events", "accepted", "late", "duplicates", "quantity")
    )
    assert (counts.rejected, counts.not_billable) == (out.rejected, out.not_billable)
    assert differences(store) == []
    is_now = everything(store)

    undo(store, name, new, now=AT, by=BY)
    assert everything(store) == was
    assert differences(store) == []
    switch(store, name, new, now=AT, by=BY)
    assert everything(store) == is_now


@FEW
@given(logs(), PLAIN, PLAIN, st.integers(0, 29), st.booleans())
def test_a_run_that_goes_on_after_the_switch_counts_the_rest_once(
    store: Store, records: list[Record], before: Rules, after: Rules, cut: int, undone: bool
) -> None:
    clear(store)
    records = stated(records)
    if not records:
        return
    old, new = settings_for(before), settings_for(after)
    at = records[cut % len(records)].offset
    known = [record for record in records if record.offset < at]
    if not known:
        return
    take_up(store, ListSource(known), old)
    reached = store.progress(LOG.topic)[LOG]
    name = remeter(store, ListSource(known), new)
    switch(store, name, new, now=AT, by=BY)

    source = ListSource(records)
    with pytest.raises(GenerationReplaced, match="remeter has replaced"):
        metered(store, source, old, reached, source.end)  # the run of before the switch goes on
    progress = take_up(store, source, new)
    if known[-1].offset + 1 < source.end:
        assert (progress.generation, progress.start_offset) == (reached.generation + 1, reached.next_offset)
    else:
        assert progress.generation in {reached.generation + 1, generation_of(name)}
    out = oracle.meter(records, after)
    assert usage(store) == usage_of(out.rows)
    assert differences(store) == []
    if undone:
        undo(store, name, new, now=AT, by=BY)
        first = usage_of_range(known, before, 0)[0]
        assert usage(store) == plus(first, usage_of_range(records, after, reached.next_offset)[0])
        assert differences(store) == []


@FEW
@given(logs(), PLAIN, st.sampled_from([60, 300]), st.booleans(), st.integers(0, 29), st.integers(0, 29), st.data())
def test_a_part_of_a_log_is_replaced_by_whole_generations(
    store: Store, records: list[Record], old: Rules, window: int, project: bool, one: int, two: int, data: st.DataObject
) -> None:
    """Three generations under rules that admit the same events; one or two of them are metered again."""
    clear(store)
    records = stated(records)
    if not records:
        return
    source = ListSource(records)
    lateness = [old, replace(old, allowed_lateness=old.allowed_lateness + 7_000_000), old]
    ends = count_from_to(records, [one, two], source.end)
    for number, end in enumerate(ends):
        take_up(store, source, settings_for(lateness[number]), end)
    generations = sorted(store.progress_of_all_generations(LOG.topic), key=lambda found: found.generation)
    new = replace(old, window=window * 1_000_000, group_by_project=project, allowed_lateness=old.allowed_lateness + 1)
    chosen = data.draw(st.integers(0, len(generations) - 1))
    meant = generations[chosen]
    if meant.start_offset == meant.next_offset:
        return
    by_offset = data.draw(st.booleans())
    asked = Asked(meant.next_offset - 1, meant.next_offset) if by_offset else Asked(generation=meant.generation)
    was = everything(store)
    name = remeter(store, source, settings_for(new), asked)
    assert everything(store) == was
    switch(store, name, settings_for(new), now=AT, by=BY)
    expected: list[Usage] = []
    rejected: dict[tuple[int, int], str] = {}
    for number, found in enumerate(generations):
        under = new if number == chosen else lateness[number]
        part, reasons = usage_of_range(records, under, found.start_offset, found.next_offset)
        expected.append(part)
        rejected |= reasons
    assert usage(store) == plus(*expected)
    assert letters(store) == rejected
    assert differences(store) == []
    current = store.progress(LOG.topic)[LOG]
    assert (current.generation >= FIRST_CANDIDATE) == (chosen == len(generations) - 1)
    assert current.next_offset == source.end
