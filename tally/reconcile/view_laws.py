"""The usage views against the rows that they are made of, summed in another way.

The views dedupe with FINAL. Here the newest version of each key is taken by argMax, and nothing of the views is used.
Both sides of a month are read in one query, so that both see the table at one moment while a run writes to it.
"""

from typing import Final

from schemas.differences import Checked
from sinks.remeters import COUNTS
from tally.reconcile.asking import Asked, Asking, where

_KEY: Final = "org_id, category, window_start, project_id, dimensions, topic, partition, generation, segment"

VIEWS: Final = {
    "usage": ("window_start", 1),
    "usage_hourly": ("toDateTime(hour, 'UTC')", 3_600),
    "usage_daily": ("toDateTime(day, 'UTC')", 86_400),
}
"""Each view, the instant at which what a row of it covers starts, and the seconds on which its rows start."""

_SUMS: Final = {
    "events": "toInt128(events)",
    "quantity": "toInt128(quantity)",
    "late_events": "toInt128(late_events)",
}

_MONTH: Final = """
SELECT category, {view}, {rows}
FROM ({sums}) AS v
FULL OUTER JOIN (
    SELECT category, sum(toInt128(e)) AS events, sum(toInt128(q)) AS quantity,
        sumIf(toInt128(e), segment != 0) AS late_events
    FROM (
        SELECT toString(category) AS category, segment, argMax(events, last_offset) AS e,
            argMax(quantity, last_offset) AS q
        FROM usage_windows {where}
        GROUP BY {key}
    )
    GROUP BY category
) AS r USING (category)
ORDER BY category
SETTINGS enable_shared_storage_snapshot_in_query = 1, max_bytes_before_external_group_by = 268435456
"""


def view_laws(ask: Asking) -> list[Checked]:
    """Check the usage views, for each month and category."""
    law = Checked("views", "a view on usage", "the newest version of every usage row")
    if ask.asked.topic is not None:
        law.skipped = "the views are over all topics: leave --topic out to have them checked"
        return [law]
    conditions, parameters = ask.asked.windows("window_start")
    bounds = where(conditions, [COUNTS])
    months = ask.store.query(
        f"SELECT DISTINCT toYYYYMM(window_start) AS month FROM usage_windows {bounds} ORDER BY month", parameters
    )
    for (month,) in months:
        for view, (starts, unit) in VIEWS.items():
            ask.on_step(f"{view} of {month // 100}-{month % 100:02}")
            # A day that the bounds cut is not compared: the view has it whole.
            asked = ask.asked.within(unit)
            if asked is None:
                continue
            _, bound = asked.windows("window_start")
            for row in ask.store.query(_sql(asked, view, starts), {**bound, "month": month}):
                for number, name in enumerate(_SUMS, 1):
                    place = {"view": view, "month": month, "category": row[0], "column": name}
                    sides = int(row[number]), int(row[number + len(_SUMS)])
                    law.compare(place, *sides, summed=name == "quantity")
    return [law]


def _sql(asked: Asked, view: str, starts: str) -> str:
    conditions, _ = asked.windows("window_start")
    in_month = ["toYYYYMM(window_start) = {month:UInt32}"]
    sums = ", ".join(f"sum({value}) AS total_{name}" for name, value in _SUMS.items())
    bounds, _ = asked.windows(starts)
    of_view = [f"toYYYYMM({starts}) = {{month:UInt32}}", *bounds]
    return _MONTH.format(
        view=", ".join(f"v.total_{name}" for name in _SUMS),
        rows=", ".join(f"r.{name}" for name in _SUMS),
        sums=f"SELECT toString(category) AS category, {sums} FROM {view} {where(of_view)} GROUP BY category",
        where=where(in_month, conditions, [COUNTS]),
        key=_KEY,
    )
