"""Examples of period boundaries, through contracts and their billing periods."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rater.files import contracts_from
from rater.terms import billing_periods
from schemas.period import Period, day_of
from tests.examples.case import NotUnderstood

INTERVALS: Final = {
    **{name: name for name in ("week", "month", "quarter", "half_year", "year")},
    **dict.fromkeys(("half-year", "semiannual", "semi_annual", "biannual"), "half_year"),
    **dict.fromkeys(("annual", "yearly"), "year"),
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
}
WORDS: Final = {"start", "anchor_day", "interval", "zone", "timezone", "expected_boundaries"}
TOLD: Final = {"id", "kind", "source", "primitive", "recomputed_ok", "note"}
MONTHS: Final = 1200
"""No example reaches further."""


def is_period(example: Mapping[str, Any]) -> bool:
    """Say whether an example is about period boundaries."""
    return "expected_boundaries" in example


def boundaries(example: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the boundaries that an example expects and those that a contract of its kind has, as local days."""
    unknown = example.keys() - WORDS - TOLD
    if unknown:
        raise NotUnderstood(f"words of a period: {', '.join(sorted(unknown))}")
    if example["interval"] not in INTERVALS:
        raise NotUnderstood(f"interval {example['interval']!r}")
    start = dt.date.fromisoformat(example["start"])
    zone = str(example.get("zone", example.get("timezone", "UTC")))
    interval = INTERVALS[example["interval"]]
    billing = {"interval": interval, "zone": zone, **_anchor(interval, start, example.get("anchor_day"))}
    contract = {"org_id": 1, "id": "example", "plan": "example", "currency": "USD", "from": f"{start}"}
    expected = [str(day) for day in example["expected_boundaries"]]
    found: list[str] = []
    for period in _periods(json.dumps({"contracts": [{**contract, "billing": billing}]}), start):
        if len(found) >= len(expected):
            break
        found.append(str(day_of(period.start, zone)))
    return expected, found


def _anchor(interval: str, start: dt.date, day: int | None) -> dict[str, Any]:
    """Return the anchor of a contract: the day of the month in which it starts, or the weekday of a week."""
    if day is None or (interval == "week" and day == start.day):
        return {"anchor": f"{start}"}
    if interval == "week" and day > 7:
        return {"anchor": f"{start.replace(day=day)}"}
    return {"anchor_day": day}


def _periods(contracts: str, start: dt.date) -> Iterator[Period]:
    agreed = contracts_from("example", contracts)
    for month in range(start.year * 12 + start.month - 1, start.year * 12 + start.month - 1 + MONTHS):
        yield from billing_periods(agreed, 1, Period.month(month // 12, month % 12 + 1))
