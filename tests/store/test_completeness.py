"""What may be said of completeness, as a table of cases, against a second implementation of the rule."""

import random
from typing import Any

import pytest

from schemas.progress import Progress
from schemas.verdicts import END_OF_TIME
from sinks.store import Store
from tests.store.samples import NOON, SECOND, flush, progress

LATENESS = 120 * SECOND


def part(name: str = "t/0", **changes: Any) -> Progress:
    """Return a partition that has been read up to 50 of 100, with a watermark at NOON."""
    plain: dict[str, Any] = {
        "next_offset": 50,
        "log_end": 100,
        "log_end_seen_at": NOON + 3600 * SECOND,
        "watermark": NOON,
    }
    return progress(name, **{**plain, "allowed_lateness": LATENESS, **changes})


def read(name: str = "t/0", **changes: Any) -> Progress:
    """Return a partition that has been read to the end that was seen at NOON + 1 h."""
    return part(name, **{"next_offset": 100, **changes})


SEEN = NOON + 3600 * SECOND - LATENESS

CASES: dict[str, tuple[list[Progress], int | None]] = {
    "nothing was ever read": ([], None),
    "behind: its watermark": ([part()], NOON),
    "behind, no event yet: not known": ([part(watermark=None)], None),
    "fully read: when the end was seen": ([read()], SEEN),
    "fully read, but the watermark is later": ([read(watermark=SEEN + 1)], SEEN + 1),
    "fully read and never an event": ([read(watermark=None)], SEEN),
    "read past the end that was seen": ([read(next_offset=130)], SEEN),
    "an empty partition": ([part(next_offset=0, log_end=0, watermark=None)], SEEN),
    "the end is not known": ([part(log_end=None, log_end_seen_at=None)], NOON),
    "the end is not known, no event": ([part(log_end=None, log_end_seen_at=None, watermark=None)], None),
    "the end was seen at an unknown time": ([read(log_end_seen_at=None)], NOON),
    "a finite log read to its end": ([read(finite=True)], END_OF_TIME),
    "a finite log without events": ([read(finite=True, watermark=None, log_end_seen_at=None)], END_OF_TIME),
    "a finite log half read": ([part(finite=True)], NOON),
    "a finite log of unknown end": ([part(finite=True, log_end=None)], NOON),
    "the slowest partition": ([part("t/0", partitions=2), read("t/1", partitions=2)], NOON),
    "the slowest topic": ([read("a/0"), part("b/0", watermark=NOON - 7), read("c/0", finite=True)], NOON - 7),
    "a finite log holds nothing back": ([read("a/0", finite=True), read("b/0")], SEEN),
    "all finite": ([read("a/0", finite=True), read("b/0", finite=True)], END_OF_TIME),
    "a partition without progress": ([read("t/0", partitions=2)], None),
    "a partition without progress, finite": ([read("t/0", partitions=2, finite=True)], None),
    "partitions were added": ([read("t/0", partitions=1), read("t/1", partitions=3)], None),
    "files were taken away": ([read("t/0", partitions=1), read("t/1", partitions=1)], SEEN),
    "one unknown among many": ([read("t/0"), part("u/0", watermark=None)], None),
    "the newest generation counts": ([part(generation=1, watermark=NOON + 9), part(generation=2)], NOON),
    "an old generation was further": ([read(generation=1, next_offset=900), part(generation=2, next_offset=2)], NOON),
    "an old generation listed more partitions": ([part(generation=1, partitions=9), part(generation=2)], NOON),
}


@pytest.mark.parametrize("case", CASES)
def test_complete_to(store: Store, case: str) -> None:
    rows, expected = CASES[case]
    store.write_progress([flush(at=row) for row in rows])
    assert store.complete_to() == expected
    assert expected == rule(rows)


def rule(rows: list[Progress]) -> int | None:
    """Say the same as the views, in plain Python."""
    newest: dict[Any, Progress] = {}
    for row in rows:
        if row.log not in newest or newest[row.log].generation < row.generation:
            newest[row.log] = row
    ends: list[int | None] = []
    for log, row in newest.items():
        siblings = [other for other in newest.values() if other.log.topic == log.topic]
        if len(siblings) < max(other.partitions for other in siblings):
            return None
        if row.finite and row.fully_read:
            ends.append(END_OF_TIME)
        elif row.fully_read and row.log_end_seen_at is not None:
            ends.append(max(row.watermark or 0, row.log_end_seen_at - row.allowed_lateness))
        else:
            ends.append(row.watermark)
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) else None


def test_random_progress_agrees_with_the_rule(store: Store) -> None:
    chance = random.Random(5)
    for _ in range(60):
        rows = [
            part(
                f"{topic}/{number}",
                generation=chance.randrange(1, 3),
                next_offset=chance.choice([0, 99, 100, 101]),
                log_end=chance.choice([100, 100, 0, None]),
                log_end_seen_at=chance.choice([NOON, NOON + 5000 * SECOND, None]),
                watermark=chance.choice([NOON, NOON + 1, NOON + 2**40, None]),
                finite=chance.random() < 0.4,
                partitions=chance.choice([1, 1, 1, 2]),
            )
            for topic in "ab"[: chance.randrange(1, 3)]
            for number in range(chance.randrange(1, 3))
        ]
        store.command("TRUNCATE TABLE progress")
        store.write_progress([flush(at=row) for row in rows])
        assert store.complete_to() == rule(rows), rows


def test_the_view_names_the_partition_that_holds_back(store: Store) -> None:
    store.write_progress([flush(at=part("t/slow", partitions=2)), flush(at=read("t/fast", partitions=2))])
    sql = "SELECT partition, generation, next_offset, log_end, finished FROM completeness ORDER BY complete_to"
    assert store.query(sql) == [("slow", 1, 50, 100, False), ("fast", 1, 100, 100, False)]
    # A filter on the view must not reach below the choice of the newest generation.
    store.write_progress([flush(at=part("t/slow", generation=2, next_offset=1, partitions=2))])
    assert store.query("SELECT partition FROM completeness WHERE generation = 1") == [("fast",)]
    assert store.query("SELECT next_offset FROM completeness WHERE partition = 'slow'") == [(1,)]


def test_a_retired_topic_holds_nothing_back_until_it_is_revived(store: Store) -> None:
    store.write_progress([flush(at=part("old/0", watermark=NOON - 7, partitions=3)), flush(at=part("new/0"))])
    assert store.complete_to() is None
    store.decide_topic("old", retired=True, decided_at=NOON, decided_by="tests")
    assert store.complete_to() == NOON
    assert store.retired_topics() == {"old"}
    store.decide_topic("new", retired=True, decided_at=NOON, decided_by="tests")
    assert store.complete_to() == END_OF_TIME
    store.decide_topic("old", retired=False, decided_at=NOON + 1, decided_by="tests")
    assert store.complete_to() is None
    assert store.retired_topics() == {"new"}
