"""A run's progress committed to Kafka as consumer groups' offsets, once it is in the store: for information only."""

from collections.abc import Callable, Sequence
from typing import Final

from dataflows.sources.base import Source
from dataflows.sources.kafka import KafkaSource
from dataflows.sources.kafka_commits import GroupCommits
from schemas.usage import Flush

TOPIC: Final = "{topic}"
"""Stands for the topic's name in the setting `consumer_group`."""


class Commits:
    """The commits of every Kafka topic that a run reads; a log of another kind is left alone."""

    def __init__(self, sources: Sequence[Source], group: str | None, on_trouble: Callable[[str], None]) -> None:
        """`group` is the setting (None: commit nothing); `on_trouble` takes a message where commits fail."""
        self._topics: dict[str, GroupCommits] = {}
        if group is not None:
            topics = [source for source in sources if isinstance(source, KafkaSource)]
            self._topics = {
                source.topic: source.commits(group.replace(TOPIC, source.topic), on_trouble) for source in topics
            }

    def wrote(self, flushes: Sequence[Flush]) -> None:
        """Take what has reached the store. Does not wait."""
        for topic, commits in self._topics.items():
            # A folder of files may have the topic's name.
            ours = [flush.progress for flush in flushes if flush.progress.log.topic == topic]
            if read := [progress for progress in ours if not progress.finite]:
                commits.offer({int(progress.log.partition): progress.next_offset for progress in read})

    def then(self, wrote: Callable[[Sequence[Flush]], None]) -> Callable[[Sequence[Flush]], None]:
        """Return what takes a written flush and hands it on."""

        def both(flushes: Sequence[Flush]) -> None:
            self.wrote(flushes)
            wrote(flushes)

        return both if self._topics else wrote

    def close(self) -> None:
        """Commit what was not committed yet, within about a second a topic."""
        for commits in self._topics.values():
            commits.close()
