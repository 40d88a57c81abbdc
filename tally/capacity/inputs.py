"""What the capacity model starts from: the load, the settings, the figures that were measured, and what is assumed.

Every input can be changed (`tally plan --set name=value`). Numbers are exact: integers and fractions of them, since the
cost at the end is money.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final, Literal

from schemas.errors import SettingsError

Origin = Literal["load", "setting", "measured", "assumed"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input: its value, its unit, where the value comes from, and what it is."""

    value: Fraction
    unit: str
    origin: Origin
    about: str


def _of(value: str, unit: str, origin: Origin, about: str) -> Input:
    return Input(Fraction(Decimal(value)), unit, origin, about)


INPUTS: Final[dict[str, Input]] = {
    "events_per_day": _of("300e9", "events", "load", "events on a mean day"),
    "peak": _of("2", "×", "load", "the busiest minutes against the day's mean"),
    "organisations": _of("1e6", "", "load", "organisations that send anything in a minute of the peak"),
    "categories": _of("3", "", "load", "categories that such an organisation uses in that minute"),
    "event_bytes": _of("153", "B", "measured", "an event on the wire: JSON, one a message (`tally generate`)"),
    "events_per_core": _of("535782", "events/s", "measured", "Kafka, one JSON event a message, whole process"),
    "dedupe_horizon": _of("600", "s", "setting", "how long an event id is remembered, at the least"),
    "dedupe_bucket": _of("60", "s", "setting", "the step in which the horizon moves"),
    "window": _of("60", "s", "setting", "length of a usage window"),
    "allowed_lateness": _of("120", "s", "setting", "how long a window stays open"),
    "flush_interval": _of("1", "s", "setting", "how often a worker writes"),
    "bytes_per_id": _of("58", "B", "measured", "dedupe index, at its emptiest fill just after growing"),
    "bytes_per_open_row": _of("240", "B", "measured", "an open usage row, at its emptiest fill just after growing"),
    "process_bytes": _of("570e6", "B", "measured", "a worker without index and rows: code, engine, a batch under way"),
    "bytes_per_stored_row": _of("31", "B", "measured", "a row of usage_windows on disk, compressed, of a replica"),
    "start_seconds": _of("10", "s", "assumed", "from a kill to the first record read again: noticing it, and a start"),
    "utilisation": _of("0.5", "", "assumed", "share of a core's rate that the peak may take; the rest catches up"),
    "partitions_per_core": _of("2", "", "assumed", "so that workers can be added without new partitions"),
    "broker_bytes": _of("100e6", "B/s", "assumed", "what a broker takes in, replicas included"),
    "replication": _of("3", "×", "assumed", "copies of the log"),
    "retention_days": _of("3", "days", "assumed", "how long the log keeps records"),
    "shard_inserts": _of("2", "inserts/s", "assumed", "inserts a second that a ClickHouse shard merges at ease"),
    "shard_rows": _of("200e3", "rows/s", "assumed", "rows a second that a ClickHouse shard takes in"),
    "shard_cores": _of("4", "", "assumed", "cores of a replica of a shard"),
    "replicas": _of("2", "×", "assumed", "copies of each ClickHouse shard"),
    "row_days": _of("400", "days", "assumed", "how long windows are kept"),
    "core_hour_cost": _of("0.05", "USD", "assumed", "a core with 8 GB of memory for an hour"),
    "broker_hour_cost": _of("0.40", "USD", "assumed", "a broker for an hour, without its disks"),
    "gb_month_cost": _of("0.08", "USD", "assumed", "a GB (10^9 bytes) of disk for a month of 30 days"),
}
"""Every input by name, in the order in which it is shown."""

Values = Mapping[str, Fraction]


def defaults() -> dict[str, Fraction]:
    """Return every input's own value."""
    return {name: found.value for name, found in INPUTS.items()}


def read_value(name: str, text: str) -> Fraction:
    """Return the value of an input that was given as text. Raises SettingsError that says what is taken."""
    if name not in INPUTS:
        raise SettingsError(f"--set {name}={text}: there is no input {name!r}; `tally plan --inputs` lists them")
    try:
        number = Decimal(text.replace("_", ""))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > MAX_EXPONENT:
        raise SettingsError(
            f"{name} {text!r}: write a number above 0, as in 300e9 or 0.5 (unit: {INPUTS[name].unit or 'none'})"
        )
    value = Fraction(number)
    if name == "utilisation" and value >= 1:
        raise SettingsError(f"utilisation {text}: it must be below 1, or a worker that fell behind never catches up")
    return value


MAX_EXPONENT: Final = 24
"""Larger numbers are slips of the keyboard, and would only make the arithmetic slow."""
