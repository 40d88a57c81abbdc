"""The metering rules in plain SQL: clock, time checks, watermark, dedupe, windows. Nothing here is the meter's.

    events ──► timed: clock, admitted, the largest timestamp before ──► judged: verdict, segment ──► rows: totals

An instant of 0 stands for "none": timestamps are of the years from 2000 on.
"""

from dataclasses import dataclass
from typing import Final

from schemas.metering import LATE_BUCKETS, MeterSettings
from tally.recount.scratch import Scratch

MAX_TOTAL: Final = 2**63 - 1

CHUNK: Final = 100_000
"""Events, about, that a running maximum is taken over at a time."""

KEY: Final = "org_id, category, project_id, dimensions, window_start, segment"
VALUES: Final = (
    "quantity",
    "events",
    "max_quantity",
    "first_offset",
    "last_offset",
    "first_timestamp",
    "last_timestamp",
)


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the log before the first record that is read: clock and largest timestamp (0: none).

    `whole`: it is known, so that every verdict is exact. Otherwise verdicts are certain only once the horizon has
    passed and nothing from before can be the largest timestamp any more.
    """

    clock: int = 0
    max_timestamp: int = 0
    whole: bool = True


def meter(made: Scratch, settings: MeterSettings, before: Before, *, broker_clock: bool) -> None:
    """Make `timed` and `judged` of `events`."""
    made.create("timed", _timed(settings, before, _chunk(made), broker_clock), "offset, `index`")
    made.create("judged", _judged(settings), "offset, `index`")


def _chunk(made: Scratch) -> str:
    """Return what numbers stretches of about CHUNK events in log order."""
    events, first, last = made.query("SELECT count(), min(offset), max(offset) FROM <events>")[0]
    return f"intDiv(offset, {max(1, (last - first + 1) * CHUNK // max(1, events))})"


def _running(source: str, value: str, chunk: str, seed: int, *, before: bool) -> str:
    """Return `source` with the running maximum of `value` in log order as `running`, at each event or before it.

    In two steps, so that memory does not grow with the log: a window keeps its whole partition, so partitions are
    chunks, and what lies before a chunk comes from the maxima of the chunks.
    """
    end = "1 PRECEDING" if before else "CURRENT ROW"
    return f"""
        SELECT e.* EXCEPT (chunk), greatest(toInt64({seed}), c.earlier, max({value})
            OVER (PARTITION BY e.chunk ORDER BY offset, `index` ROWS BETWEEN UNBOUNDED PRECEDING AND {end})) AS running
        FROM (SELECT *, {chunk} AS chunk FROM ({source})) AS e
        INNER JOIN (
            SELECT chunk, max(largest) OVER (ORDER BY chunk ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier
            FROM (SELECT {chunk} AS chunk, max({value}) AS largest FROM ({source}) GROUP BY chunk)
        ) AS c ON e.chunk = c.chunk
    """


def _timed(settings: MeterSettings, before: Before, chunk: str, broker_clock: bool) -> str:
    clocked = "SELECT *, toInt64(0) AS clock FROM <events>"
    latest, earliest = f"clock + {settings.max_future}", f"clock - {settings.max_age}"
    if broker_clock:
        running = _running("SELECT * FROM <events>", "ts", chunk, before.clock, before=False)
        clocked = f"SELECT * EXCEPT (running), running AS clock FROM ({running})"
    elif settings.as_of is not None:
        latest, earliest = str(settings.as_of + settings.max_future), str(settings.as_of - settings.max_age)
    else:
        latest, earliest = "timestamp", "timestamp"  # a file's events are not checked
    admitted = f"""
        SELECT *, multiIf(reason != '', toString(reason), timestamp > {latest}, 'from_the_future',
                timestamp < {earliest}, 'too_old', '') AS unfit,
            unfit = '' AS admitted
        FROM ({clocked})
    """
    largest = _running(admitted, "if(admitted, timestamp, 0)", chunk, before.max_timestamp, before=True)
    if broker_clock:
        return f"SELECT * EXCEPT (running), running AS max_before FROM ({largest})"
    # A file's clock is the largest timestamp of the admitted events before this one, its own for the first.
    return f"""
        SELECT * EXCEPT (clock, known, running), if(known = 0, timestamp, known) AS clock
        FROM (SELECT *, running AS max_before, greatest(running, toInt64({before.clock})) AS known FROM ({largest}))
    """


def _judged(settings: MeterSettings) -> str:
    again = "OVER (PARTITION BY org_id, event_id ORDER BY offset, `index` ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    payload = "tuple(category, project_id, quantity, timestamp, dimensions, value, amount)"
    start = f"timestamp - timestamp % {settings.window}"
    watermark = f"least(max_before, clock) - {settings.allowed_lateness}"
    late = f"max_before != 0 AND window_start + {settings.window} <= {watermark}"
    project = "project_id" if settings.group_by_project else "toUInt64(0)"
    return f"""
        SELECT offset, `index`, borrowed, org_id, category, {project} AS project_id, dimensions, quantity, timestamp,
            bucket, apart, same, not_billable, value, amount,
            {start} AS window_start, if({late}, 1 + intDiv(bucket, {LATE_BUCKETS}), 0) AS segment,
            multiIf(unfit != '', 'rejected', not_billable != '', 'not_billable',
                apart < 0 OR apart > {settings.horizon_buckets}, 'accepted', same, 'duplicate', 'rejected') AS verdict,
            multiIf(verdict != 'rejected', '', unfit != '', unfit, 'conflicting_duplicate') AS why
        FROM (
            SELECT *, intDiv(clock, {settings.bucket}) AS bucket,
                if(identified, bucket - lagInFrame(bucket, 1, bucket + 1) {again}, -1) AS apart,
                identified AND {payload} = lagInFrame({payload}, 1, {payload}) {again} AS same
            FROM (SELECT *, true AS identified FROM <timed> WHERE {_identified()})
            UNION ALL
            SELECT *, intDiv(clock, {settings.bucket}) AS bucket, -1 AS apart, false AS same
            FROM (SELECT *, false AS identified FROM <timed> WHERE NOT ({_identified()}))
        )
    """


def _identified() -> str:
    """Say that an event enters the dedupe index."""
    return "admitted AND not_billable = '' AND has_id"


def certain_from(made: Scratch, settings: MeterSettings) -> int | None:
    """Return the offset from which on verdicts do not depend on what lies before the first record; None for nowhere.

    The index is whole once the horizon has passed since the first record, whose bucket may have begun earlier. The
    largest timestamp is known once it has reached what no earlier event can have had: the clock then and the allowance
    for the future. Both stay true from there on. The clock itself is the broker's and does not go back.
    """
    first = made.query("SELECT min(clock) FROM <timed>")[0][0]
    bucket = first // settings.bucket + settings.horizon_buckets + 1
    found = made.query(
        "SELECT count(), min(offset) FROM <timed> WHERE `index` = 0 "
        f"AND intDiv(clock, {settings.bucket}) >= {bucket} AND max_before >= {first + settings.max_future}"
    )
    return int(found[0][1]) if found[0][0] else None


def fold(made: Scratch, count_from: int) -> None:
    """Make `rows`: the usage rows of all events from an offset on."""
    select = f"""
        SELECT {KEY}, sum(toInt128(j.quantity)) AS quantity, count() AS events, max(j.quantity) AS max_quantity,
            min(j.offset) AS first_offset, max(j.offset) AS last_offset, min(j.timestamp) AS first_timestamp,
            max(j.timestamp) AS last_timestamp, countIf(j.borrowed) AS borrowed
        FROM (SELECT * FROM <judged> WHERE verdict = 'accepted' AND offset >= {count_from}) AS j
        GROUP BY {KEY}
    """
    made.create("rows", select, KEY)
