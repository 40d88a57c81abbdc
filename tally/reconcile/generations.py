"""Generations of a log against each other: each starts where the one before it ended, and keeps to its part.

A generation that meters a log again from its start (`--again`: the log's content is another one) is no successor: it
counts beside the older rows, which is what was asked for. A remeter's candidate that is in force stands in the place of
the generations that it replaces. What does not count, an unused candidate or what was replaced, is not looked at.
"""

from typing import Final

from schemas.differences import Checked
from tally.reconcile.asking import Asking, where
from tally.reconcile.count_laws import NO_REPLAYS, Key

_CHANGED: Final = """
arrayExists(
    name -> JSONHas(source, name) AND JSONHas(next_source, name)
        AND JSONExtractRaw(source, name) != JSONExtractRaw(next_source, name),
    ['topic_id', 'size', 'head', 'tail'])
"""

LINEAGE: Final = f"""
SELECT topic, partition, generation, next_offset, next_start, following = 0 AS newest,
    following != 0 AND {_CHANGED} AS other_content,
    max(other_content) OVER (
        PARTITION BY topic, partition ORDER BY place ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) = 1 AS again
FROM (
    SELECT topic, partition, generation, next_offset, source,
        leadInFrame(generation, 1, 0) OVER w AS following,
        leadInFrame(start_offset, 1, 0) OVER w AS next_start,
        leadInFrame(source, 1, '') OVER w AS next_source, place
    FROM active_progress {{where}}
    WINDOW w AS (
        PARTITION BY topic, partition ORDER BY place ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    )
)
"""
"""Every generation with the start of the one that follows it; `again`: its log was metered again since."""

_ENDED: Final = "SELECT * FROM ({lineage}) WHERE NOT newest AND NOT other_content"

_PAST_ITS_END: Final = """
SELECT topic, partition, generation, any(e.next_start), countIf(w.last_offset >= e.next_start),
    sumIf(toInt128(w.events), w.last_offset >= e.next_start), maxIf(w.last_offset, w.last_offset >= e.next_start)
FROM (SELECT topic, partition, generation, last_offset, events FROM active_windows {where}) AS w
INNER JOIN ({ended}) AS e USING (topic, partition, generation)
GROUP BY topic, partition, generation
ORDER BY topic, partition, generation
"""

_LETTERS_PAST: Final = """
SELECT topic, partition, generation, any(e.next_start), countIf(d.offset >= e.next_start)
FROM (SELECT topic, partition, generation, offset FROM active_letters {where}) AS d
INNER JOIN ({ended}) AS e USING (topic, partition, generation)
GROUP BY topic, partition, generation
ORDER BY topic, partition, generation
"""


def generation_laws(ask: Asking) -> list[Checked]:
    """Check that generations neither overlap nor leave anything out."""
    ask.on_step("generations")
    return [_within(ask), _ranges(ask)]


def _within(ask: Asking) -> Checked:
    law = Checked("generations", "nothing", "events of a generation at or past the start of the next one")
    topics, parameters = ask.asked.topics()
    ended = _ENDED.format(lineage=LINEAGE.format(where=where(topics)))
    rows = _PAST_ITS_END.format(where=where([NO_REPLAYS], topics), ended=ended)
    for topic, partition, generation, start, count, events, last in ask.store.stream(rows, parameters):
        note = (
            f"{count} usage rows, up to offset {last}, were folded past offset {start}, where the next generation "
            "starts: a run of the older one went on"
            if count
            else ""
        )
        law.compare(Key(topic, partition, generation).place, 0, int(events), note)
    letters = _LETTERS_PAST.format(where=where(topics), ended=ended)
    for topic, partition, generation, start, count in ask.store.stream(letters, parameters):
        place = {**Key(topic, partition, generation).place, "table": "dead_letters"}
        note = f"dead letters past offset {start}, where the next generation starts: it judges those events"
        law.compare(place, 0, count, note if count else "")
    return law


def _ranges(ask: Asking) -> Checked:
    law = Checked("ranges", "offset at which a generation ended", "offset at which the next one starts")
    topics, parameters = ask.asked.topics()
    ended = _ENDED.format(lineage=LINEAGE.format(where=where(topics)))
    sql = f"SELECT topic, partition, generation, next_offset, next_start FROM ({ended}) ORDER BY ALL"
    for topic, partition, generation, end, start in ask.store.stream(sql, parameters):
        lost = f"offsets {end} to {start - 1} were never metered"
        note = lost if start > end else f"offsets {start} to {end - 1} were metered by both"
        law.compare(Key(topic, partition, generation).place, end, start, "" if start == end else note)
    return law
