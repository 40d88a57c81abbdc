"""Where a run starts: every way in which the log, the settings and the store fit, or do not."""

from dataclasses import replace
from typing import Any

import pytest

from dataflows.resume import check_known_content, start_of
from dataflows.sources.base import ListedLog
from schemas.catalogue import load_catalogue
from schemas.errors import SourceError, UncleanStop
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Counts, Mark, Progress

SETTINGS = MeterSettings(load_catalogue())
CHANGED = replace(SETTINGS, window=SETTINGS.window * 5)

TOPIC = ListedLog(LogId("usage", "3"), 0, 1000, False, 8, {"uri": "kafka://b:9092/usage", "topic_id": "one"})
FILE = ListedLog(
    LogId("november", "a.jsonl"),
    0,
    1000,
    True,
    1,
    {"uri": "file:///a.jsonl", "size": 1000, "head": "h", "tail": "t"},
)


def metered(listed: ListedLog, **changes: Any) -> Progress:
    """Progress at offset 500 of a log, in the middle of generation 2, with its mark at 300."""
    progress = Progress(
        log=listed.log,
        generation=2,
        fingerprint=SETTINGS.fingerprint(),
        start_offset=100,
        next_offset=500,
        mark=Mark(300, 3_000_000, 2_000_000, 400),
        clock=5_000_000,
        max_timestamp=4_000_000,
        watermark=3_500_000,
        finite=listed.finite,
        partitions=listed.partitions,
        source=listed.identity,
        counts=Counts(records=400, events=400, accepted=400, quantity=400),
    )
    return replace(progress, **changes)


def renamed(listed: ListedLog, partition: str, **identity: Any) -> ListedLog:
    changed = {**listed.identity, "uri": f"file:///{partition}", **identity}
    return replace(listed, log=listed.log._replace(partition=partition), identity=changed)


@pytest.mark.parametrize("listed", [TOPIC, FILE, replace(TOPIC, log_start=70)])
def test_a_new_log_starts_at_its_first_record(listed: ListedLog) -> None:
    start = start_of(listed, None, SETTINGS, rows_past_progress=False)
    first = listed.log_start
    assert start.note == ""
    assert start.progress == Progress(
        log=listed.log,
        generation=1,
        fingerprint=SETTINGS.fingerprint(),
        start_offset=first,
        next_offset=first,
        mark=Mark(first, None, None, first),
        finite=listed.finite,
        partitions=listed.partitions,
        source=listed.identity,
    )


@pytest.mark.parametrize("listed", [TOPIC, FILE])
@pytest.mark.parametrize("rows_past_progress", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_known_log_goes_on_from_its_progress(listed: ListedLog, rows_past_progress: bool, again: bool) -> None:
    stored = metered(listed)
    start = start_of(listed, stored, SETTINGS, rows_past_progress=rows_past_progress, again=again)
    assert (start.progress, start.note) == (stored, "")


def test_what_the_source_says_today_is_kept() -> None:
    grown = replace(TOPIC, partitions=16, identity={**TOPIC.identity, "uri": "kafka://other:9092/usage"})
    start = start_of(grown, metered(TOPIC), SETTINGS, rows_past_progress=False)
    assert start.progress == metered(TOPIC, partitions=16, source=grown.identity)


def test_a_mark_at_the_logs_start_is_there() -> None:
    listed = replace(TOPIC, log_start=300)
    assert start_of(listed, metered(TOPIC), SETTINGS, rows_past_progress=True).progress == metered(TOPIC)


@pytest.mark.parametrize("key", ["size", "head", "tail"])
def test_a_changed_file_is_refused(key: str) -> None:
    changed = renamed(FILE, "a.jsonl", **{key: 7})
    with pytest.raises(
        SourceError, match=rf"november/a.jsonl: the file .*\({key} changed\).*--again.*Nothing was written"
    ):
        start_of(changed, metered(FILE), SETTINGS, rows_past_progress=False)


def test_a_changed_file_that_is_meant_is_metered_whole_in_a_generation_of_its_own() -> None:
    changed = replace(renamed(FILE, "a.jsonl", size=400, tail="u"), log_end=400)  # shorter than its progress
    start = start_of(changed, metered(FILE), SETTINGS, rows_past_progress=True, again=True)
    assert "again from its start" in start.note
    fresh = start_of(changed, None, SETTINGS, rows_past_progress=False).progress
    assert start.progress == replace(fresh, generation=3)


def test_a_topic_made_again_under_its_name_is_refused() -> None:
    other = replace(TOPIC, identity={**TOPIC.identity, "topic_id": "two"})
    with pytest.raises(SourceError, match=r"usage/3: the topic is not .*topic id one, now two.*another name"):
        start_of(other, metered(TOPIC), SETTINGS, rows_past_progress=False)


def test_changed_settings_start_a_generation_where_the_last_one_stopped() -> None:
    start = start_of(TOPIC, metered(TOPIC), CHANGED, rows_past_progress=False)
    assert "generation 3 starts here" in start.note
    assert start.progress == metered(
        TOPIC,
        generation=3,
        fingerprint=CHANGED.fingerprint(),
        start_offset=500,
        mark=Mark(300, 3_000_000, 2_000_000, 500),  # the index is warmed as before, and nothing counted twice
        counts=Counts(),
    )


def test_changed_settings_after_an_unclean_stop_are_refused() -> None:
    with pytest.raises(UncleanStop, match=r"usage/3: the metering settings changed .*past offset 500\. Run once more"):
        start_of(TOPIC, metered(TOPIC), CHANGED, rows_past_progress=True)


def test_changed_settings_do_not_matter_to_a_file_that_is_finished() -> None:
    stored = metered(FILE, next_offset=1000)
    for rows_past_progress in (False, True):
        start = start_of(FILE, stored, CHANGED, rows_past_progress=rows_past_progress)
        assert (start.progress, start.note) == (stored, "")
    everything_read = metered(TOPIC, next_offset=1000)  # but a topic goes on
    assert start_of(TOPIC, everything_read, CHANGED, rows_past_progress=False).progress.generation == 3


@pytest.mark.parametrize("log_start", [301, 500])
@pytest.mark.parametrize("settings", [SETTINGS, CHANGED])
def test_without_its_mark_a_partition_goes_on_with_an_empty_index(log_start: int, settings: MeterSettings) -> None:
    listed = replace(TOPIC, log_start=log_start)
    start = start_of(listed, metered(TOPIC), settings, rows_past_progress=False)
    assert "retention deleted the replay mark; generation 3 starts at offset 500" in start.note
    assert "less than 660 s" in start.note
    assert start.progress == metered(
        TOPIC,
        generation=3,
        fingerprint=settings.fingerprint(),
        start_offset=500,
        mark=Mark(500, 5_000_000, 4_000_000, 500),
        counts=Counts(),
    )
    assert start.progress.mark.warm_offset >= listed.log_start


@pytest.mark.parametrize("settings", [SETTINGS, CHANGED])
def test_without_its_mark_after_an_unclean_stop_a_partition_is_refused(settings: MeterSettings) -> None:
    with pytest.raises(
        UncleanStop, match=r"usage/3: the log starts at offset 301, after the replay mark 300, and usage"
    ):
        start_of(replace(TOPIC, log_start=301), metered(TOPIC), settings, rows_past_progress=True)


def test_lost_records_are_refused() -> None:
    with pytest.raises(
        SourceError, match=r"records were lost: .*starts at offset 507.*before 500.*7 offsets from 500 on"
    ):
        start_of(replace(TOPIC, log_start=507), metered(TOPIC), SETTINGS, rows_past_progress=False)


def test_progress_past_the_logs_end_is_refused() -> None:
    with pytest.raises(SourceError, match=r"progress is at offset 500, past the log's end at 499"):
        start_of(replace(TOPIC, log_end=499), metered(TOPIC), SETTINGS, rows_past_progress=False)
    at_end = start_of(replace(TOPIC, log_end=500), metered(TOPIC), SETTINGS, rows_past_progress=False)
    unknown = start_of(replace(TOPIC, log_end=None), metered(TOPIC), SETTINGS, rows_past_progress=False)
    assert at_end.progress == unknown.progress == metered(TOPIC)


def known(*listed: ListedLog) -> dict[LogId, Progress]:
    return {each.log: metered(each) for each in listed}


def test_known_content_under_another_name_is_refused_unless_it_is_meant() -> None:
    copy = renamed(FILE, "copy.jsonl")
    with pytest.raises(SourceError, match=r"november/copy.jsonl: .* was metered already as november/a.jsonl .*--again"):
        check_known_content([FILE, copy], known(FILE), again=False)
    with pytest.raises(SourceError, match="metered already"):
        check_known_content([replace(FILE, log=LogId("december", "a.jsonl"))], known(FILE), again=False)
    check_known_content([FILE, copy], known(FILE), again=True)


def test_two_new_files_of_one_content_are_refused_unless_it_is_meant() -> None:
    files = [FILE, renamed(FILE, "copy.jsonl")]
    with pytest.raises(SourceError, match=r"november/copy.jsonl: .* is also that of november/a.jsonl"):
        check_known_content(files, {}, again=False)
    check_known_content(files, {}, again=True)


def test_content_that_was_meant_twice_goes_on_without_asking_again() -> None:
    files = [FILE, renamed(FILE, "copy.jsonl")]
    for order in (files, files[::-1]):
        check_known_content(order, known(*order), again=False)
        with pytest.raises(SourceError, match="metered already"):
            check_known_content([*order, renamed(FILE, "third.jsonl")], known(*order), again=False)


def test_a_known_file_that_now_has_anothers_content_is_refused() -> None:
    before = renamed(FILE, "b.jsonl", head="other")
    with pytest.raises(SourceError, match=r"b.jsonl: .* metered already as november/a.jsonl"):
        check_known_content([FILE, renamed(FILE, "b.jsonl")], known(FILE, before), again=False)


@pytest.mark.parametrize("key", ["size", "head", "tail"])
def test_other_content_passes(key: str) -> None:
    check_known_content([FILE, renamed(FILE, "b.jsonl", **{key: 7})], known(FILE), again=False)


def test_files_without_a_record_and_what_is_no_file_pass() -> None:
    empty = {"size": 0, "head": "e", "tail": ""}
    check_known_content([renamed(FILE, name, **empty) for name in ("a", "b")], {}, again=False)
    check_known_content([TOPIC, replace(TOPIC, log=LogId("usage", "4"))], {}, again=False)
    heads = [replace(FILE, log=LogId(name, "0"), identity={"uri": "-", "head": "h"}) for name in ("a", "b")]
    check_known_content(heads, {}, again=False)


def test_a_gap_that_is_accepted_starts_a_generation_that_says_for_ever_what_is_gone() -> None:
    stored = metered(TOPIC)
    listed = replace(TOPIC, log_start=stored.next_offset + 7, log_end=stored.next_offset + 50)
    with pytest.raises(SourceError, match="--accept-gap"):
        start_of(listed, stored, SETTINGS, rows_past_progress=False)
    with pytest.raises(UncleanStop, match="records are gone"):
        start_of(listed, stored, SETTINGS, rows_past_progress=True, accept_gap=True)
    start = start_of(listed, stored, SETTINGS, rows_past_progress=False, accept_gap=True)
    first = listed.log_start
    assert (start.progress.generation, start.progress.start_offset) == (stored.generation + 1, first)
    assert (start.progress.next_offset, start.progress.mark.warm_offset, start.progress.mark.count_from) == (first,) * 3
    assert (start.progress.clock, start.progress.counts.events) == (stored.clock, 0)
    assert start.progress.source["gaps"] == [[stored.next_offset, first]]
    assert "7 offsets" in start.note
    # A later start keeps the first gap, and adds its own.
    later = start_of(listed, start.progress, SETTINGS, rows_past_progress=False)
    assert later.progress.source["gaps"] == [[stored.next_offset, first]]
    again = start_of(
        replace(listed, log_start=first + 10), later.progress, SETTINGS, rows_past_progress=False, accept_gap=True
    )
    assert again.progress.source["gaps"] == [[stored.next_offset, first], [first, first + 10]]


def test_without_a_gap_accepting_one_changes_nothing() -> None:
    start = start_of(TOPIC, metered(TOPIC), SETTINGS, rows_past_progress=True, accept_gap=True)
    assert start.progress == metered(TOPIC)
