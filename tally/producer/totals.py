"""What a producer has had acknowledged, by category and minute, and the reports on it. Pure: no clock, no broker.

A failed report is made again with what is known by then. After `most` minutes and categories the instance is ended and
another one begins, so that a producer which runs for years does not hold every minute of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from schemas.controls import ControlInstance, ControlTotal, Report
from tally.producer.packing import Tally

MOST: Final = 20_000
"""Totals of one instance: some ten million bytes."""


@dataclass(slots=True)
class Publish:
    """Reports that go out together. `left`: how many have no answer yet."""

    reports: list[Report]
    left: int
    problem: str = ""
    """Why one of them did not arrive."""


@dataclass(slots=True)
class _Instance:
    name: str
    started_at: int
    sequence: int = 0
    events: int = 0
    quantity: int = 0
    totals: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    dirty: set[tuple[str, int]] = field(default_factory=set)
    untold: bool = True
    """Whether its own report is due."""


class Totals:
    """The totals of one producer."""

    def __init__(self, topic: str, source: str, name: Callable[[], str], now: int, *, most: int = MOST) -> None:
        """Take the topic of the events, the producer's name, and `name`, which makes names of instances."""
        self._topic, self._source = topic, source
        self._name = name
        self._most = most
        self._instance = _Instance(name(), now)
        self._again: list[Report] = []
        self.open: list[Publish] = []
        """Publishes without all their answers, the oldest first."""

    @property
    def instance(self) -> str:
        """Return the name of the instance that counts now."""
        return self._instance.name

    @property
    def due(self) -> bool:
        """Say whether there is anything that has not been reported."""
        return bool(self._again or self._instance.dirty or self._instance.untold)

    def add(self, tally: Tally) -> None:
        """Count events whose delivery was acknowledged."""
        mine = self._instance
        for key, (events, quantity) in tally.items():
            before = mine.totals.get(key, (0, 0))
            mine.totals[key] = (before[0] + events, before[1] + quantity)
            mine.dirty.add(key)
            mine.events += events
            mine.quantity += quantity
        mine.untold = True

    def beat(self) -> None:
        """Have the instance report itself, although nothing may have changed."""
        self._instance.untold = True

    def publish(self, now: int, *, closing: bool = False) -> Publish | None:
        """Return the reports that are due, the instance's own last; None when there are none. `now`: microseconds.

        `closing`: this is the end of the instance. Every report is to be given to `answered`.
        """
        if not (self.due or closing):
            return None
        reports, self._again = self._again, []
        mine = self._instance
        if closing or mine.dirty or mine.untold:
            ends = closing or len(mine.totals) >= self._most
            reports += self._reports(mine, now, ends=ends)
            if ends:
                self._instance = _Instance(self._name(), now, untold=not closing)
        made = Publish(reports, left=len(reports))
        self.open.append(made)
        return made

    def _reports(self, mine: _Instance, now: int, *, ends: bool) -> list[Report]:
        mine.sequence += 1
        reports: list[Report] = [
            ControlTotal(
                topic=self._topic,
                source=self._source,
                instance=mine.name,
                sequence=mine.sequence,
                sent_at=now,
                category=category,
                minute=minute,
                events=mine.totals[category, minute][0],
                quantity=mine.totals[category, minute][1],
            )
            for category, minute in sorted(mine.dirty)
        ]
        mine.dirty.clear()
        mine.untold = False
        own = ControlInstance(
            topic=self._topic,
            source=self._source,
            instance=mine.name,
            sequence=mine.sequence,
            sent_at=now,
            started_at=mine.started_at,
            closed=ends,
            events=mine.events,
            quantity=mine.quantity,
        )
        return [*reports, own]

    def answered(self, publish: Publish, report: Report, problem: str | None) -> None:
        """Note that a report was delivered, or why it was not: then it is due again."""
        publish.left -= 1
        if problem is not None:
            publish.problem = problem
            mine = self._instance
            if report.instance != mine.name:
                self._again.append(report)
            elif isinstance(report, ControlTotal):
                mine.dirty.add((report.category, report.minute))
            else:
                mine.untold = True
        if not publish.left:
            self.open.remove(publish)
