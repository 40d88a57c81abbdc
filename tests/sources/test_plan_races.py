"""A plan that is made while another run goes on: what was listed may be older than the progress read after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from dataflows.plan import list_sources, make_plan
from dataflows.resume import start_of
from dataflows.sources.base import ListedLog, Reader
from schemas.catalogue import load_catalogue
from schemas.errors import SourceError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress

SETTINGS = MeterSettings(load_catalogue())
LOG = LogId("topic", "0")


@dataclass
class Topic:
    """A topic of one partition, which ends further on each time it is listed."""

    ends: list[int]
    broker_clock: bool = True

    def list_logs(self) -> Sequence[ListedLog]:
        return [listed(self.ends.pop(0))]

    def open(self, starts: Mapping[LogId, int]) -> Reader:
        raise AssertionError(starts)


def listed(end: int) -> ListedLog:
    return ListedLog(LOG, log_start=0, log_end=end, finite=False, partitions=1, identity={"topic_id": "x"})


class WrittenStore:
    """A store in which the topic was metered up to an offset."""

    def __init__(self, next_offset: int) -> None:
        fresh = start_of(listed(next_offset), None, SETTINGS, rows_past_progress=False).progress
        self._progress = Progress(LOG, 1, fresh.fingerprint, 0, next_offset, fresh.mark, source=fresh.source)

    def progress(self) -> Mapping[LogId, Progress]:
        return {LOG: self._progress}

    def retired_topics(self) -> set[str]:
        return set()

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        raise AssertionError((log, generation, next_offset))


def test_a_run_that_goes_on_while_its_successor_starts_is_no_lost_tail() -> None:
    topic = Topic([10, 14])
    made = make_plan(list_sources([topic], lambda: 7), SETTINGS, WrittenStore(12))
    (planned,) = made.logs
    assert planned.progress.next_offset == 12
    assert (planned.progress.log_end, planned.progress.log_end_seen_at) == (14, 7)
    assert topic.ends == []


def test_a_log_that_has_lost_its_tail_is_still_refused() -> None:
    with pytest.raises(SourceError, match="progress is at offset 12, past the log's end at 10"):
        make_plan(list_sources([Topic([10, 10])], lambda: 7), SETTINGS, WrittenStore(12))
