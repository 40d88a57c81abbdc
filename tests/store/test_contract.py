"""What every store does: the same tests for the embedded engine and for a server."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.errors import StoreError, StoreMismatch
from schemas.log import LogId
from schemas.progress import Counts
from schemas.usage import Flush
from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP
from sinks.store import Store, open_store
from tests.store.samples import HOUR, MINUTE, NOON, SECOND, R, count, flush, letter, progress

USAGE = "SELECT org_id, category, window_start, quantity, events FROM usage ORDER BY ALL"


def totals(store: Store, view: str = "usage") -> tuple[int, int]:
    row = store.query(f"SELECT sum(quantity), sum(events) FROM {view}")[0]
    return row[0], row[1]


# ---- usage rows ----


def test_rows_are_totals_and_the_newest_total_counts(store: Store, merged: Callable[[], None]) -> None:
    store.write([flush(R(quantity=5, events=2, last=10))])
    store.write([flush(R(quantity=9, events=3, last=20))])
    store.write([flush(R(quantity=5, events=2, last=10))])  # a worker that was thought dead
    assert count(store, "usage_windows") == 3
    assert totals(store) == (9, 3)
    merged()
    assert count(store, "usage_windows") == 1
    assert totals(store) == (9, 3)


def test_writing_again_changes_nothing(store: Store, merged: Callable[[], None]) -> None:
    flushes = [
        flush(R(1, quantity=3), R(2, quantity=4, segment=77), at=progress("t/0"), letters=[letter()]),
        flush(R(1, quantity=5), at=progress("t/1"), letters=[letter(), letter(8)]),
    ]
    tables = ("usage_windows", "dead_letters", "progress")
    store.write(flushes)
    before = [store.query(f"SELECT * FROM {table} FINAL ORDER BY ALL") for table in tables]
    usage = store.query(USAGE)
    for _ in range(3):
        store.write(flushes)
    assert [store.query(f"SELECT * FROM {table} FINAL ORDER BY ALL") for table in tables] == before
    merged()
    assert [store.query(f"SELECT * FROM {table} ORDER BY ALL") for table in tables] == before
    assert store.query(USAGE) == usage
    assert totals(store) == (12, 3)


def test_views_are_right_at_every_moment(store: Store, merged: Callable[[], None]) -> None:
    """Versions of many rows arrive in any order and number; a dict that keeps the newest says what must be seen."""
    chance = random.Random(20261122)
    newest: dict[tuple[Any, ...], R] = {}
    for turn in range(25):
        rows = {
            (org, category, window, segment): R(
                org,
                category,
                window,
                chance.randrange(1000),
                chance.randrange(1, 9),
                chance.randrange(50),
                segment=segment,
            )
            for org in (1, 2)
            for category in ("error", "span")
            for window in (0, 1, 59, 60, 24 * 60)
            for segment in (0, 3)
            if chance.random() < 0.5
        }
        # One version is one total: a row that was folded as far is the same row.
        rows = {
            key: newest[key] if key in newest and newest[key].last == row.last else row for key, row in rows.items()
        }
        for key, row in rows.items():
            newest[key] = max(newest.get(key, row), row, key=lambda found: found.last)
        store.write([flush(*rows.values(), at=progress(next_offset=turn))])
        if turn == 20:
            merged()
        for view, width, name in (
            ("usage", MINUTE, "window_start"),
            ("usage_hourly", HOUR, "hour"),
            ("usage_daily", 24 * HOUR, "day"),
        ):
            expected: Counter[tuple[int, str, int]] = Counter()
            events: Counter[tuple[int, str, int]] = Counter()
            late: Counter[tuple[int, str, int]] = Counter()
            for row in newest.values():
                place = (row.org, row.category, row.window_start // width * width // SECOND)
                expected[place] += row.quantity
                events[place] += row.events
                late[place] += row.events if row.segment else 0
            seen = store.query(
                f"SELECT org_id, category, toUnixTimestamp({name}), quantity, events, late_events FROM {view}"
            )
            assert len(seen) == len(expected)
            for org, category, start, quantity, number, lately in seen:
                assert (quantity, number, lately) == (
                    expected[org, category, start],
                    events[org, category, start],
                    late[org, category, start],
                )


def test_a_filter_on_a_view_sees_the_newest_rows_only(store: Store) -> None:
    store.write([flush(R(1, quantity=900, last=1), R(2, quantity=7, last=1))])
    store.write([flush(R(1, quantity=5, last=2))])
    assert store.query("SELECT quantity FROM usage WHERE org_id = 1") == [(5,)]
    # The old total would pass this filter: it must not come back.
    assert store.query("SELECT quantity FROM usage WHERE quantity > 100") == []
    assert store.query("SELECT quantity FROM usage WHERE max_quantity > 100") == []
    assert store.query("SELECT quantity FROM usage WHERE window_start >= '2026-11-22 12:01:00'") == []
    assert store.query("SELECT sum(quantity) FROM usage_daily WHERE day = '2026-11-22' AND org_id IN (1, 2)") == [(12,)]


@pytest.mark.parametrize("view", ["usage", "usage_hourly", "usage_daily"])
def test_a_filter_reaches_the_index_below_final(store: Store, view: str) -> None:
    months = [R(org, start=NOON - month * 31 * 24 * HOUR) for org in range(4) for month in range(12)]
    store.write([flush(*months)])
    time = {"usage": "window_start", "usage_hourly": "hour", "usage_daily": "day"}[view]
    plan = store.query(f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE org_id = 3 AND {time} >= '2026-11-01'")
    text = "\n".join(str(row[0]) for row in plan)
    assert "FINAL: 1" in text
    assert "Parts: 1/12" in text, text
    assert "org_id in [3, 3]" in text, text


def test_a_statement_sees_every_group_by_column(store: Store) -> None:
    store.write(
        [
            flush(
                R(1, project=5, dimensions='{"a":"é"}', quantity=2),
                R(1, project=6, dimensions='{"a":"é"}', quantity=3),
                R(1, project=5, quantity=4),
            )
        ]
    )
    rows = store.query("SELECT project_id, dimensions, quantity, max_quantity FROM usage ORDER BY quantity")
    assert rows == [(5, '{"a":"é"}', 2, 2), (6, '{"a":"é"}', 3, 3), (5, "", 4, 4)]


def test_flushes_with_categories_of_their_own_go_in_one_insert(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inserts: list[str] = []
    insert = store._insert

    def spy(name: str, table: Any) -> None:
        inserts.append(name)
        insert(name, table)

    monkeypatch.setattr(store, "_insert", spy)
    store.write(
        [
            flush(R(1, "error"), R(1, "span", quantity=2), at=progress("t/0"), letters=[letter()]),
            flush(R(1, "span", quantity=10), R(1, "log", quantity=20), at=progress("t/1"), letters=[letter()]),
            flush(at=progress("t/2")),
        ]
    )
    assert inserts == ["usage_windows", "dead_letters", "progress"]
    rows = store.query("SELECT category, sum(quantity) FROM usage GROUP BY category ORDER BY category")
    assert rows == [("error", 1), ("log", 20), ("span", 12)]
    assert store.query("SELECT partition, count() FROM usage_windows GROUP BY partition ORDER BY partition") == [
        ("0", 2),
        ("1", 2),
    ]
    assert len(store.progress()) == 3


@pytest.mark.parametrize(("months", "inserts"), [(60, 1), (90, 1), (91, 2), (120, 2), (300, 4)])
def test_an_insert_touches_at_most_90_months(
    store: Store, monkeypatch: pytest.MonkeyPatch, months: int, inserts: int
) -> None:
    done: list[int] = []
    insert = store._insert

    def spy(name: str, table: Any) -> None:
        if name == "usage_windows":
            days = table["window_start"].to_numpy().astype("datetime64[s]").astype("datetime64[M]")
            done.append(len(np.unique(days)))
        insert(name, table)

    monkeypatch.setattr(store, "_insert", spy)
    starts = np.arange("2000-01", months, dtype="datetime64[M]").astype("datetime64[us]").astype(np.int64)
    rows = [R(org, start=int(start)) for start in starts for org in (1, 2)]
    random.Random(3).shuffle(rows)
    store.write([flush(*rows)])
    assert len(done) == inserts
    assert max(done) <= 90
    assert sum(done) == months
    assert totals(store) == (2 * months, 2 * months)


def test_sums_go_past_64_bits(store: Store) -> None:
    most = 2**63 - 1
    store.write([flush(*(R(1, quantity=most, events=most, segment=segment) for segment in range(5)))])
    for view in ("usage", "usage_hourly", "usage_daily"):
        assert store.query(f"SELECT quantity, events, max_quantity FROM {view}") == [(5 * most, 5 * most, most)]


def test_the_extreme_values_survive(store: Store) -> None:
    most = 2**63 - 1
    row = R(
        most,
        "error",
        quantity=most,
        events=most,
        last=most,
        project=most,
        segment=most,
        start=END_OF_TIME - 60 * SECOND,
    )
    store.write([flush(row, R(0, start=MIN_TIMESTAMP), first_offset=np.array([most, 0]))])
    columns = "org_id, project_id, segment, toUnixTimestamp(window_start), quantity, events, first_offset, last_offset"
    assert store.query(f"SELECT {columns} FROM usage_windows FINAL ORDER BY org_id") == [
        (0, 0, 0, MIN_TIMESTAMP // SECOND, 1, 1, 0, 0),
        (most, most, most, END_OF_TIME // SECOND - 60, most, most, most, most),
    ]
    assert store.query("SELECT toUnixTimestamp64Micro(last_timestamp) FROM usage_windows FINAL WHERE org_id > 0") == [
        (END_OF_TIME - 60 * SECOND + 1,)
    ]


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("org", -1, "org_id = -1"),
        ("project", -1, "project_id = -1"),
        ("window_start", MIN_TIMESTAMP - MINUTE, "window_start = "),
        ("window_start", END_OF_TIME, "window_start = "),
        ("window_start", NOON + 1, "whole second"),
        ("segment", -1, "segment = -1"),
        ("quantity", -5, "quantity = -5"),
        ("events", -1, "events = -1"),
        ("max_quantity", -1, "max_quantity = -1"),
        ("first_offset", -1, "first_offset = -1"),
        ("last_offset", -1, "last_offset = -1"),
        ("first_timestamp", MIN_TIMESTAMP - 1, "first_timestamp = "),
        ("last_timestamp", END_OF_TIME, "last_timestamp = "),
        ("category", 2, "category = 2"),
        ("category", -1, "category = -1"),
        ("dimensions", 1, "dimensions = 1"),
    ],
)
def test_a_value_out_of_range_writes_nothing(store: Store, column: str, value: int, named: str) -> None:
    good = flush(R(1), R(2, "span"))
    values = getattr(good.rows, column).copy()
    values[1] = value
    with pytest.raises(StoreError, match=named) as caught:
        store.write([flush(R(9), at=progress("t/9")), replace(good, rows=replace(good.rows, **{column: values}))])
    assert "nothing was written" in str(caught.value)
    assert "events/0" in str(caught.value)
    assert [count(store, table) for table in ("usage_windows", "dead_letters", "progress")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"next_offset": -1}, "progress.next_offset = -1"),
        ({"next_offset": 2**64}, "progress.next_offset"),
        ({"generation": 2**32}, "progress.generation"),
        ({"clock": 2**62}, "progress.clock"),
        ({"counts": Counts(events=-1)}, "progress.events = -1"),
        ({"counts": Counts(quantity=2**127)}, "progress.quantity"),
        ({"counts": Counts(rejected=Counter(not_json=-1))}, "progress.rejected"),
        ({"log": LogId("t", "\ud800")}, "progress.partition"),
    ],
)
def test_a_progress_that_does_not_fit_leaves_no_rows_behind(store: Store, change: dict[str, Any], named: str) -> None:
    with pytest.raises(StoreError, match=named):
        store.write([flush(R(), at=progress(**change))])
    assert count(store, "usage_windows") == 0


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("point", range(5))
def test_a_crash_anywhere_in_a_write_is_healed_by_writing_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The insert before which the process ends: 0 and 1 are the halves of the usage rows, 4 is after the last one."""
    rows = [R(org, start=NOON - month * 31 * 24 * HOUR) for month in range(100) for org in (1, 2)]
    flushes: list[Flush] = [flush(*rows, letters=[letter()])]
    insert, numbers = store._insert, itertools.count()

    def crashing(name: str, table: Any) -> None:
        if next(numbers) == point:
            raise Crash
        insert(name, table)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_insert", crashing)
        if point < 4:
            with pytest.raises(Crash):
                store.write(flushes)
        else:
            store.write(flushes)
    # Progress is there only when everything that it covers is.
    if store.progress():
        assert totals(store) == (200, 200)
        assert count(store, "dead_letters") == 1
    assert store.rows_past_progress(LogId("events", "0"), 1, 0) == (point > 0)
    store.write(flushes)
    assert totals(store) == (200, 200)
    assert store.query("SELECT count() FROM dead_letters FINAL") == [(1,)]
    assert list(store.progress().values()) == [progress()]


# ---- reading ----


def test_a_stream_leaves_the_store_free(store: Store) -> None:
    rows = store.stream("SELECT number FROM numbers({n:UInt64})", {"n": 200_000})
    assert next(rows) == (0,)
    assert store.query("SELECT 1") == [(1,)]
    store.write([flush(R())])
    assert sum(row[0] for row in rows) == sum(range(200_000))
    assert list(store.stream("SELECT org_id FROM usage")) == [(1,)]


def test_queries_return_rows_dicts_and_arrow(store: Store) -> None:
    store.write([flush(R(7, quantity=3))])
    sql = "SELECT org_id, quantity FROM usage WHERE org_id = {org:UInt64}"
    assert store.query(sql, {"org": 7}) == [(7, 3)]
    assert store.query_rows(sql, {"org": 7}) == [{"org_id": 7, "quantity": 3}]
    assert store.query_rows(sql, {"org": 8}) == []
    table = store.query_arrow("SELECT org_id, toInt64(quantity) AS quantity FROM usage")
    assert table.to_pylist() == [{"org_id": 7, "quantity": 3}]
    assert store.query_arrow(sql, {"org": 8}).num_rows == 0


def test_a_wrong_query_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="refused") as caught:
        store.query("SELECT nonsense FROM usage")
    assert type(caught.value) is StoreError


def test_a_store_without_tables_says_what_to_do(store_url: str) -> None:
    with open_store(store_url) as empty, pytest.raises(StoreError, match="tally migrate"):
        empty.query("SELECT * FROM usage")
    with open_store(store_url) as store:
        store.migrate()
        store.command("DROP TABLE usage_windows")
        with pytest.raises(StoreMismatch, match="tally migrate"):
            store.query("SELECT * FROM usage")
