"""What producers say that they sent against what arrived, for each topic, category and minute of event time.

What arrived is counted in usage rows. An event that was sent and is in none is in flight (its minute is not complete
yet), was rejected (then its dead letter has the category and minute), or was a duplicate: of those only the number in
a topic is known. So where fewer arrived than were sent, by no more altogether than the topic has duplicates, those
minutes are named as not checked. More than was sent is in flight while a producer is at work that may have sent it
after its last report, and a difference otherwise.

A topic's minutes are compared from the first one on of which there is any control total: what was sent before its
producers began to report is not compared.
"""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from schemas.differences import KEPT, Checked
from tally.reconcile.asking import Asking, where
from tally.units import show_instant

SECOND: Final = 1_000_000
SILENT: Final = 15 * 60 * SECOND
"""A producer that was not closed and has not reported for so long will not say any more what it sent."""

_TOPICS: Final = "SELECT topic, toUnixTimestamp(min(minute)) FROM control_totals {where} GROUP BY topic ORDER BY topic"

_MINUTES: Final = """
SELECT category, toUnixTimestamp(minute), s.events, s.quantity, u.events, u.quantity, l.events
FROM (
    SELECT toString(category) AS category,
        toStartOfInterval(t.minute, toIntervalSecond({{seconds:UInt32}})) AS minute,
        sum(toInt128(t.events)) AS events, sum(t.quantity) AS quantity
    FROM control_totals AS t FINAL {sent}
    GROUP BY category, minute
) AS s
FULL OUTER JOIN (
    SELECT toString(category) AS category,
        toStartOfInterval(w.window_start, toIntervalSecond({{seconds:UInt32}})) AS minute,
        sum(toInt128(w.events)) AS events, sum(toInt128(w.quantity)) AS quantity
    FROM active_windows AS w {counted}
    GROUP BY category, minute
) AS u USING (category, minute)
LEFT JOIN (
    SELECT JSONExtractString(raw, 'category') AS category,
        toStartOfInterval(toDateTime(parseDateTime64BestEffortOrZero(JSONExtractString(raw, 'timestamp'), 6, 'UTC')),
            toIntervalSecond({{seconds:UInt32}})) AS minute,
        toInt128(count()) AS events
    FROM active_letters WHERE topic = {{topic:String}}
    GROUP BY category, minute
) AS l USING (category, minute)
ORDER BY category, minute
"""

# Read before the usage, as completeness always is.
_TOPIC: Final = """
SELECT
    (SELECT if(count() = 0 OR count() < max(partitions) OR countIf(isNull(complete_to)) > 0, NULL,
            toUnixTimestamp64Micro(assumeNotNull(min(complete_to))))
        FROM completeness WHERE topic = {topic:String}),
    (SELECT sum(toInt128(duplicates)) FROM active_progress WHERE topic = {topic:String}),
    (SELECT toUnixTimestamp64Micro(max(sent_at))
        FROM (SELECT * FROM control_instances FINAL WHERE topic = {topic:String}) WHERE NOT closed)
"""


class Minute(NamedTuple):
    """A minute of a category: events and quantity as sent and as counted, and its rejected events."""

    category: str
    start: int
    sent: int
    sent_quantity: int
    counted: int
    counted_quantity: int
    rejected: int


@dataclass
class _Topic:
    name: str
    unit: int
    law: Checked
    complete_to: int | None
    duplicates: int
    at_work: bool
    fewer: int = 0
    unexplained: list[Minute] = field(default_factory=list)

    def check(self, one: Minute) -> None:
        """Judge one minute; fewer than were sent wait until all are known."""
        place = self._place(one, "events")
        short = one.sent - one.counted - one.rejected
        open_yet = self.complete_to is None or (one.start + self.unit) * SECOND > self.complete_to
        if (one.sent, one.sent_quantity) == (one.counted, one.counted_quantity) or (short == 0 and one.rejected):
            self.law.add(one.sent, one.counted + (one.rejected if short == 0 else 0))
        elif open_yet:
            self.law.name("in_flight", place, one.sent, one.counted, "the minute is not complete yet")
        elif short > 0:
            self.fewer += short
            if len(self.unexplained) < KEPT:
                self.unexplained.append(one)
        elif short < 0 and self.at_work:
            note = "a producer is at work that may have sent more after its last report"
            self.law.name("in_flight", place, one.sent, one.counted, note)
        elif short < 0:
            self.law.compare(place, one.sent, one.counted + one.rejected, "more arrived than was reported as sent")
        else:
            sides = one.sent_quantity, one.counted_quantity
            self.law.compare(self._place(one, "quantity"), *sides, summed=False)

    def end(self) -> None:
        """Judge the minutes in which fewer arrived than were sent."""
        could_be = 0 < self.fewer <= self.duplicates
        note = (
            f"{self.fewer} events fewer than were sent, in all such minutes; the topic has {self.duplicates} duplicates"
        )
        for one in self.unexplained:
            sides = one.sent, one.counted + one.rejected
            if could_be:
                self.law.name("not_checked", self._place(one, "events"), *sides, note)
            else:
                self.law.compare(self._place(one, "events"), *sides, note)

    def _place(self, one: Minute, column: str) -> dict[str, str | int]:
        minute = show_instant(one.start * SECOND)
        return {"topic": self.name, "category": one.category, "minute": minute, "column": column}


def control_laws(ask: Asking) -> list[Checked]:
    """Check control totals against what arrived."""
    law = Checked("control", "events as sent", "events as counted and rejected")
    topics, parameters = ask.asked.topics()
    found = ask.store.query(_TOPICS.format(where=where(topics)), parameters)
    if not found:
        law.skipped = "no producer has reported control totals"
    for topic, first in found:
        ask.on_step(f"control totals of {topic}")
        _check(ask, law, topic, first)
    return [law]


def _check(ask: Asking, law: Checked, topic: str, first: int) -> None:
    # Windows longer than a minute are compared as wholes; so are the bounds then.
    unit = max(60, ask.window // SECOND)
    asked = ask.asked.within(unit)
    if asked is None:
        return
    parameters: dict[str, Any] = {"topic": topic, "first": first - first % unit, "seconds": unit}
    complete_to, duplicates, last_report = ask.store.query(_TOPIC, parameters)[0]
    at_work = bool(last_report) and ask.at - last_report <= SILENT
    state = _Topic(topic, unit, law, complete_to, int(duplicates), at_work)
    clauses = {}
    for name, column in (("sent", "t.minute"), ("counted", "w.window_start")):
        bounds, given = asked.windows(column)
        parameters |= given
        mine = [
            f"{column.partition('.')[0]}.topic = {{topic:String}}",
            f"{column} >= toDateTime({{first:UInt32}}, 'UTC')",
        ]
        clauses[name] = where(mine, bounds)
    for row in ask.store.stream(_MINUTES.format(**clauses), parameters):
        state.check(Minute(row[0], *map(int, row[1:])))
    state.end()
