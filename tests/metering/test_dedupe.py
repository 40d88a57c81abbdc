"""The dedupe index against a dict that never forgets: random ids, buckets that move on, growth, memory bounds."""

import itertools
import random

import numpy as np
import pytest

from dataflows import dedupe
from dataflows.dedupe import DIFFERENT, FORGOTTEN, NEW, NO_ROOM, SAME, DedupeIndex, occurs
from schemas.errors import IndexFull

MASK = 2**64 - 1


def look(index: DedupeIndex, number: int, payload: int, bucket: int) -> int:
    mixed = random.Random(number).getrandbits(128)
    high, low = np.uint64(mixed >> 64), np.uint64(mixed & MASK)
    # The compiled code takes unsigned words, as the columns of a batch hold them.
    return occurs(index.table, index.capacity, high, low, np.uint64(payload), bucket, index.horizon)  # type: ignore[arg-type]


class Judged:
    """An index beside the dict that judges it."""

    def __init__(self, horizon: int, max_bytes: int = 1 << 30) -> None:
        self.index = DedupeIndex(max_bytes, horizon)
        self.seen: dict[int, tuple[int, int]] = {}

    def occur(self, number: int, payload: int, bucket: int) -> int:
        """Let the id of a number occur; check the verdict; return it."""
        index = self.index
        if index.used >= index.limit:
            index.make_room(bucket)
        while (found := look(index, number, payload, bucket)) == NO_ROOM:
            index.make_room(bucket, forced=True)
        index.used += found == NEW
        before = self.seen.get(number)
        self.seen[number] = (bucket, payload)
        if before is None or before[0] + index.horizon < bucket:
            assert found in {NEW, FORGOTTEN}
        else:
            assert found == (SAME if before[1] == payload else DIFFERENT)
        return found

    def live(self, bucket: int) -> int:
        return sum(last + self.index.horizon >= bucket for last, _ in self.seen.values())


def occur_for_ever(judged: Judged) -> None:
    for number in itertools.count():
        judged.occur(number, 0, 1)


def stays(index: DedupeIndex, capacity: int) -> bool:
    """In place of a table's growth in its own memory: it cannot be."""
    del index, capacity
    return False


@pytest.mark.parametrize(("large", "in_place"), [(1 << 14, True), (1 << 14, False), (8 << 20, True)])
def test_it_answers_as_a_dict_through_growth_and_forgetting(
    monkeypatch: pytest.MonkeyPatch, large: int, in_place: bool
) -> None:
    # A small bound for large tables brings memory of their own, moved in many steps, to a test of this size.
    monkeypatch.setattr(dedupe, "LARGE", large)
    monkeypatch.setattr(dedupe, "MOVED_AT_ONCE", 1000)
    if not in_place:
        monkeypatch.setattr(DedupeIndex, "_grow_to", stays)
    chance = random.Random(7)
    judged = Judged(horizon=3)
    number, verdicts = 0, set()
    for bucket in range(100, 130):
        for _ in range(chance.choice([10, 500, 4000, 9000])):
            number += 1
            again = chance.random() < 0.2
            which = chance.randrange(max(0, number - 30_000), number) if again else number
            verdicts.add(judged.occur(which, chance.randrange(2), bucket))
    assert verdicts == {NEW, SAME, DIFFERENT, FORGOTTEN}
    assert judged.index.capacity > dedupe.FIRST_CAPACITY


def test_memory_an_id_stays_within_its_bound() -> None:
    judged = Judged(horizon=2)
    for number in range(60_000):
        bucket = number // 10_000
        judged.occur(number, 0, bucket)
        if number > 20_000 and number % 1000 == 0:
            assert judged.index.capacity * dedupe.SLOT_BYTES <= 64 * max(judged.live(bucket), 1)


def test_at_its_memory_bound_it_says_what_to_change_and_has_forgotten_nothing() -> None:
    judged = Judged(horizon=5, max_bytes=400_000)
    with pytest.raises(IndexFull, match="dedupe_max_bytes"):
        occur_for_ever(judged)
    assert judged.index.nbytes <= 400_000
    for number in judged.seen:
        assert look(judged.index, number, 0, 2) == SAME
    assert len(judged.seen) > 0.7 * (400_000 // dedupe.SLOT_BYTES - dedupe.TAIL)


def test_a_table_that_somebody_looks_at_is_moved_instead_of_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedupe, "LARGE", 1 << 14)
    judged = Judged(horizon=3)
    for number in range(20_000):
        looked_at = judged.index.table
        judged.occur(number, 0, 1)
    assert judged.index.table is looked_at
    for number in range(20_000):
        assert judged.occur(number, 0, 2) == SAME


def test_entries_that_fit_in_no_order_are_all_kept() -> None:
    """A hash that sends every id to the last home: no place for them within a longer table, nor in another one."""
    table = np.zeros((100 + dedupe.TAIL, dedupe.WORDS), np.uint32)
    first = 100
    table[first:, 0] = 2**32 - 1
    table[first:, 1] = np.arange(dedupe.TAIL)
    table[first:, 5] = 7
    assert dedupe.unpack(table, first, 100)
    packed = dedupe.pack(table, 100 + dedupe.TAIL)
    assert packed == first
    assert not dedupe.unpack(table, packed, 200)
    assert sorted(table[table[:, 5] != 0, 1].tolist()) == list(range(dedupe.TAIL))
