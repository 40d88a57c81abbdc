"""Logs that are found again: one client and one listing for all partitions of a topic; when their ends were seen."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dataflows.sources.base import ListedLog
from dataflows.sources.kafka import KafkaSource
from schemas.errors import SourceError
from schemas.log import LogId
from schemas.progress import Mark, Progress
from sinks.store import Store
from tally.remeter.ranges import Asked
from tally.remeter.run import find_targets, plan_remeter
from tally.rereading import Listed, LogAgain, reopen
from tally.settings import load_settings
from tests.queries.relogged import LOG
from tests.remeter.steps import AT, take_up
from tests.remeter.test_sequences import SHORT, WIDE, log

URI = "kafka://127.0.0.1:1/usage"
PARTITIONS = 20


def metered(partition: int) -> Progress:
    return Progress(
        log=LogId("usage", str(partition)),
        generation=1,
        fingerprint="",
        start_offset=0,
        next_offset=1,
        mark=Mark(0, None, None, 0),
        source={"uri": URI},
    )


def test_all_partitions_of_a_topic_are_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    listings: list[KafkaSource] = []

    def list_logs(source: KafkaSource) -> Sequence[ListedLog]:
        listings.append(source)
        return [
            ListedLog(LogId("usage", str(number)), 0, number, False, PARTITIONS, {"uri": URI})
            for number in range(PARTITIONS)
        ]

    monkeypatch.setattr(KafkaSource, "list_logs", list_logs)
    settings = load_settings(store="chdb:unused")
    known: dict[str, Listed] = {}
    found = [reopen(metered(number), settings, lambda: AT, print, known) for number in range(PARTITIONS)]
    assert len(listings) == 1
    assert [one.source for one in found] == listings * PARTITIONS
    assert [one.listed.log_end for one in found] == list(range(PARTITIONS))
    with pytest.raises(SourceError, match="has no such partition any more"):
        reopen(metered(PARTITIONS), settings, lambda: AT, print, known)
    reopen(metered(0), settings, lambda: AT, print)
    assert len(listings) == 2, "one that is asked for by itself is listed as it is now"


def test_the_end_of_a_log_was_seen_when_it_was_listed_and_not_later(store: Store) -> None:
    source = log((0, "a", 1), (30, "b", 1))
    take_up(store, source, WIDE)
    now = [AT]

    def find(progress: Progress) -> LogAgain:
        listed = replace(source.list_logs()[0], log=progress.log)
        now[0] += 1_000_000
        return LogAgain(progress.log, source, listed)

    targets = find_targets(store, LOG.topic, None, Asked()) * 2
    planned = plan_remeter(store, SHORT, LOG.topic, targets, find, lambda: now[0])
    assert [one.log_end_seen_at for one in planned.progress] == [AT, AT]
