"""Comparing with an expectation: every wrong number is found, with its place and size."""

import datetime as dt
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.progress import Counts
from tally.generate import Difference, Expected, Sum

DAY = dt.date(2026, 11, 1)
LARGE = 2**80


def expected(**given: Any) -> Expected:
    usage = {
        (1, "error", DAY): Sum(5, 2),
        (1, "error", DAY.replace(day=30)): Sum(7, 1),
        (1, "error", dt.date(2026, 12, 1)): Sum(1, 1),
        (2, "span", DAY): Sum(LARGE, 3),
    }
    counts = Counts(records=9, events=9, accepted=7, duplicates=1, rejected=Counter({"not_json": 1}), quantity=13)
    return Expected(**{"usage": usage, "partitions": {"0": counts}, **given})


def rows(found: Expected) -> list[tuple[Any, ...]]:
    return [(*key, *total) for key, total in found.usage.items()]


def test_equal_usage_has_no_difference_by_any_period() -> None:
    made = expected()
    assert made.compare(rows(made), by="day") == []
    assert (
        made.compare([(1, "error", "2026-11-01", 12, 3), (1, "error", "2026-12-01", 1, 1), rows(made)[3]], "month")
        == []
    )
    assert made.compare([(1, "error", 13, 4), (2, "span", LARGE, 3)]) == []


@pytest.mark.parametrize(
    "moment",
    ["2026-11-01", "2026-11-01T00:00:00Z", DAY, dt.datetime(2026, 11, 1, tzinfo=dt.UTC), 1_793_491_200_000_000],
)
def test_a_period_may_be_written_in_several_ways(moment: Any) -> None:
    made = Expected({(2, "span", DAY): Sum(LARGE, 3)}, {})
    assert made.compare([(2, "span", moment, LARGE, 3)], by="day") == []
    assert made.compare([(2, "span", moment, LARGE, 3)], by="month") == []


def test_differences_have_a_place_and_a_size() -> None:
    made = expected()
    found = [(1, "error", 12, 4), (2, "span", LARGE + 1, 3), (3, "log_byte", 1, 1)]
    assert made.compare(found) == [
        Difference("organisation 1, error", "quantity", 13, 12),
        Difference("organisation 2, span", "quantity", LARGE, LARGE + 1),
        Difference("organisation 3, log_byte", "quantity", 0, 1),
        Difference("organisation 3, log_byte", "events", 0, 1),
    ]
    assert [difference.size for difference in made.compare(found)] == [-1, 1, 1, 1]
    assert str(made.compare(found)[0]) == "organisation 1, error: quantity 12 instead of 13 (-1)"


@given(st.integers(0, 3), st.sampled_from([3, 4]), st.integers(-(2**70), 2**70).filter(bool))
def test_any_wrong_number_is_found(row: int, place: int, by: int) -> None:
    made = expected()
    found = [list(one) for one in rows(made)]
    found[row][place] += by
    for period in ("day", "month", "total"):
        given_rows = found if period != "total" else [one[:2] + one[3:] for one in found]
        [difference] = made.compare(given_rows, by=period)
        assert difference.size == by


def test_a_missing_row_is_found() -> None:
    made = expected()
    assert [str(one) for one in made.compare(rows(made)[1:], by="day")] == [
        "organisation 1, error, day 2026-11-01: quantity 0 instead of 5 (-5)",
        "organisation 1, error, day 2026-11-01: events 0 instead of 2 (-2)",
    ]


def test_counts_are_compared_by_partition_and_reason() -> None:
    made = expected()
    has = replace(made.partitions["0"], late=1, rejected=Counter({"not_json": 2}))
    assert made.compare_counts({"0": has}) == [
        Difference("partition 0", "late", 0, 1),
        Difference("partition 0", "rejected:not_json", 1, 2),
    ]
    assert made.compare_counts({"0": replace(has, rejected=Counter({"not_json": 1}))})
    assert replace(made, late_known=False).compare_counts({"0": replace(made.partitions["0"], late=3)}) == []
    assert {one.place for one in made.compare_counts({"1": made.partitions["0"]})} == {"partition 0", "partition 1"}


def test_two_expectations_add_up() -> None:
    one = expected()
    both = one.with_other(replace(one, partitions={"1": one.partitions["0"]}))
    assert both.totals() == {(1, "error"): Sum(26, 8), (2, "span"): Sum(2 * LARGE, 6)}
    assert both.counts.events == 18
    with pytest.raises(SettingsError, match="partition '0'"):
        one.with_other(one)


def test_days_of_months_are_refused() -> None:
    with pytest.raises(SettingsError, match="--expected-by day"):
        expected(by="month").compare([], by="day")


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "other"}', '{"kind": "tally-expected", "version": 99}'])
def test_a_file_that_is_no_expectation_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(SettingsError, match="expectation"):
        Expected.load(tmp_path / "x")
    with pytest.raises(SettingsError, match="cannot be read"):
        Expected.load(tmp_path / "missing")
