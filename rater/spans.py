"""Spans of time that usage is cut into: the hours and days of a time zone."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

_STEP: Final = {"hour": dt.timedelta(hours=1), "day": dt.timedelta(hours=30)}
"""From the start of a span to within the next one: a day has 23 to 25 hours."""


def bucket(at: dt.datetime, span: str, zone: dt.tzinfo) -> dt.datetime:
    """Return the start of the hour or day of a zone that an instant is in; a window is its own, no span one for all."""
    if not span:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    if span == "window":
        return at
    local = at.astimezone(zone)
    begins = local.replace(minute=0, second=0, microsecond=0)
    return (begins if span == "hour" else begins.replace(hour=0, fold=0)).astimezone(dt.UTC)


def buckets(start: dt.datetime, end: dt.datetime, span: str, zone: dt.tzinfo) -> Iterator[dt.datetime]:
    """Yield the start of every hour or day of a zone that has an instant in [start, end), in order."""
    begins = bucket(start, span, zone)
    while begins < end:
        yield begins
        begins = bucket(begins + _STEP[span], span, zone)


def name_of(begins: dt.datetime, span: str, zone: dt.tzinfo) -> str:
    """Return a span by its start, as a person reads it: `2026-11-01`, `2026-11-01T09:00Z`."""
    local = begins.astimezone(zone)
    if span == "day":
        return local.date().isoformat()
    return local.isoformat(timespec="minutes").replace("+00:00", "Z")
