"""Rejected events against dead letters, by reason, for every partition and generation.

A letter has an offset, so what progress covers is told exactly; what lies past it was written by a run that is going
on or that stopped uncleanly. Where a log was metered again from its start, a letter of the newer generation stands in
the place of the older one's: such a generation's letters may be fewer than its rejections, and are not compared.
"""

from collections.abc import Iterator
from typing import Final

from schemas.differences import Checked
from tally.reconcile.asking import Asking, batched, where
from tally.reconcile.count_laws import AGAIN, Key, given_keys
from tally.reconcile.generations import LINEAGE

_GIVEN_LOGS: Final = """
(topic, partition) IN (
    SELECT tupleElement(given, 1), tupleElement(given, 2)
    FROM (SELECT arrayJoin(arrayZip({topics:Array(String)}, {partitions:Array(String)})) AS given)
)
"""

_PROGRESS: Final = """
SELECT topic, partition, generation, tupleElement(one, 1) AS reason, tupleElement(one, 2) AS rejected
FROM (
    SELECT topic, partition, generation, arrayJoin(CAST(rejected, 'Array(Tuple(String, UInt64))')) AS one
    FROM active_progress {where}
)
"""

_LETTERS: Final = """
SELECT topic, partition, generation, toString(reason) AS reason, countIf(offset < next_offset) AS covered,
    countIf(offset >= next_offset) AS past
FROM (SELECT topic, partition, generation, offset, reason FROM active_letters {where}) AS d
LEFT JOIN (SELECT topic, partition, generation, next_offset FROM active_progress {where}) AS p
    USING (topic, partition, generation)
GROUP BY topic, partition, generation, reason
"""

_EVERYTHING: Final = """
SELECT c.topic, c.partition, c.generation, c.reason, c.rejected, c.covered, c.past, g.newest, g.again
FROM (
    SELECT topic, partition, generation, reason, p.rejected AS rejected, l.covered AS covered, l.past AS past
    FROM ({progress}) AS p FULL OUTER JOIN ({letters}) AS l USING (topic, partition, generation, reason)
) AS c
LEFT JOIN ({lineage}) AS g USING (topic, partition, generation)
ORDER BY c.topic, c.partition, c.generation, c.reason
"""

Row = tuple[Key, str, int, int, int, bool, bool]
"""A generation, a reason, how often progress has it, its letters that progress covers and those past it; whether the
generation is the newest, and whether the log was metered again since."""


def letter_laws(ask: Asking) -> list[Checked]:
    """Check rejected events against dead letters."""
    ask.on_step("dead letters")
    law = Checked("rejected", "rejected, by reason", "dead letters")
    topics, parameters = ask.asked.topics()
    for some in batched(_rows(ask, topics, parameters), 10 * AGAIN):
        unequal = [(row[0], 0) for row in some if row[2] != row[3] or row[4]]
        now: dict[tuple[Key, str], Row] = {}
        for page in batched(unequal, AGAIN):
            # Letters are written before the progress that counts them: what is read twice and is still unequal, is.
            given = {name: value for name, value in given_keys(page).items() if name in {"topics", "partitions"}}
            now |= {(row[0], row[1]): row for row in _rows(ask, [_GIVEN_LOGS], given)}
        for row in some:
            _check(law, now.get((row[0], row[1]), row))
    return [law]


def _rows(ask: Asking, conditions: list[str], parameters: dict[str, object]) -> Iterator[Row]:
    only = where(conditions)
    sql = _EVERYTHING.format(
        progress=_PROGRESS.format(where=only), letters=_LETTERS.format(where=only), lineage=LINEAGE.format(where=only)
    )
    for topic, partition, generation, reason, rejected, covered, past, newest, again in ask.store.stream(
        sql, parameters
    ):
        yield Key(topic, partition, generation), reason, rejected, covered, past, bool(newest), bool(again)


def _check(law: Checked, row: Row) -> None:
    key, reason, rejected, covered, past, newest, again = row
    place = {**key.place, "reason": reason}
    if again and covered <= rejected:
        if covered != rejected:
            note = "the log was metered again since: a newer generation's letters stand in the place of these"
            law.name("not_checked", place, rejected, covered, note)
        return
    law.compare(place, rejected, covered)
    if past and newest:
        note = "letters past progress: the run is going on, or stopped uncleanly; the next one covers them"
        law.name("in_flight", place, 0, past, note)
