"""Progress told to Kafka as a consumer group's offsets, for the usual lag tools. Nobody here ever reads it.

The commit point is the progress row in the store. So a commit is asked for after that row was written, is never waited
for while the flow runs, and where it fails a message is all that comes of it.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from dataflows.sources.kafka_topic import PASSING, KafkaTopic, reason

ANSWER_TIMEOUT: Final = 5.0
"""Seconds after which a commit counts as failed."""

LAST_COMMIT: Final = 1.0
"""Seconds that the last commit may take, as the run ends."""

INTERVAL: Final = 1.0
"""Seconds from one commit to the next, at the least: a run may flush a hundred times a second."""

PATIENCE: Final = 30.0
"""Seconds for which a broker's restart may keep commits from succeeding before anybody is told."""

_RESTARTING: Final = PASSING | {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}


class GroupCommits:
    """Commits the offsets of one topic under a group's name; the newest ones, one request at a time.

    No method raises, and none but `close` waits. Not guaranteed: that every offset is committed, or any.
    """

    def __init__(
        self,
        topic: KafkaTopic,
        group: str,
        on_trouble: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_trouble` takes a message once commits fail; `clock` is monotonic seconds."""
        self._topic = topic
        self._group = group
        self._on_trouble = on_trouble
        self._clock = clock
        self._newest: dict[int, int] = {}
        self._asked_at: float | None = None
        self._failing_since: float | None = None
        self._told = False
        self._answer: Future[Any] | None = None

    def offer(self, offsets: Mapping[int, int]) -> None:
        """Take the offset up to which each of some partitions was counted; commit it when that is due."""
        self._newest.update(offsets)
        self._take_answer()
        if self._asked_at is None or self._clock() - self._asked_at >= INTERVAL:
            self._ask()

    def close(self) -> None:
        """Commit what was not committed yet; waits for no more than LAST_COMMIT seconds."""
        deadline = self._clock() + LAST_COMMIT
        while self._answer is not None or self._newest:
            self._ask()
            if self._answer is not None:
                try:
                    self._answer.exception(max(0.0, deadline - self._clock()))
                except TimeoutError:
                    return
            self._take_answer()
            if self._failing_since is not None:
                return

    def _ask(self) -> None:
        if self._answer is not None or not self._newest:
            return
        self._asked_at = self._clock()
        try:
            self._answer = self._topic.ask_commit(self._group, self._newest, ANSWER_TIMEOUT)
        except (KafkaException, ValueError, TypeError) as error:  # the client itself refuses the group's name, say
            self._failed(None, str(error))
        self._newest = {}

    def _take_answer(self) -> None:
        if self._answer is None or not self._answer.done():
            return
        answer, self._answer = self._answer, None
        problem = answer.exception()
        refused = [] if problem is not None else [at.error for at in answer.result().topic_partitions if at.error]
        if problem is None and not refused:
            self._failing_since, self._told = None, False
            return
        error = problem or refused[0]
        known = error.args[0] if isinstance(error, KafkaException) else error
        self._failed(known.code() if isinstance(known, KafkaError) else None, reason(error))

    def _failed(self, code: int | None, why: str) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        if self._told or (code in _RESTARTING and now - self._failing_since < PATIENCE):
            return
        self._told = True
        self._on_trouble(
            f"{self._topic.uri}: offsets are not committed as consumer group {self._group!r} ({why}): lag tools do not "
            "see this run; nothing is lost, and it goes on. The client needs Read on the group, which nobody else may "
            "be a member of; consumer_group names another, or turns this off"
        )
