"""Sights of the ends of a topic's logs, taken about once a second while it is read, without ever waiting.

A sight (offset, seen_at) promises: every record that was in the log at `seen_at` lies below `offset`, and none of them
can become readable any more that is not so already. An open transaction breaks the second half: its records are in
the log, but come out when it commits. So a high watermark becomes a sight only when the last stable offset, asked for
afterwards, has reached it; until then the last sight stands. A partition is then neither called complete over
the head of an open transaction, nor left unread for ever by one that does not end.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException

from dataflows.sources.base import LogEnd
from dataflows.sources.kafka_topic import PASSING, Described, KafkaTopic, Question, described, reason
from schemas.errors import SourceError

INTERVAL: Final = 1_000_000
"""Microseconds from one round of questions to the next."""

ANSWER_TIMEOUT: Final = 5.0
"""Seconds after which a question counts as unanswered."""

PATIENCE: Final = 5_000_000
"""Microseconds without a whole round of answers before anybody is told."""


class Sights:
    """The rule above, without a broker: high watermarks and last stable offsets in, sights out."""

    def __init__(self) -> None:
        self.ends: dict[int, LogEnd] = {}
        self._pending: dict[int, LogEnd] = {}

    def high(self, partition: int, offset: int, asked_at: int) -> None:
        """Take a high watermark that was asked for at that instant; the oldest undecided one is kept."""
        self._pending.setdefault(partition, LogEnd(offset, asked_at))

    def stable(self, partition: int, offset: int) -> None:
        """Take a last stable offset that was asked for after the pending high watermark."""
        pending = self._pending.get(partition)
        if pending is not None and offset >= pending.offset:
            self.ends[partition] = self._pending.pop(partition)


class EndWatcher:
    """Asks for high watermarks, then last stable offsets, then the topic's description; again after an interval."""

    def __init__(
        self, topic: KafkaTopic, known: Described, partitions: Sequence[int], *, growth_matters: bool = True
    ) -> None:
        """Watch those partitions of a topic that was described as `known`.

        `growth_matters`: a partition that is added while reading stops the reader, since nobody would read it.
        """
        self._topic = topic
        self._known = known
        self._partitions = tuple(partitions)
        self._growth_matters = growth_matters
        self._sights = Sights()
        self._asked_at = 0
        self._due = 0
        self._looked_at = 0
        self._looking_since = 0
        self._step: Callable[[], None] | None = None
        self._question = Question({})
        self._description: Future[Any] | None = None
        self._failing_since: int | None = None
        self._trouble: str | None = None

    @property
    def ends(self) -> Mapping[int, LogEnd]:
        """Return the newest sight of each partition's end."""
        return self._sights.ends

    def tick(self, now: int) -> None:
        """Take the answers that have come and ask what is due, at `now` (microseconds UTC).

        Raises SourceError when the topic is no longer the one that is being read.
        """
        if now - self._looked_at > INTERVAL:
            self._looking_since = now  # the reader was busy elsewhere: nobody was waiting for an answer
        self._looked_at = now
        if self._step is not None:
            self._step()
        elif self._partitions and not self._asked_at <= now < self._due:  # a clock set back must not silence it
            self._asked_at = now
            self._due = now + INTERVAL
            self._question = self._topic.ask_offsets("high", self._partitions, ANSWER_TIMEOUT)
            self._step = self._take_high

    def waiting(self, now: int) -> str | None:
        """Return what the reader has been waiting for, when it has been so for more than PATIENCE; else None."""
        self._trouble = self._topic.trouble() or self._trouble
        since = self._failing_since
        if since is None and self._step is not None:
            since = max(self._asked_at, self._looking_since)
        if since is None or now - since < PATIENCE:
            return None
        return f"out of reach for {(now - since) // 1_000_000} s ({self._trouble or 'no reason given'})"

    def _take_high(self) -> None:
        if not self._question.done:
            return
        found, wrong = self._question.answers()
        for partition, offset in found.items():
            self._sights.high(partition, offset, self._asked_at)
        if wrong is not None:
            self._end_round(wrong)
            return
        self._question = self._topic.ask_offsets("stable", self._partitions, ANSWER_TIMEOUT)
        self._step = self._take_stable

    def _take_stable(self) -> None:
        if not self._question.done:
            return
        found, wrong = self._question.answers()
        for partition, offset in found.items():
            self._sights.stable(partition, offset)
        if wrong is not None:
            self._end_round(wrong)
            return
        self._description = self._topic.ask_description()
        self._step = self._take_description

    def _take_description(self) -> None:
        assert self._description is not None
        if not self._description.done():
            return
        problem = self._description.exception()
        if problem is None:
            self._compare(described(self._description.result()))
        elif not isinstance(problem, KafkaException) or problem.args[0].code() not in PASSING:
            raise SourceError(f"{self._topic.uri}: {reason(problem)}") from problem
        self._end_round(None if problem is None else reason(problem))

    def _compare(self, now: Described) -> None:
        if now.topic_id != self._known.topic_id:
            raise SourceError(
                f"{self._topic.uri}: the topic was deleted and created again while it was being read (its id was "
                f"{self._known.topic_id}, now it is {now.topic_id}); give the new one another name"
            )
        if self._growth_matters and now.partitions != self._known.partitions:
            raise SourceError(
                f"{self._topic.uri}: the topic has {len(now.partitions)} partitions now, of which "
                f"{len(self._known.partitions)} are being read; start again to read them all"
            )

    def _end_round(self, wrong: str | None) -> None:
        self._step = None
        if wrong is None:
            self._failing_since = None
            self._trouble = None
        else:
            self._trouble = wrong
            if self._failing_since is None:
                self._failing_since = self._asked_at
