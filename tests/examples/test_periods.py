"""Every example of period boundaries, through contracts and their billing periods."""

from typing import Any

import pytest

from tests.examples.running import PERIODS, load, run

EXAMPLES = load(PERIODS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found["id"])
def test_the_boundaries_are_those_of_the_source(example: dict[str, Any]) -> None:
    assert run(example).verdict == "passed", run(example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found["id"])
def test_a_boundary_a_day_off_fails(example: dict[str, Any]) -> None:
    last = example["expected_boundaries"][-1]
    day = f"{last[:-2]}{(int(last[-2:]) + 1) % 28 + 1:02}"
    assert run({**example, "expected_boundaries": [*example["expected_boundaries"][:-1], day]}).verdict == "failed"


def test_all_of_them_are_there() -> None:
    assert len({example["id"] for example in EXAMPLES}) == 11


def test_the_same_days_are_bounds_in_any_zone() -> None:
    for example in EXAMPLES:
        for zone in ("America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Auckland"):
            assert run({**example, "zone": zone}).verdict == "passed"


@pytest.mark.parametrize(
    ("changes", "bounds"),
    [
        ({"start": "2022-06-22", "anchor_day": 1}, ["2022-06-22", "2022-06-27", "2022-07-04"]),
        ({"start": "2022-06-22", "anchor_day": 22}, ["2022-06-22", "2022-06-29", "2022-07-06"]),
        ({"start": "2022-06-22", "anchor_day": 25}, ["2022-06-22", "2022-06-25", "2022-07-02"]),
    ],
)
def test_weeks_are_anchored_on_a_weekday_or_on_a_day(changes: dict[str, Any], bounds: list[str]) -> None:
    result = run({"id": "week", "interval": "week", "expected_boundaries": bounds, **changes})
    assert result.verdict == "passed", result


@pytest.mark.parametrize("changes", [{"interval": "fortnight"}, {"quantum": 1}])
def test_a_word_that_is_not_known_is_never_overlooked(changes: dict[str, Any]) -> None:
    assert run({**EXAMPLES[0], **changes}).verdict == "not understood"
