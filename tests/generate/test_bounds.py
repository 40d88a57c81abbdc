"""Options out of bounds, and targets that cannot be: one clear message each, and nothing written."""

import math
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from tally.generate import TrafficSpec, expected_path, generate_file, generate_folder
from tally.generate.spec import DAY, DEFAULT_START

SMALL = TrafficSpec(events=100)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"events": 0}, "events"),
        ({"events": 2_000_000_001}, "events"),
        ({"seed": -1}, "seed"),
        ({"orgs": 0}, "orgs"),
        ({"zipf": -0.1}, "zipf"),
        ({"zipf": math.nan}, "zipf"),
        ({"late": 1.1}, "late"),
        ({"malformed": math.nan}, "malformed"),
        ({"duplicates": 0.5, "late": 0.5}, "at least a tenth"),
        ({"partitions": 0}, "partitions"),
        ({"per_record": 0}, "per_record"),
        ({"rate": 0}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"span": 0}, "span"),
        ({"format": "avro"}, "format: 'avro' is none of tally"),
        ({"packing": "zip"}, "packing"),
        ({"keyed_by": "project"}, "keyed_by"),
        ({"expected_by": "hour"}, "expected_by"),
        ({"categories": ("error", "nope")}, "nope not in the catalogue"),
        ({"categories": ("error", "error")}, "stands twice"),
        ({"format": "sentry-outcomes", "duplicates": 0.1}, "has no id"),
        ({"format": "sentry-outcomes", "conflicts": 0.1}, "has no id"),
        ({"not_billable": 0.1}, "every event of the tally format is billable"),
        ({"format": "cloudevents", "packing": "arrow"}, "only the tally format"),
    ],
)
def test_an_option_out_of_bounds_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrafficSpec(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"from_the_future": 0.1}, "as_of"),
        ({"too_old": 0.1}, "as_of"),
        ({"start": 0}, "2000 to 2099"),
        ({"start": 4_102_444_800_000_000 - DAY}, "2000 to 2099"),
        ({"packing": "ndjson", "per_record": 2}, "a line of text"),
        ({"packing": "arrow"}, "a line of text"),
        ({"partitions": 2}, "a file is one partition"),
    ],
)
def test_what_a_file_cannot_hold_is_named(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        generate_file(tmp_path / "a", TrafficSpec(**given))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_overwritten_only_when_told(tmp_path: Path) -> None:
    generate_file(tmp_path / "a", SMALL)
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(SettingsError, match="--force"):
        generate_file(tmp_path / "a", TrafficSpec(events=100, seed=2))
    assert (tmp_path / "a").read_bytes() == before
    generate_file(tmp_path / "a", TrafficSpec(events=100, seed=2), force=True)
    assert (tmp_path / "a").read_bytes() != before


def test_a_folder_is_replaced_whole_and_never_with_others_files_in_it(tmp_path: Path) -> None:
    generate_folder(tmp_path / "a", TrafficSpec(events=100, partitions=3))
    with pytest.raises(SettingsError, match="--force"):
        generate_folder(tmp_path / "a", SMALL)
    generate_folder(tmp_path / "a", SMALL, force=True)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["part-0000.ndjson"]
    (tmp_path / "a" / "letters.txt").write_text("dear")
    with pytest.raises(SettingsError, match=r"letters\.txt"):
        generate_folder(tmp_path / "a", SMALL, force=True)
    assert (tmp_path / "a" / "letters.txt").read_text() == "dear"


def test_a_name_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    generate_file(tmp_path / "file", SMALL)
    generate_folder(tmp_path / "folder", SMALL)
    with pytest.raises(SettingsError, match="there is a file"):
        generate_folder(tmp_path / "file", SMALL, force=True)
    with pytest.raises(SettingsError, match="there is a folder"):
        generate_file(tmp_path / "folder", SMALL, force=True)


def test_a_run_that_is_stopped_leaves_no_file_that_looks_whole(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_file(tmp_path / "a", SMALL, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    assert not expected_path(tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": DEFAULT_START + DAY}, "future"),
        ({"span": DAY, "start": DEFAULT_START - DAY // 2}, "future"),
        ({"start": DEFAULT_START - 89 * DAY}, "too old"),
        ({"rate": 1_000.0, "events": 10_000, "span": DAY}, "future"),
    ],
)
def test_a_topics_times_must_fit_the_brokers_clock(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrafficSpec(**given).for_topic(DEFAULT_START)


def test_a_topics_events_are_near_now() -> None:
    resting = SMALL.for_topic(DEFAULT_START)
    assert resting.start is not None
    assert resting.span is not None
    assert resting.start + resting.span == DEFAULT_START
    paced = TrafficSpec(events=1_000, rate=100.0).for_topic(DEFAULT_START)
    assert (paced.start, paced.span) == (DEFAULT_START, 10_000_000)


def test_a_catalogue_of_ones_own_is_drawn_from(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text("categories: [{id: 7, name: api.call}, {id: 9, name: egress, unit: bytes}]")
    spec = TrafficSpec(events=1_000, meter=MeterSettings(load_catalogue(path)))
    expected = generate_file(tmp_path / "a", spec)
    assert {category for _, category in expected.totals()} == {"api.call", "egress"}
