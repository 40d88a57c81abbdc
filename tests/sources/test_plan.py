"""A run over several sources: what is refused before anything is read, and an input that turns out too short."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dataflows.metering import Meters
from dataflows.plan import Options, list_sources, make_plan
from dataflows.reading import Control, Opened, Tick
from dataflows.resume import start_of
from dataflows.sources.base import LogEnd, Source
from dataflows.sources.files import FileSource
from dataflows.sources.stdin import StdinSource
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress

SETTINGS = MeterSettings(load_catalogue())


class NewStore:
    """A store that has seen no log yet."""

    def progress(self) -> Mapping[LogId, Progress]:
        return {}

    def retired_topics(self) -> set[str]:
        return set()

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        raise AssertionError((log, generation, next_offset))


def plan(*sources: Source, again: bool = False) -> list[LogId]:
    listings = list_sources(sources, lambda: 0)
    return [planned.listed.log for planned in make_plan(listings, SETTINGS, NewStore(), Options(again=again)).logs]


def test_two_sources_of_one_content_are_refused_unless_it_is_meant(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("{}\n")
    sources = [FileSource(tmp_path / "a"), FileSource(tmp_path / "b")]
    with pytest.raises(SourceError, match=r"b/b: this file's content is also that of a/a"):
        plan(*sources)
    assert plan(*sources, again=True) == [LogId("a", "a"), LogId("b", "b")]


def test_a_source_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("[]\n")
    with pytest.raises(SettingsError, match=r"a/a is named twice \(file:.*/a\)"):
        plan(FileSource(tmp_path / "a"), FileSource(tmp_path / "a"), again=True)
    with pytest.raises(SettingsError, match=r"a/a would be both .*/a and .*/folder/a.*--name"):
        plan(FileSource(tmp_path / "a"), FileSource(tmp_path / "folder" / "a"))


@pytest.mark.parametrize(("next_offset", "refused"), [(10, True), (9, False), (3, False)])
def test_an_input_that_ends_before_its_progress_is_refused(next_offset: int, refused: bool) -> None:
    content = b"1\n2\n3\n4\n\n"
    listed = StdinSource(io.BytesIO(content), name="piped").list_logs()[0]
    fresh = start_of(listed, None, SETTINGS, rows_past_progress=False).progress
    control = Control()
    opened = Opened(replace(fresh, next_offset=next_offset), broker_clock=False)
    Meters(SETTINGS, control)([opened, Tick((listed.log,), {listed.log: LogEnd(len(content), 7)})])
    if refused:
        assert isinstance(control.failure, SourceError)
        assert f"ended at byte {len(content)}, but was metered up to byte {next_offset}" in str(control.failure)
    else:
        assert control.failure is None
