"""What became of a record: the same as the oracle says, from wherever the log is read again."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.decode import Decoder
from dataflows.resume import start_of
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import Store
from tally.explain import Explanation, explain
from tally.fate_views import as_text
from tally.positions import Position
from tally.rereading import LogAgain
from tests import oracle
from tests.metering.logs import EPOCH, SECOND, logs, rules
from tests.metering.simulation import settings_of
from tests.oracle import Event, Record, Rules
from tests.queries.conftest import clear
from tests.queries.relogged import LOG, ListSource, metered, stated, with_tail

Repeats = dict[tuple[int, int], tuple[int, int]]


def settings_for(found: Rules, **changes: Any) -> MeterSettings:
    return replace(settings_of(found, group_by=("region",)), **changes)


def take_up(store: Store, source: ListSource, settings: MeterSettings, until: int | None = None) -> Progress:
    """Meter on from where the store stands, as a run would, up to an offset or the end."""
    listed = source.list_logs()[0]
    start = start_of(listed, store.progress("events").get(LOG), settings, rows_past_progress=False)
    progress = start.progress
    return metered(store, source, settings, progress, source.end if until is None else until)


def told(
    store: Store, source: ListSource, settings: MeterSettings, offset: int, index: int | None = None
) -> Explanation:
    again = LogAgain(LOG, source, source.list_logs()[0])
    return explain(store, settings, Position(LOG, offset, index), again, Decoder)


def repeats_of(records: list[Record], verdicts: dict[tuple[int, int], str]) -> Repeats:
    """Return, for every event, the latest earlier occurrence of its id among those that the index has seen."""
    latest: dict[Any, tuple[int, int]] = {}
    found: Repeats = {}
    for record in records:
        for index, event in enumerate(record.events):
            verdict = verdicts[record.offset, index]
            if verdict.startswith("rejected:") and verdict != "rejected:conflicting_duplicate":
                continue
            key = (event.org, event.event_id)
            if key in latest:
                found[record.offset, index] = latest[key]
            latest[key] = (record.offset, index)
    return found


def check_all(store: Store, source: ListSource, records: list[Record], found: Rules, settings: MeterSettings) -> None:
    truth = oracle.meter(records, found)
    repeats = repeats_of(records, truth.verdicts)
    for record in records:
        answer = told(store, source, settings, record.offset)
        assert answer.exact
        assert [fate.verdict for fate in answer.fates] == [
            truth.verdicts[record.offset, index] for index in range(len(record.events))
        ]
        for fate in answer.fates:
            assert fate.agrees is not False, fate
            if fate.verdict in {"duplicate", "rejected:conflicting_duplicate"}:
                assert fate.repeats is not None
                assert (fate.repeats.offset, fate.repeats.index) == repeats[record.offset, fate.index]
                at = fate.counted_at
                assert at is None or truth.verdicts[at.offset, at.index or 0] in {"accepted", "late"}
            if fate.row is not None and fate.watermark is not None:
                assert (fate.row.segment > 0) == (fate.row.window_start + found.window <= fate.watermark)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=logs(most=14), found=rules, size=st.integers(1, 5))
def test_every_verdict_is_the_oracles(store: Store, records: list[Record], found: Rules, size: int) -> None:
    clear(store)
    records = with_tail(stated(records))
    source = ListSource(records, size)
    take_up(store, source, settings_for(found))
    check_all(store, replace(source, size=3), records, found, settings_for(found))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=logs(most=14), found=rules, cut=st.floats(0, 1))
def test_generations_are_told_each_by_its_own_settings(
    store: Store, records: list[Record], found: Rules, cut: float
) -> None:
    """A second generation goes on with the first one's index; what distinguishes them here changes no verdict."""
    clear(store)
    records = with_tail(stated(records))
    source = ListSource(records, 1)
    first = settings_for(found, group_by_project=False)
    second = settings_for(found, group_by_project=True)
    until = records[int(cut * (len(records) - 1))].offset
    stopped = take_up(store, source, first, until).next_offset
    take_up(store, source, second)
    truth = oracle.meter(records, found)
    for record in records:
        mine, other = (first, second) if record.offset < stopped else (second, first)
        answer = told(store, source, mine, record.offset)
        assert answer.exact
        assert [fate.verdict for fate in answer.fates] == [
            truth.verdicts[record.offset, index] for index in range(len(record.events))
        ]
        assert all(fate.agrees is not False for fate in answer.fates)
        with pytest.raises(SettingsError, match="metered under other settings"):
            told(store, source, other, record.offset)


RULES = Rules(horizon_buckets=2)
SETTINGS = settings_for(RULES)


def one(offset: int, event_id: str = "a", minute: int = 0, age: int = 0, **changes: Any) -> Record:
    """A record that comes some minutes after EPOCH, with one event, which is some minutes old by then."""
    now = EPOCH + minute * 60 * SECOND
    return Record(offset, now, (Event(1, event_id, timestamp=now - age * 60 * SECOND, **changes),))


def test_a_generation_knows_what_came_before_it(store: Store) -> None:
    """The mark has long moved on, so the second generation is told from its start, with the first one's last mark."""
    records = [one(0), one(1, minute=1, age=1), one(2, "b", minute=2), *(one(n, f"x{n}", 20 * n) for n in range(3, 7))]
    source = ListSource(records, size=1)
    take_up(store, source, SETTINGS, until=1)
    by_project = replace(SETTINGS, group_by_project=True)
    assert take_up(store, source, by_project).mark.warm_offset > 2
    answer = told(store, source, by_project, 1)
    fate = answer.fates[0]
    assert (answer.generation, answer.exact, fate.verdict) == (2, True, "duplicate")
    assert (str(fate.repeats), fate.counted_at) == ("events/0/0/0", None)
    assert fate.watermark == EPOCH - RULES.allowed_lateness


# ---- what cannot be told, or not for certain ----


def test_the_settings_format_is_found_by_the_fingerprint(store: Store) -> None:
    source = ListSource([one(0)])
    take_up(store, source, SETTINGS)
    assert told(store, source, replace(SETTINGS, format="cloudevents"), 0).settings.format == "tally"


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (3, "metering of this log began later, at offset 5"),
        (6, "no record has this offset .*; the next one is at 8"),
        (99, "past the log's end at 31"),
    ],
)
def test_positions_without_a_record(store: Store, offset: int, message: str) -> None:
    source = ListSource([one(5), one(8, "b"), one(9, "c"), one(30, "d")], size=1, start=5)
    take_up(store, source, SETTINGS, until=9)
    with pytest.raises(SettingsError, match=message):
        told(store, source, SETTINGS, offset)
    with pytest.raises(SettingsError, match="holds 1 events"):
        told(store, source, SETTINGS, 5, 1)


def test_a_record_that_no_run_has_come_to_is_told_as_one_would_take_it(store: Store) -> None:
    """Such as a flood of rejections stops a run at: whoever is called for it wants to see one."""
    source = ListSource([one(0), one(1, "b"), one(2, age=2, minute=2), one(3, "c", category="nothing")], size=1)
    take_up(store, source, SETTINGS, until=2)
    before = [told(store, source, SETTINGS, offset) for offset in (2, 3)]
    assert [(answer.metered, answer.exact) for answer in before] == [(False, True)] * 2
    assert [answer.fates[0].verdict for answer in before] == ["duplicate", "rejected:unknown_category"]
    assert before[1].fates[0].agrees is None
    assert "not metered yet" in as_text(before[1])
    assert "DIFFERS" not in as_text(before[1])
    take_up(store, source, SETTINGS)
    after = [told(store, source, SETTINGS, offset) for offset in (2, 3)]
    assert [answer.metered for answer in after] == [True, True]
    assert [answer.fates[0].verdict for answer in after] == [answer.fates[0].verdict for answer in before]


def test_what_retention_deleted_is_said(store: Store) -> None:
    """The original is gone from the log, and the mark has moved on: the repeat looks new, and that is said."""
    records = [one(0), one(1, minute=1, age=1), *(one(n, f"x{n}", minute=20 * n) for n in range(2, 8))]
    source = ListSource(records, size=1)
    take_up(store, source, SETTINGS)
    whole = told(store, source, SETTINGS, 1)
    assert (whole.exact, whole.fates[0].verdict, str(whole.fates[0].repeats)) == (True, "duplicate", "events/0/0/0")
    left = ListSource(records[1:], size=1, start=1)
    answer = told(store, left, SETTINGS, 1)
    assert not answer.exact
    assert "the log is gone before offset 1" in answer.note
    assert answer.fates[0].verdict == "accepted"
    assert answer.fates[0].agrees is False  # the store has no such row, and so gives the answer away
    with pytest.raises(SettingsError, match="the record is gone"):
        told(store, left, SETTINGS, 0)
    # Near the end the mark is still there, and the answer is certain.
    assert told(store, left, SETTINGS, 7).exact


def test_a_store_that_holds_something_else_is_noticed(store: Store) -> None:
    source = ListSource([one(0), one(1, "b", category="nothing")])
    take_up(store, source, SETTINGS)
    assert [told(store, source, SETTINGS, offset).fates[0].agrees for offset in (0, 1)] == [True, True]
    for table in ("usage_windows", "dead_letters"):
        store.command(f"TRUNCATE TABLE {table}")
    assert [told(store, source, SETTINGS, offset).fates[0].agrees for offset in (0, 1)] == [False, False]
