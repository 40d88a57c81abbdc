"""Replayed dead letters against their usage rows: each that was counted has its row, and each row its letter."""

from typing import Final

from schemas.differences import Checked
from tally.reconcile.asking import Asking, where

# A file that was changed and metered again can have two letters at one position, of two generations, each replayed:
# the record is that of the newer one, and the older row a count of its own of which the record is gone.
_SQL: Final = """
SELECT topic, partition, r.outcome AS outcome, r.quantity AS expected, u.events, u.quantity,
    outcome != '' AND length(u.rows) > 0 AND NOT has(u.rows, r.row) AS other_row,
    outcome != '' AND length(u.rows) > 0 AND u.generation < r.generation AND r.generation < 2147483648 AS older
FROM (
    SELECT concat('replay:', topic) AS topic,
        concat(partition, '/', toString(offset), '/', toString(`index`)) AS partition,
        toString(outcome) AS outcome, toInt128(JSONExtractInt(detail, 'quantity')) AS quantity,
        JSONExtractUInt(detail, 'generation') AS generation,
        tuple(
            JSONExtractUInt(detail, 'org_id'), JSONExtractString(detail, 'category'),
            JSONExtractUInt(detail, 'project_id'), JSONExtractString(detail, 'dimensions'),
            intDiv(JSONExtractInt(detail, 'window_start'), 1000000)
        ) AS row
    FROM (SELECT * FROM (SELECT * FROM replays FINAL {of_topic}) WHERE {has_letter})
    WHERE outcome IN ('counted', 'counting')
) AS r
FULL OUTER JOIN (
    SELECT toString(topic) AS topic, partition, generation, sum(toInt128(events)) AS events,
        sum(toInt128(quantity)) AS quantity,
        groupArray(tuple(org_id, toString(category), project_id, dimensions, toInt64(toUnixTimestamp(window_start))))
            AS rows
    FROM active_windows WHERE startsWith(topic, 'replay:') {of_replay}
    GROUP BY topic, partition, generation
) AS u USING (topic, partition)
ORDER BY topic, partition, u.generation
"""

# Where a log was metered again, an event that was replayed may count in the log itself now: it is no letter any more,
# and its replay's row is hidden.
_HAS_LETTER: Final = """
((topic, partition) NOT IN (SELECT topic, partition FROM remeter_parts)
    OR (topic, partition, offset, `index`) IN (
        SELECT topic, partition, offset, `index` FROM active_letters
        WHERE (topic, partition) IN (SELECT topic, partition FROM remeter_parts)))
"""


def replay_laws(ask: Asking) -> list[Checked]:
    """Check replayed dead letters against usage rows."""
    ask.on_step("replayed dead letters")
    law = Checked("replays", "quantity of replayed letters", "quantity of their usage rows")
    topics, parameters = ask.asked.topics()
    of_replay = "AND topic = concat('replay:', {topic:String})" if topics else ""
    sql = _SQL.format(of_topic=where(topics), of_replay=of_replay, has_letter=_HAS_LETTER)
    for topic, partition, outcome, expected, events, quantity, other_row, older in ask.store.stream(sql, parameters):
        place = {"topic": topic, "partition": partition}
        sides = int(expected), int(quantity)
        if older:
            law.name("not_checked", place, None, sides[1], "an older content of the log was replayed here too")
        elif outcome == "counting":
            note = "a replay that was interrupted; the next one completes it"
            law.name("in_flight", place, *sides, note)
        elif not outcome:
            law.compare(place, 0, sides[1], "a usage row of a replay that is not recorded")
            if not sides[1]:
                law.name("difference", place, 0, 0, f"{events} events of a replay that is not recorded")
        elif not events:
            law.add(*sides)
            law.name("difference", place, *sides, "the letter was counted, and its usage row is not there")
        elif other_row or events != 1:
            law.add(*sides)
            law.name("difference", place, *sides, "the usage row is not the one that was recorded")
        else:
            law.compare(place, *sides)
    return [law]
