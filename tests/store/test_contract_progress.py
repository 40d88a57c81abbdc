"""Dead letters, progress and generations: the same tests for the embedded engine and for a server."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.errors import GenerationReplaced
from schemas.log import LogId
from schemas.progress import Counts, Mark, Progress
from schemas.verdicts import MAX_RAW_BYTES
from sinks.store import Store
from tests.store.samples import NOON, SECOND, R, count, flush, letter, progress

# ---- dead letters ----


def test_dead_letters_keep_every_byte(store: Store, merged: Callable[[], None]) -> None:
    every = bytes(range(256))
    raws = [
        b"",
        b"\x00",
        every * 3,
        b"\xff\xfe",
        "é€😀".encode(),
        b"'; DROP TABLE dead_letters --",
        every * (MAX_RAW_BYTES // 256),
    ]
    letters = [
        letter(n, raw, index=n, detail=f"d\x00{n}", clock=NOON + n, raw_size=2**40) for n, raw in enumerate(raws)
    ]
    at = progress("t/folder/é.jsonl", generation=3)
    for _ in range(2):
        store.write([flush(at=at, letters=letters)])
        sql = "SELECT offset, raw FROM dead_letters FINAL WHERE topic = {t:String} ORDER BY offset"
        assert store.query(sql, {"t": "t"}, raw=["raw"]) == list(enumerate(raws))
    columns = "partition, `index`, reason, detail, format, generation, toUnixTimestamp64Micro(clock), raw_size"
    assert store.query(f"SELECT {columns} FROM dead_letters FINAL WHERE offset = 2") == [
        ("folder/é.jsonl", 2, "not_json", "d\x002", "tally", 3, NOON + 2, 2**40)
    ]
    merged()
    assert count(store, "dead_letters") == len(raws)


# ---- progress ----

FULL = Progress(
    log=LogId("t", "0"),
    generation=7,
    fingerprint="0123456789abcdef",
    start_offset=5,
    next_offset=2**63,
    mark=Mark(11, NOON + 1, NOON + 2, 12),
    clock=NOON + 3,
    max_timestamp=NOON + 4,
    watermark=NOON - 5,
    allowed_lateness=120 * SECOND,
    log_end=2**63 + 1,
    log_end_seen_at=NOON + 6,
    finite=True,
    partitions=31,
    source={"uri": "kafka://é:9092/t", "size": 2**60, "nested": {"a": [1, None, "x"]}},
    counts=Counts(1, 2, 3, 4, 5, Counter(filtered=6, rate_limited=2**63), Counter(not_json=7), -(2**100)),
)


@pytest.mark.parametrize(
    "found",
    [
        FULL,
        progress(),
        replace(FULL, mark=Mark(11, None, None, 12), clock=None),
        replace(FULL, log=LogId("", ""), log_end=0, log_end_seen_at=None, source={}),
        replace(FULL, log=LogId("t'\\\n", "a b/ü'\t")),
    ],
)
def test_progress_comes_back_as_it_was(store: Store, found: Progress) -> None:
    store.write([flush(at=found)])
    assert store.progress() == {found.log: found}
    assert store.progress(found.log.topic) == {found.log: found}
    assert store.progress("another") == {}


def test_the_highest_generation_is_current_and_its_furthest_row(store: Store, merged: Callable[[], None]) -> None:
    old = progress(generation=1, next_offset=900)
    first, last = progress(generation=2, next_offset=10), progress(generation=2, next_offset=20)
    other = progress("events/1", next_offset=3)
    for found in (old, last, first, other):
        store.write_progress([flush(at=found)])
    for _ in range(2):
        assert store.progress() == {last.log: last, other.log: other}
        assert store.progress_of_all_generations() == [last, old, other]
        merged()


def test_a_heartbeat_renews_the_sight_of_the_end(store: Store) -> None:
    for seen in (1, 2, 3):
        store.write([flush(at=progress().at_end(100, NOON + seen))])
    assert [found.log_end_seen_at for found in store.progress().values()] == [NOON + 3]


@pytest.mark.parametrize(
    ("stored", "mine", "refused"),
    [
        ([], (1, "a"), False),
        ([(1, "a")], (1, "a"), False),
        ([(1, "a")], (2, "b"), False),
        ([(2, "a")], (1, "a"), True),
        ([(2, "b")], (1, "a"), True),
        ([(1, "b")], (1, "a"), True),
        ([(1, "a"), (2, "b")], (1, "a"), True),
        ([(2, "b"), (1, "a")], (2, "b"), False),
    ],
)
def test_a_replaced_generation_writes_nothing(
    store: Store, stored: list[tuple[int, str]], mine: tuple[int, str], refused: bool
) -> None:
    for generation, fingerprint in stored:
        store.write_progress([flush(at=progress(generation=generation, fingerprint=fingerprint))])
    flushes = [
        flush(R(1), at=progress("events/1", generation=9)),
        flush(R(2), at=progress(generation=mine[0], fingerprint=mine[1]), letters=[letter()]),
    ]
    before = count(store, "progress")
    if refused:
        with pytest.raises(GenerationReplaced, match=r"events/0.*nothing was written"):
            store.write(flushes)
        assert [count(store, table) for table in ("usage_windows", "dead_letters", "progress")] == [0, 0, before]
    else:
        store.write(flushes)
        assert count(store, "usage_windows") == 2


def test_rows_past_progress(store: Store) -> None:
    log = LogId("events", "0")
    store.write_usage([flush(R(1, last=40), R(2, last=99), R(3, last=10, window=-50_000))])
    assert store.rows_past_progress(log, 1, 99)
    assert not store.rows_past_progress(log, 1, 100)
    assert not store.rows_past_progress(log, 2, 0)
    assert not store.rows_past_progress(LogId("events", "1"), 1, 0)
    assert not store.rows_past_progress(LogId("other", "0"), 1, 0)
