"""A log recounted in SQL comes to what the meter made of it, from wherever it is read; planted faults are found."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.resume import start_of
from schemas.differences import Checked, Finding
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from sinks.store import Store, open_store
from tally.recount.run import Recount, recount
from tally.recount.stretch import stretch_of
from tally.rereading import LogAgain
from tests import oracle
from tests.metering.logs import EPOCH, SECOND, logs, rules
from tests.oracle import Event, Record, Rules
from tests.queries.relogged import LOG, ListSource, metered, stated, with_tail
from tests.queries.test_explain import settings_for
from tests.reconcile.stores import alter, delete, insert, only

MINUTE = 60 * SECOND
TABLES = ("usage_windows", "kept_events", "dead_letters", "progress")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path_factory.mktemp('recount') / 'store'}") as made:
        made.migrate()
        yield made


@pytest.fixture
def store(opened: Store) -> Store:
    clear(opened)
    return opened


def clear(store: Store) -> None:
    for table in TABLES:
        store.command(f"TRUNCATE TABLE {table}")


def run(store: Store, source: ListSource, found: MeterSettings, until: int | None = None) -> None:
    """Meter on from where the store stands, as a run would."""
    start = start_of(source.list_logs()[0], store.progress("events").get(LOG), found, rows_past_progress=False)
    metered(store, source, found, start.progress, source.end if until is None else until)


def recounted(
    store: Store, source: ListSource, found: MeterSettings, first: int | None = None, end: int | None = None
) -> Recount:
    again = LogAgain(LOG, source, source.list_logs()[0])
    generations = [one for one in store.progress_of_all_generations("events") if one.log == LOG]
    return recount(store, stretch_of(generations, first, end, again, found), again, found)


def of(found: Recount, law: str) -> Checked:
    return next(one for one in found.checked if one.law == law)


def findings(found: Recount) -> list[Finding]:
    return [finding for one in found.checked for finding in one.findings]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=logs(most=20), found=rules, data=st.data())
def test_a_log_comes_to_what_the_meter_made_of_it(
    store: Store, records: list[Record], found: Rules, data: st.DataObject
) -> None:
    clear(store)
    records = with_tail(stated(records))
    source, mine = ListSource(records, 4), settings_for(found)
    run(store, source, mine)
    whole = recounted(store, source, mine)
    assert findings(whole) == []
    truth = oracle.meter(records, found)
    assert of(whole, "rows").places == len(truth.rows)
    assert of(whole, "letters").places == truth.rejected.total()
    if found.kept:
        assert of(whole, "kept").places == len(truth.kept)
    assert whole.events == truth.counts["events"]
    # Any part of it, too; rows that reach beyond are left out.
    bounds = sorted(data.draw(st.sets(st.integers(records[0].offset, source.end), min_size=2, max_size=2)))
    part = recounted(store, source, mine, bounds[0], bounds[1])
    assert findings(part) == []
    inside = [r for r in truth.rows.values() if bounds[0] <= r.first_offset and r.last_offset < bounds[1]]
    assert of(part, "rows").places == len(inside)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=logs(most=20), found=rules, cut=st.integers(0, 19))
def test_a_generation_that_follows_another(store: Store, records: list[Record], found: Rules, cut: int) -> None:
    """Its index is warmed from the mark of the one before."""
    clear(store)
    records = with_tail(stated(records))
    source = ListSource(records, 1)
    first, second = settings_for(found, group_by_project=False), settings_for(found, group_by_project=True)
    run(store, source, first, records[min(cut, len(records) - 1)].offset)
    run(store, source, second)
    begun = store.progress("events")[LOG].start_offset
    assert findings(recounted(store, source, second)) == []
    if begun > records[0].offset:
        assert findings(recounted(store, source, first, records[0].offset, begun)) == []


def steady(count: int, broker: bool = True, step: int = SECOND) -> list[Record]:
    """Return records of a busy log: an event each, a repeat now and then, some late, some long after their horizon."""
    records: list[Record] = []
    for number in range(count):
        now = EPOCH + number * step
        event = Event(1 + number % 2, f"e{number}", quantity=1 + number, timestamp=now - number % 3 * SECOND)
        if number % 10 == 9:
            event = records[number - 5].events[0]
        elif number % 50 == 7:
            event = replace(event, timestamp=now - 600 * SECOND)
        elif number % 97 == 11:
            event = Event(1, f"e{number}", rejected="bad_quantity")
        records.append(Record(number, now if broker else None, (event,)))
    return records


PLAIN = settings_for(Rules(bucket=10 * SECOND, horizon_buckets=2))


def test_a_stretch_from_the_middle_is_read_from_a_horizon_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies before the warm-up is never asked for, and every verdict of the stretch is exact all the same."""
    monkeypatch.setattr("tally.recount.stretch.FIRST_STEP", 64)
    source = ListSource(steady(3_000), 100)
    run(store, source, PLAIN)
    found = recounted(store, source, PLAIN, 2_000, 2_600)
    assert findings(found) == []
    assert found.first == 2_000
    assert "read from offset" in found.note
    assert found.records < 1_800
    rows = of(found, "rows")
    assert rows.places > 15
    assert found.apart.straddling > 0


def test_a_log_whose_start_is_gone_is_compared_from_where_verdicts_are_certain(store: Store) -> None:
    source = ListSource(steady(2_000), 100)
    run(store, source, PLAIN)
    gone = replace(source, start=1_000)
    found = recounted(store, gone, PLAIN, 1_000)
    assert findings(found) == []
    # A horizon of three buckets of 10 s, and what an event may be ahead, have to pass: an event a second.
    assert found.first is not None
    assert 1_300 <= found.first <= 1_310
    assert of(found, "rows").places > 10
    nothing = recounted(store, gone, PLAIN, 1_000, 1_200)
    assert nothing.first is None
    assert "certain" in nothing.note


def test_a_file_is_read_from_its_start(store: Store) -> None:
    source = ListSource(steady(300, broker=False), 100)
    run(store, source, PLAIN)
    found = recounted(store, source, PLAIN, 200, 300)
    assert findings(found) == []
    assert found.records == 300
    with pytest.raises(SettingsError, match="cannot be known"):
        recounted(store, replace(source, start=50), PLAIN, 200, 300)


def test_bounds_that_no_generation_metered(store: Store) -> None:
    source = ListSource(steady(30), 100)
    run(store, source, PLAIN)
    with pytest.raises(SettingsError, match="do not lie within"):
        recounted(store, source, PLAIN, 10, 31)
    with pytest.raises(SettingsError, match="do not lie within"):
        recounted(store, source, PLAIN, 10, 10)
    with pytest.raises(SettingsError, match="starts at offset 20 by now"):
        recounted(store, replace(source, start=20), PLAIN, 10, 15)


def test_ids_that_came_again_after_the_horizon(store: Store) -> None:
    """Counted with the time between the two, so that the horizon's length can be judged."""
    records = [
        Record(0, EPOCH, (Event(1, "a", timestamp=EPOCH), Event(1, "b", timestamp=EPOCH))),
        Record(1, EPOCH + 20 * SECOND, (Event(1, "a", timestamp=EPOCH),)),  # a duplicate
        Record(2, EPOCH + 90 * SECOND, (Event(1, "a", timestamp=EPOCH),)),  # beyond the horizon, and counted again
        Record(3, EPOCH + 200 * SECOND, (Event(1, "b", quantity=2, timestamp=EPOCH),)),
    ]
    source = ListSource(records)
    run(store, source, PLAIN)
    found = recounted(store, source, PLAIN)
    assert findings(found) == []
    assert (found.came_again.events, found.came_again.same_payload) == (2, 1)
    assert found.came_again.longest == 200 * SECOND


def test_odd_records_are_counted_apart(store: Store) -> None:
    broken = replace(steady(50)[20], events=(Event(rejected="not_json"),))
    source = ListSource([*steady(20), broken, *steady(50)[21:]], 100)
    run(store, source, PLAIN)
    found = recounted(store, source, PLAIN)
    assert findings(found) == []
    assert (found.odd_records, found.borrowed_events, found.apart.borrowed) == (1, 1, 0)


ROW = "segment = 0 AND events > 3"


@pytest.fixture
def busy(store: Store) -> ListSource:
    source = ListSource(steady(300), 100)
    run(store, source, PLAIN)
    return source


def row_of(store: Store) -> str:
    org, start = store.query(
        f"SELECT org_id, toUnixTimestamp(window_start) FROM usage_windows FINAL WHERE {ROW} ORDER BY ALL LIMIT 1"
    )[0]
    return f"{ROW} AND org_id = {org} AND window_start = toDateTime({start})"


def test_a_row_deleted(store: Store, busy: ListSource) -> None:
    delete(store, "usage_windows", row_of(store))
    found = only(findings(recounted(store, busy, PLAIN)))
    assert (found.law, found.right) == ("rows", 0)
    assert "in no usage row" in found.note


def test_a_row_doubled(store: Store, busy: ListSource) -> None:
    insert(store, "usage_windows", "segment + 7 AS segment", row_of(store))
    found = only(findings(recounted(store, busy, PLAIN)))
    assert (found.law, found.left) == ("rows", 0)
    assert found.place["segment"] == 7


@pytest.mark.parametrize(
    "column", ["quantity", "events", "max_quantity", "first_offset", "first_timestamp", "last_timestamp"]
)
def test_a_row_altered_by_one(store: Store, busy: ListSource, column: str) -> None:
    value = f"{column} + toIntervalMicrosecond(1)" if column.endswith("timestamp") else f"{column} + 1"
    alter(store, "usage_windows", f"{column} = {value}", row_of(store))
    found = only(findings(recounted(store, busy, PLAIN)))
    assert (found.place["column"], found.size) == (column, 1)


def test_a_dead_letter_removed_or_of_another_reason(store: Store, busy: ListSource) -> None:
    alter(store, "dead_letters", "reason = 'overflow'", "offset = 108")
    delete(store, "dead_letters", "offset = 205")
    found = findings(recounted(store, busy, PLAIN))
    assert [(one.law, one.place["offset"], one.note) for one in found] == [
        ("letters", 108, "rejected as bad_quantity in the log, as overflow in the store"),
        ("letters", 205, "rejected as bad_quantity in the log, not at all in the store"),
    ]


def test_a_count_altered(store: Store, busy: ListSource) -> None:
    alter(store, "progress", "duplicates = duplicates + 1, accepted = accepted - 1", "1")
    found = findings(recounted(store, busy, PLAIN))
    assert [(one.place["count"], one.size) for one in found] == [("accepted", -1), ("duplicates", 1)]


def test_an_event_of_the_log_altered(store: Store, busy: ListSource) -> None:
    """The store is as it was metered, and the log is not what it was."""
    records = list(busy.records)
    records[100] = replace(records[100], events=(replace(records[100].events[0], quantity=5_000),))
    found = findings(recounted(store, replace(busy, records=records), PLAIN))
    assert {one.law for one in found} == {"rows", "verdicts"}
    assert {one.size for one in found if one.place.get("column") == "quantity"} == {101 - 5_000}


def test_nothing_is_left_behind(store: Store, busy: ListSource) -> None:
    recounted(store, busy, PLAIN)
    assert not store.query("SELECT 1 FROM system.databases WHERE name = 'tally_recount'")


def test_planted_faults_in_kept_events_are_found(store: Store) -> None:
    clear(store)
    keeping = settings_for(Rules(kept=("error",)))
    records = [Record(n, EPOCH + n, (Event(1, f"e{n}", timestamp=EPOCH, amount="0.5"),)) for n in range(5)]
    source = ListSource(records)
    run(store, source, keeping)
    assert findings(recounted(store, source, keeping)) == []
    delete(store, "kept_events", "offset = 2")
    finding = only(findings(recounted(store, source, keeping)))
    assert (finding.law, finding.place["offset"], finding.note) == ("kept", 2, "not kept")
    insert(store, "kept_events", "toUInt64(2) AS offset", "offset = 1")
    alter(store, "kept_events", "amount = 7", "offset = 3")
    finding = only(findings(recounted(store, source, keeping)))
    assert (finding.law, finding.place["offset"], finding.note) == ("kept", 3, "kept with another amount")
    insert(store, "kept_events", "toUInt32(9) AS `index`", "offset = 4")
    extra = findings(recounted(store, source, keeping))[-1]
    assert (extra.place["index"], extra.note) == (9, "kept, and not accepted in the log")
