"""Examples of period boundaries, through contracts and their billing periods."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rater.files import contracts_from
from rater.terms import billing_periods
from schemas.period import Period, day_of
from tests.examples.case import NotUnderstood, count, listed, text

INTERVALS: Final = {
    **{name: name for name in ("week", "month", "quarter", "half_year", "year")},
    **dict.fromkeys(("half-year", "semiannual", "semi_annual", "biannual"), "half_year"),
    **dict.fromkeys(("annual", "yearly"), "year"),
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
}
WORDS: Final = {
    "start",
    "anchor",
    "anchor_day",
    "interval",
    "interval_count",
    "zone",
    "timezone",
    "expected_boundaries",
}
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
    interval = _interval(example.get("interval"), count(example.get("interval_count", 1)))
    start = _day(example.get("start"))
    zone = text(example.get("zone", example.get("timezone", "UTC")))
    billing = {"interval": interval, "zone": zone, **_anchor(interval, start, example)}
    contract = {"org_id": 1, "id": "example", "plan": "example", "currency": "USD", "from": f"{start}"}
    expected = [f"{_day(day)}" for day in listed(example["expected_boundaries"])]
    found: list[str] = []
    for period in _periods(json.dumps({"contracts": [{**contract, "billing": billing}]}), start):
        if len(found) >= len(expected):
            break
        found.append(str(day_of(period.start, zone)))
    return expected, found


def _interval(told: Any, how_many: int) -> str:
    """Return the interval of a contract that is so many of a shorter one."""
    if not isinstance(told, str) or told not in INTERVALS:
        raise NotUnderstood(f"interval {told!r}")
    if how_many == 1:
        return INTERVALS[told]
    found = {3: "quarter", 6: "half_year", 12: "year"}.get(how_many) if INTERVALS[told] == "month" else None
    if found is None:
        raise NotUnderstood(f"interval_count {how_many} of {told!r}")
    return found


def _day(told: Any) -> dt.date:
    """Return a day, written alone or as the midnight that begins it."""
    found = re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:\d{2})?)?", text(told))
    if found is None:
        raise NotUnderstood(f"day {told!r}")
    try:
        return dt.date.fromisoformat(found[1])
    except ValueError as error:
        raise NotUnderstood(f"day {told!r}: {error}") from error


def _anchor(interval: str, start: dt.date, example: Mapping[str, Any]) -> dict[str, Any]:
    """Return the anchor of a contract: the day of the month in which it starts, or the weekday of a week."""
    if "anchor" in example:
        return {"anchor": f"{_day(example['anchor'])}"}
    day = example.get("anchor_day")
    if day is None:
        return {"anchor": f"{start}"}
    if not 1 <= count(day) <= 31:
        raise NotUnderstood(f"anchor_day {day!r}")
    if interval == "week" and day == start.day:
        return {"anchor": f"{start}"}
    if interval == "week" and day > 7:
        return {"anchor": f"{_day(f'{start:%Y-%m}-{day:02}')}"}
    return {"anchor_day": count(day)}


def _periods(contracts: str, start: dt.date) -> Iterator[Period]:
    agreed = contracts_from("example", contracts)
    for month in range(start.year * 12 + start.month - 1, start.year * 12 + start.month - 1 + MONTHS):
        yield from billing_periods(agreed, 1, Period.month(month // 12, month % 12 + 1))
