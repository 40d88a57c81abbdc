"""An explanation as people and machines read it."""

from dataclasses import asdict
from typing import Any

from schemas.formats.base import Decoded
from schemas.metering import MeterSettings
from tally.explain import Explanation
from tally.fates import Fate, RowKey
from tally.letter_views import readable
from tally.units import show_duration, show_instant, show_moment


def as_json_value(found: Explanation) -> dict[str, Any]:
    """Return an explanation as plain JSON values; instants are RFC 3339."""
    return {
        "topic": found.log.topic,
        "partition": found.log.partition,
        "offset": found.offset,
        "generation": found.generation,
        "metered": found.metered,
        "bytes": found.size,
        "broker_timestamp": _instant(found.timestamp),
        "exact": found.exact,
        "note": found.note,
        "events": [_fate(found, fate) for fate in found.fates],
    }


def _fate(found: Explanation, fate: Fate) -> dict[str, Any]:
    word, _, why = fate.verdict.partition(":")
    return {
        "index": fate.index,
        "verdict": word,
        "reason": why or None,
        "detail": fate.detail,
        "event": None if fate.event is None else _event(fate.event, found.settings),
        "clock": _instant(fate.clock),
        "watermark": _instant(fate.watermark),
        "repeats": None if fate.repeats is None else str(fate.repeats),
        "counted_at": None if fate.counted_at is None else str(fate.counted_at),
        "usage_row": None
        if fate.row is None
        else {**asdict(fate.row), "window_start": show_instant(fate.row.window_start)},
        "stored": fate.stored,
        "agrees": fate.agrees,
    }


def _event(event: Decoded, settings: MeterSettings) -> dict[str, Any]:
    return {
        "org_id": event.org_id,
        "event_id": event.event_id,
        "project_id": event.project_id,
        "category": settings.catalogue.names[event.category],
        "quantity": event.quantity,
        "timestamp": show_instant(event.timestamp),
        "dimensions": event.dimensions,
        "source": event.source,
    }


def _instant(instant: int | None) -> str | None:
    return None if instant is None else show_instant(instant)


def as_text(found: Explanation) -> str:
    """Return an explanation as lines for a terminal."""
    events = "1 event" if len(found.fates) == 1 else f"{len(found.fates)} events"
    stamped = "" if found.timestamp is None else f", stamped {show_instant(found.timestamp)}"
    when = f"metered in generation {found.generation}"
    if not found.metered:
        when = "not metered yet: this is what a run under these settings would make of it"
    lines = [f"{found.log}/{found.offset}: {found.size:,} bytes, {events}{stamped}; {when}"]
    for fate in found.fates:
        lines += ["", f"event {fate.index}: {_headline(fate, found.settings)}"]
        lines += [f"  {line}" for line in _body(fate, found)]
    if not found.exact:
        lines += ["", f"not certain: {found.note}"]
    return "\n".join(readable(line.encode(errors="backslashreplace"), most=1 << 16) for line in lines)


def _headline(fate: Fate, settings: MeterSettings) -> str:
    word, _, why = fate.verdict.partition(":")
    if word == "accepted":
        return "accepted, on time"
    if word == "late":
        return "accepted, late: its window had been closed; counted in full, in a row of its own"
    if word == "duplicate":
        return f"duplicate of {fate.repeats}: dropped"
    if word == "not_billable":
        return f"not billable: {why}"
    if why == "conflicting_duplicate":
        horizon = show_duration(settings.bucket * settings.horizon_buckets)
        return f"rejected: conflicting_duplicate of {fate.repeats} (the same id within {horizon}, another payload)"
    return f"rejected: {why}" + (f" ({fate.detail})" if fate.detail else "")


def _body(fate: Fate, found: Explanation) -> list[str]:
    lines = []
    if fate.event is not None:
        lines.append(
            "event      " + ", ".join(f"{k} {v}" for k, v in _event(fate.event, found.settings).items() if v != "")
        )
    lines.append(f"clock      {_instant(fate.clock) or 'not known yet'}")
    lines.append(f"watermark  {_instant(fate.watermark) or 'not known yet'}")
    if fate.repeats is not None and fate.counted_at is not None:
        lines.append(f"counted    at {fate.counted_at}")
    if fate.row is not None:
        lines += _row(fate, fate.row, found)
    elif fate.agrees is not None:
        letter = f"{found.log}/{found.offset}/{fate.index}"
        kept = f"`tally deadletters show {letter}` has its bytes"
        missing = "DIFFERS: the store has no dead letter with this reason here"
        lines.append(f"store      {kept if fate.agrees else missing}")
        if fate.stored is not None and fate.stored["replayed"]:
            lines.append(f"replayed   {fate.stored['replayed']}")
    return lines


def _row(fate: Fate, row: RowKey, found: Explanation) -> list[str]:
    start, end = show_instant(row.window_start), show_instant(row.window_start + found.settings.window)
    lines = [
        f"window     {start} to {end}",
        "usage row  " + ", ".join(f"{k} {_plain(k, v)}" for k, v in asdict(row).items() if v != ""),
    ]
    if not found.metered:
        return lines
    if fate.stored is None:
        return [*lines, "store      DIFFERS: there is no such row"]
    totals = ", ".join(f"{name} {_plain(name, value)}" for name, value in fate.stored.items())
    lines.append(f"totals now {totals}")
    if not fate.agrees:
        lines.append(f"store      DIFFERS: the row does not reach over offset {found.offset}")
    return lines


def _plain(name: str, value: Any) -> str:
    if name == "window_start":
        return show_instant(value)
    if name.endswith("_timestamp"):
        return show_moment(value)
    return f"{value:,}" if name in {"quantity", "events", "max_quantity"} else str(value)
