"""An event's partition is a function of its organisation and id."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from tally.producer.placement import Placement, murmur2, spread

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("data", "signed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_the_hash_is_that_of_kafkas_clients(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.integers(0, 2**63 - 1), IDS, st.integers(1, 200))
def test_an_organisation_stays_in_its_partition(org_id: int, event_id: str, partitions: int) -> None:
    place = Placement(partitions, {org_id + 1: partitions})
    assert place(org_id, event_id) == place(org_id, "other") == spread(str(org_id).encode(), partitions)


@given(st.integers(0, 2**63 - 1), IDS, st.integers(1, 200), st.data())
def test_a_salted_one_stays_in_one_a_retry_meets_itself_in(
    org_id: int, event_id: str, partitions: int, data: st.DataObject
) -> None:
    over = data.draw(st.integers(1, partitions))
    place, again = Placement(partitions, {org_id: over}), Placement(partitions, {org_id: over})
    assert place(org_id, event_id) == again(org_id, event_id)
    assert (place(org_id, event_id) - spread(str(org_id).encode(), partitions)) % partitions < over


def test_a_salted_one_is_spread_evenly_over_as_many_as_were_asked_for() -> None:
    place = Placement(16, {7: 8})
    found = Counter(place(7, f"event-{n}") for n in range(8_000))
    assert len(found) == 8
    assert min(found.values()) > 800


def test_more_partitions_than_there_are_is_refused() -> None:
    with pytest.raises(SettingsError, match="organisation 7 over 5 partitions; the topic has 4"):
        Placement(4, {7: 5})
