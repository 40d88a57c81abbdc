"""The metering rules in plain SQL: clock, time checks, watermark, dedupe, windows. Nothing here is the meter's.

    events ──► timed: clock, admitted, the largest timestamp before ──► judged: verdict, segment ──► rows: totals

An instant of 0 stands for "none": timestamps are of the years from 2000 on.
"""

from dataclasses import dataclass
from typing import Final

from schemas.metering import LATE_BUCKETS, MeterSettings
from tally.recount.scratch import Scratch

MAX_TOTAL: Final = 2**63 - 1

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
    made.create("timed", _timed(settings, before, broker_clock), "offset, `index`")
    made.create("judged", _judged(settings), "offset, `index`")


def _timed(settings: MeterSettings, before: Before, broker_clock: bool) -> str:
    earlier = "OVER (ORDER BY offset, `index` ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    largest = f"greatest(toInt64({before.max_timestamp}), max(if(admitted, timestamp, 0)) {earlier})"
    if broker_clock:
        running = "max(ts) OVER (ORDER BY offset, `index` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
        clocked = f"SELECT *, greatest(toInt64({before.clock}), {running}) AS clock FROM <events>"
        checked = (
            f"timestamp <= clock + {settings.max_future} AND timestamp >= clock - {settings.max_age}",
            f"timestamp > clock + {settings.max_future}",
        )
    elif settings.as_of is not None:
        clocked = "SELECT *, toInt64(0) AS clock FROM <events>"
        latest, earliest = settings.as_of + settings.max_future, settings.as_of - settings.max_age
        checked = (f"timestamp BETWEEN {earliest} AND {latest}", f"timestamp > {latest}")
    else:
        clocked = "SELECT *, toInt64(0) AS clock FROM <events>"
        checked = ("true", "false")
    admitted = f"""
        SELECT *, multiIf(reason != '', toString(reason), {checked[0]}, '', {checked[1]}, 'from_the_future', 'too_old')
                AS unfit,
            unfit = '' AS admitted
        FROM ({clocked})
    """
    if broker_clock:
        return f"SELECT *, {largest} AS max_before FROM ({admitted})"
    # A file's clock is the largest timestamp of the admitted events before this one, its own for the first.
    return f"""
        SELECT * EXCEPT (clock, known), if(known = 0, timestamp, known) AS clock
        FROM (SELECT *, {largest} AS max_before, greatest(max_before, toInt64({before.clock})) AS known
            FROM ({admitted}))
    """


def _judged(settings: MeterSettings) -> str:
    again = "OVER (PARTITION BY org_id, event_id ORDER BY offset, `index`)"
    payload = "tuple(category, project_id, quantity, timestamp, dimensions)"
    start = f"timestamp - timestamp % {settings.window}"
    watermark = f"least(max_before, clock) - {settings.allowed_lateness}"
    late = f"max_before != 0 AND window_start + {settings.window} <= {watermark}"
    project = "project_id" if settings.group_by_project else "toUInt64(0)"
    return f"""
        SELECT offset, `index`, borrowed, org_id, category, {project} AS project_id, dimensions, quantity, timestamp,
            bucket, apart, same, not_billable,
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
