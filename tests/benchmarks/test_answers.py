"""The hash of an answer: the same rows in any order are one hash, any other row is another."""

from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.answers import SCHEMA, canonical, read, save, save_tuples, summary

Rows = list[tuple[int, str, int, int, int]]

rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["error", "span", "log_byte"]),
        st.sampled_from([0, 60, 120]),
        st.integers(1, 2**40),
        st.integers(1, 9),
    ),
    max_size=12,
)


def table(found: Rows) -> pa.Table:
    columns = zip(*found, strict=True) if found else [()] * len(SCHEMA)
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)], SCHEMA)


@given(rows, st.randoms())
def test_order_and_split_do_not_matter(found: Rows, random: Random) -> None:
    parts = [
        part
        for org, category, window, quantity, events in found
        for part in ((org, category, window, quantity - 1, events - 1), (org, category, window, 1, 1))
    ]
    random.shuffle(parts)
    assert canonical(table(parts)) == canonical(table(found))


@given(rows.filter(bool), st.integers(0, 4), st.data())
def test_any_change_of_a_row_changes_the_hash(found: Rows, column: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found) - 1))
    org, category, window, quantity, events = found[at]
    changes = (
        (org + 7, category, window, quantity, events),
        (org, "attachment", window, quantity, events),
        (org, category, window + 600, quantity, events),
        (org, category, window, quantity + 1, events),
        (org, category, window, quantity, events + 1),
    )
    changed = [*found[:at], changes[column], *found[at + 1 :]]
    assert summary(table(changed))["sha256"] != summary(table(found))["sha256"]


def test_files_of_a_folder_are_one_answer(tmp_path: Path) -> None:
    save_tuples(tmp_path / "rows-0.arrow", [(1, "error", 60, 5, 2)])
    save(tmp_path / "rows-1.arrow", table([(1, "error", 60, 7, 1), (0, "span", 0, 1, 1)]))
    assert canonical(read(tmp_path)) == b'0,"span",0,1,1\n1,"error",60,12,3\n'


def test_a_folder_without_an_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no answer"):
        read(tmp_path)


def test_no_rows_are_an_answer(tmp_path: Path) -> None:
    save_tuples(tmp_path / "rows.arrow", [])
    assert summary(read(tmp_path))["rows"] == 0
