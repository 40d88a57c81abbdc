"""What is no difference: what is in flight, what cannot be checked, what lies outside the bounds. And what is one."""

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from sinks.store import Store
from tally.reconcile.asking import Asked
from tally.reconcile.log_laws import Logs
from tally.settings import Settings
from tests.reconcile.stores import AT, LOG, alter, check, delete, differing, insert, named, only
from tests.reconcile.test_planted import IN_LOG, NO_DUPLICATES, PLACE, one_row

MINUTE = 60_000_000


def set_progress(store: Store, changed: str) -> None:
    """Change the log's progress row, key columns and version included."""
    insert(store, "progress", f"'kept' AS topic, {changed}", IN_LOG)
    delete(store, "progress", IN_LOG)
    insert(store, "progress", f"'{LOG.topic}' AS topic", "topic = 'kept'")
    delete(store, "progress", "topic = 'kept'")


def test_rows_past_progress_are_in_flight(store: Store) -> None:
    """A stop between the two writes: the rows are there, and progress does not count them yet."""
    at = store.query(f"SELECT max(last_offset) FROM usage_windows WHERE {IN_LOG}")[0][0]
    events, quantity, late = store.query(
        f"SELECT sum(events), sum(quantity), sumIf(events, segment != 0) FROM usage_windows FINAL WHERE {IN_LOG} "
        f"AND last_offset = {at}"
    )[0]
    set_progress(
        store,
        f"{at} AS next_offset, accepted - {events} AS accepted, events - {events} AS events, late - {late} AS late, "
        f"quantity - {quantity} AS quantity, records - 1 AS records",
    )
    found = check(store)
    assert not named(found)
    flying = only(named(found, "in_flight"))
    assert (flying.law, flying.place, flying.size) == ("accepted", PLACE, events)


def test_rows_past_progress_do_not_hide_a_difference(store: Store) -> None:
    at = store.query(f"SELECT max(last_offset) FROM usage_windows WHERE {IN_LOG}")[0][0]
    set_progress(store, f"{at} AS next_offset, accepted + 1 AS accepted, events + 1 AS events")
    assert "accepted" in differing(check(store))


def test_dead_letters_past_progress_are_in_flight(store: Store) -> None:
    offset, index = store.query(f"SELECT max((offset, index)) FROM dead_letters WHERE {IN_LOG}")[0][0]
    last = f"{IN_LOG} AND offset = {offset} AND index = {index}"
    insert(store, "dead_letters", f"{10**9} AS offset", last)
    found = check(store)
    assert not named(found)
    assert only(named(found, "in_flight")).law == "rejected"


def successor(store: Store, start: str, source: str = "source") -> None:
    """Let a second generation of the log follow, which has counted nothing yet."""
    zeros = ("records", "events", "accepted", "late", "duplicates", "quantity")
    insert(
        store,
        "progress",
        f"2 AS generation, {start} AS start_offset, {start} AS next_offset, {source} AS source, "
        "CAST(map(), 'Map(LowCardinality(String), UInt64)') AS not_billable, "
        "CAST(map(), 'Map(LowCardinality(String), UInt64)') AS rejected, "
        + ", ".join(f"0 AS {name}" for name in zeros),
        IN_LOG,
    )


def test_a_new_generation_where_the_old_one_ended(store: Store) -> None:
    successor(store, "next_offset")
    found = check(store)
    assert not named(found)
    assert {one.law: one.places for one in found.checked}["ranges"] == 1


def test_rows_of_a_generation_past_the_start_of_the_next(store: Store) -> None:
    """An older run went on writing beside its successor."""
    successor(store, "next_offset")
    events, _, row = one_row(store)
    insert(store, "usage_windows", f"segment + 9 AS segment, {10**9} AS last_offset", row)
    insert(store, "dead_letters", f"{10**9} AS offset", f"{IN_LOG} LIMIT 1")
    found = check(store)
    past = named(found, law="generations")
    assert [(one.place, one.size) for one in past] == [(PLACE, events), ({**PLACE, "table": "dead_letters"}, 1)]


@pytest.mark.parametrize(("by", "said"), [("+ 7", "never metered"), ("- 7", "metered by both")])
def test_a_range_between_two_generations(store: Store, by: str, said: str) -> None:
    successor(store, f"next_offset {by}")
    ranges = only(named(check(store), law="ranges"))
    assert ranges.place == PLACE
    assert ranges.size == int(by.replace(" ", ""))
    assert said in ranges.note


def test_a_log_metered_again_is_no_successor(store: Store) -> None:
    """Its content is another one, and it is counted in full beside the older rows."""
    successor(store, "0", "replaceRegexpOne(source, '\"size\":\\\\d', '\"size\":9')")
    delete(store, "dead_letters", f"{IN_LOG} AND reason = 'not_json'")  # as if the newer content had others there
    found = check(store)
    assert not named(found)
    assert only(named(found, "not_checked", "rejected")).place == {**PLACE, "reason": "not_json"}


def test_bounds_leave_out_what_lies_outside(store: Store) -> None:
    alter(store, "progress", NO_DUPLICATES, "1")
    first, last = store.query("SELECT toUnixTimestamp(min(minute)), toUnixTimestamp(max(minute)) FROM control_totals")[
        0
    ]
    alter(store, "control_totals", "events = events + 1", f"minute = toDateTime({last})")
    middle = (first + last) // 2 * 1_000_000
    assert differing(check(store, Asked(start=middle))) == {"control"}
    assert differing(check(store, Asked(end=middle))) == set()
    late = check(store, Asked(start=1_795_000_000_000_000))
    assert {one.law: one.places for one in late.checked}["views"] == 0
    assert named(late) == []
    whole = {one.law: one for one in check(store).checked}["views"]
    parts = [check(store, asked) for asked in (Asked(end=middle), Asked(start=middle))]
    assert sum(one.left for part in parts for one in part.checked if one.law == "views") < whole.left


def test_bounds_that_hold_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="--to"):
        Asked(start=5, end=5)


def test_one_topic(store: Store) -> None:
    alter(store, "progress", "late = late + 1", IN_LOG)
    assert differing(check(store, Asked(topic="in"))) == {"late"}
    assert differing(check(store, Asked(topic="other"))) == set()
    skipped = {one.law for one in check(store, Asked(topic="in")).checked if one.skipped}
    assert skipped == {"views", "charges", "lines", "totals", "interims", "log"}


def report_late(store: Store, sent_at: int, closed: bool = False) -> None:
    store.command(
        f"INSERT INTO control_instances VALUES ('in', 'relay', 'one', 1, fromUnixTimestamp64Micro({sent_at}), "
        f"fromUnixTimestamp64Micro({sent_at}), {closed}, 0, 0)"
    )


def test_more_than_was_reported_is_in_flight_while_the_producer_is_at_work(store: Store) -> None:
    alter(store, "control_totals", "events = events - 1", "events > 1 AND category = 'error'")
    report_late(store, AT - MINUTE)
    found = check(store)
    assert not named(found)
    assert {finding.law for finding in named(found, "in_flight")} == {"control"}


@pytest.mark.parametrize(("sent_at", "closed"), [(AT - 60 * MINUTE, False), (AT - MINUTE, True)])
def test_and_a_difference_once_it_is_silent_or_closed(store: Store, sent_at: int, closed: bool) -> None:
    alter(store, "control_totals", "events = events - 1", "events > 1 AND category = 'error'")
    report_late(store, sent_at, closed)
    assert differing(check(store)) == {"control"}


def test_minutes_that_are_not_complete_are_in_flight(store: Store) -> None:
    alter(
        store, "progress", "finite = false, watermark = fromUnixTimestamp64Micro(1793494740000000), log_end = NULL", "1"
    )
    alter(store, "control_totals", "events = events + 1", "1")
    found = check(store)
    open_yet = named(found, "in_flight")
    assert open_yet
    assert {str(one.place["minute"]) >= "2026-11-01T00:59:00Z" for one in open_yet} == {True}


def test_fewer_than_were_sent_may_be_the_topics_duplicates(store: Store) -> None:
    alter(
        store,
        "control_totals",
        "events = events + 1",
        "events > 1 AND category = 'error' AND minute < '2026-11-01 02:00:00'",
    )
    found = check(store)
    assert not named(found)
    apart = named(found, "not_checked")
    assert {one.law for one in apart} == {"control"}
    assert "duplicates" in apart[0].note


def logs_of(settings: Settings, *sources: str) -> Logs:
    return Logs(settings, lambda: AT, sources=sources)


def test_a_file_that_is_as_it_was(store: Store, settings: Settings) -> None:
    law = check(store, logs=logs_of(settings)).checked[9]
    assert (law.law, law.places, law.findings) == ("log", 2, [])


@pytest.mark.parametrize("change", ["cut", "head", "gone"])
def test_a_file_that_is_not(store: Store, settings: Settings, folder: Path, change: str) -> None:
    path = folder / "in" / "0.ndjson"
    whole = path.read_bytes()
    try:
        if change == "cut":
            path.write_bytes(whole[:-100])
        elif change == "head":
            path.write_bytes(b" " + whole[1:])
        else:
            path.unlink()
        found = check(store, logs=logs_of(settings))
        place = {"topic": LOG.topic, "partition": LOG.partition}
        if change == "gone":
            assert named(found) == []
            assert only(named(found, "not_checked")).place == place
        else:
            log = only(named(found))
            assert (log.law, log.place) == ("log", place)
            assert log.size == (-100 if change == "cut" else 0)
            # Where the file is now can be said.
            (folder / "moved").mkdir(exist_ok=True)
            (folder / "moved" / "0.ndjson").write_bytes(whole)
    finally:
        path.write_bytes(whole)


def test_progress_past_the_end_and_what_was_not_read_yet(store: Store, settings: Settings) -> None:
    set_progress(store, "next_offset - 10 AS next_offset")
    unread = only(named(check(store, logs=logs_of(settings)), "in_flight", "log"))
    assert unread.size == 10
    set_progress(store, "next_offset + 17 AS next_offset")
    past = only(named(check(store, logs=logs_of(settings)), law="log"))
    assert past.size == -7
