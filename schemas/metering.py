"""The settings that change what the meter answers. Their fingerprint starts a new generation when it changes."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.catalogue import Catalogue
from schemas.errors import SettingsError

METER_VERSION: Final = 1
"""Raised whenever the meter would answer differently for the same log and settings (a golden test holds it)."""

MICROSECONDS: Final = 1_000_000
MIN_BUCKET: Final = MICROSECONDS
"""A shorter bucket would number its buckets past the 32 bits in which the dedupe index keeps them."""
QUARTER_HOUR: Final = 900 * MICROSECONDS
LATE_BUCKETS: Final = 10
"""A late segment covers this many buckets of the clock."""


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """Metering settings; durations and instants in microseconds.

    `horizon_buckets` is N of the dedupe horizon: an id seen in bucket b is known up to bucket b + N.
    `as_of` stands for the clock in the two time checks of a file; without it a file's events are not time-checked.
    """

    catalogue: Catalogue
    format: str = "tally"
    group_by_project: bool = False
    group_by: tuple[str, ...] = ()
    window: int = 60 * MICROSECONDS
    allowed_lateness: int = 120 * MICROSECONDS
    bucket: int = 60 * MICROSECONDS
    horizon_buckets: int = 10
    max_future: int = 300 * MICROSECONDS
    max_age: int = 90 * 86_400 * MICROSECONDS
    as_of: int | None = None
    trust_producer_time: bool = False
    dedupe_max_bytes: int = field(default=1 << 30, compare=False)

    def __post_init__(self) -> None:
        """Assert the relations between the limits, with a message that says which to change."""
        if self.window <= 0 or QUARTER_HOUR % self.window or self.window % MICROSECONDS:
            raise SettingsError(
                f"window: {self.window / MICROSECONDS:g} s is no whole number of seconds that divides 15 minutes: "
                "local midnights would fall inside windows; choose for example 60, 300 or 900 seconds"
            )
        if self.bucket <= 0 or self.horizon_buckets < 1:
            raise SettingsError(
                "dedupe_bucket and dedupe_horizon must be positive, the horizon a multiple of the bucket"
            )
        if self.bucket < MIN_BUCKET:
            raise SettingsError(
                f"dedupe_bucket: {self.bucket / MICROSECONDS:g} s is too short; give one second or more"
            )
        if self.allowed_lateness < 0 or self.max_future < 0 or self.max_age <= 0:
            raise SettingsError("allowed_lateness, max_future and max_age must not be negative")

    def answer_settings(self) -> dict[str, Any]:
        """Return everything that the meter's answer depends on, beside the log, as plain JSON."""
        return {
            "meter": METER_VERSION,
            "format": self.format,
            "catalogue": self.catalogue.digest(),
            "group_by_project": self.group_by_project,
            "group_by": list(self.group_by),
            "window": self.window,
            "allowed_lateness": self.allowed_lateness,
            "bucket": self.bucket,
            "horizon_buckets": self.horizon_buckets,
            "max_future": self.max_future,
            "max_age": self.max_age,
            "as_of": self.as_of,
            "trust_producer_time": self.trust_producer_time,
        }

    def fingerprint(self) -> str:
        """Return a 16-hex-digit name of the answer settings."""
        text = json.dumps(self.answer_settings(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
