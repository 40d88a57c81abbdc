"""What is kept already, asked in one order while it streams: as a dict of all of it would answer."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tally.known_before import KnownBefore

rows = st.lists(
    st.tuples(
        st.integers(0, 12), st.sampled_from("st"), st.sampled_from("cd"), st.just("h"), st.booleans(), st.booleans()
    )
)


@given(rows.map(sorted), st.sets(st.integers(0, 13)), st.booleans())
def test_it_answers_as_a_dict_of_all_rows_would(found: list[Any], asked: set[int], complete: bool) -> None:
    counts = Counter(row[0] for row in found)
    expected = {row[0]: row[1:4] for row in found if counts[row[0]] == 1 and row[4] == complete and row[5]}
    before = KnownBefore(iter(found), complete=complete)
    assert [before.of(org) for org in sorted(asked)] == [expected.get(org) for org in sorted(asked)]
    before.close()


def test_a_reading_that_is_not_read_to_its_end_is_let_go() -> None:
    closed: list[bool] = []

    def reading() -> Iterator[tuple[Any, ...]]:
        try:
            for org in range(100):
                yield org, "s", "c", "h", 1, 1
        finally:
            closed.append(True)

    before = KnownBefore(reading(), complete=True)
    assert before.of(3) == ("s", "c", "h")
    assert before.of(3) is None, "each is asked for once"
    assert not closed
    before.close()
    assert closed == [True]
