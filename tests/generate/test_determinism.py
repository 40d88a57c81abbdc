"""The same spec gives the same bytes and the same expectation: in any chunks, at any rate, on any machine."""

import hashlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tally.generate import Expected, TrafficSpec, expected_path, generate_file, generate_folder
from tally.generate.pace import Pace
from tally.generate.spec import Format
from tests.generate.test_expected import specs


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(specs(), st.integers(1, 500))
@settings(deadline=None, max_examples=50)
def test_chunks_change_nothing(spec: TrafficSpec, chunk: int) -> None:
    with TemporaryDirectory() as folder:
        one = generate_folder(Path(folder) / "one", spec)
        two = generate_folder(Path(folder) / "two", spec, chunk=chunk)
        assert content(Path(folder) / "one") == content(Path(folder) / "two")
        kept = [expected_path(Path(folder) / name).read_bytes() for name in ("one", "two")]
        assert kept[0] == kept[1]
    assert one == two


def test_a_rate_changes_when_and_not_what(tmp_path: Path) -> None:
    waits: list[float] = []
    spec = TrafficSpec(events=5_000, span=3_600_000_000)
    generate_file(tmp_path / "fast", spec)
    generate_file(tmp_path / "paced", replace(spec, rate=100.0), sleep=waits.append)
    assert (tmp_path / "fast").read_bytes() == (tmp_path / "paced").read_bytes()
    assert 1 < max(waits) <= 50


def test_a_pace_waits_until_events_are_due() -> None:
    now, waits = [7.0], list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(1_000.0, sleep=sleep, clock=lambda: now[0])
    assert pace.chunk(16_384) == 50
    pace.keep(500)
    now[0] += 2.0  # the work took longer than its events' share of the time
    pace.keep(1_500)
    pace.keep(3_000)
    assert waits == [0.5, 0.5]
    free = Pace(None, sleep=sleep)
    free.keep(10**9)
    assert (free.chunk(16_384), len(waits)) == (16_384, 2)


def test_the_seed_changes_everything(tmp_path: Path) -> None:
    spec = TrafficSpec(events=1_000)
    generate_file(tmp_path / "one", spec)
    generate_file(tmp_path / "two", replace(spec, seed=2))
    one, two = ((tmp_path / name).read_bytes().splitlines() for name in ("one", "two"))
    assert not set(one) & set(two)


def test_an_event_does_not_depend_on_how_many_follow(tmp_path: Path) -> None:
    """The first events of a longer run at the same pace are those of a shorter one."""
    minute = 60_000_000
    generate_file(tmp_path / "short", TrafficSpec(events=600, span=10 * minute))
    generate_file(tmp_path / "long", TrafficSpec(events=1_200, span=20 * minute))
    assert (tmp_path / "long").read_bytes().startswith((tmp_path / "short").read_bytes())


@pytest.mark.parametrize(
    ("form", "digest"),
    [("tally", "bb4990f678e03b3a"), ("sentry-outcomes", "0744423c8037f70f"), ("cloudevents", "d28296cc9513261a")],
)
def test_the_bytes_of_this_version(form: Format, digest: str, tmp_path: Path) -> None:
    """A golden hash: a change here means that every kept expectation and benchmark hash changes with it."""
    spec = TrafficSpec(events=20_000, seed=42, format=form, partitions=1, malformed=0.01)
    generate_file(tmp_path / "a", spec)
    assert hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()[:16] == digest


def test_the_expectation_survives_its_file(tmp_path: Path) -> None:
    expected = generate_folder(tmp_path / "a", TrafficSpec(events=5_000, partitions=3))
    loaded = Expected.load(expected_path(tmp_path / "a"))
    assert loaded == expected
    assert loaded.compare_counts(expected.partitions) == []
