"""Sends the reports on what was acknowledged, and learns what became of them. Use under the producer's lock."""

from collections import deque
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.controls import Report, to_wire
from tally.producer.outbox import Deliver
from tally.producer.totals import Publish, Totals

SendReport = Callable[[bytes, bytes, Deliver], None]
"""Queue a report by key and value."""

NOT_TAKEN: Final = "the client did not take it"


class Reporter:
    """The way of a producer's totals into the topic of reports."""

    def __init__(self, totals: Totals, send: SendReport) -> None:
        self.totals = totals
        self._send = send
        self._answers: deque[tuple[Publish, Report, str | None]] = deque()

    def publish(self, now: int, *, closing: bool = False) -> Publish | None:
        """Send the reports that are due; None when there are none. `now`: microseconds UTC."""
        made = self.totals.publish(now, closing=closing)
        for report in made.reports if made else ():
            assert made is not None
            try:
                self._send(report.key(), to_wire(report), self._deliver(made, report))
            except (KafkaException, BufferError) as error:
                self._answers.append((made, report, str(error) or NOT_TAKEN))
        return made

    def _deliver(self, publish: Publish, report: Report) -> Deliver:
        answers = self._answers

        def deliver(error: KafkaError | None, _: Message) -> None:
            answers.append((publish, report, None if error is None else error.str()))

        return deliver

    def settle(self) -> None:
        """Take in what the client has answered since the last time."""
        while self._answers:
            self.totals.answered(*self._answers.popleft())
