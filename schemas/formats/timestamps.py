"""RFC 3339 instants, in exact integer arithmetic."""

import re
from datetime import date
from functools import lru_cache
from typing import Final

from schemas.verdicts import END_OF_TIME, MIN_TIMESTAMP

PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""What an instant looks like, as JSON Schema says it; the length of the month and the years are not in it."""

_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH: Final = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1024)
def _seconds_at(day: str) -> int | None:
    """Return the start of a day (YYYY-MM-DD), in seconds since 1970 where it is read as UTC; None for no such day."""
    try:
        return (date(int(day[:4]), int(day[5:7]), int(day[8:])).toordinal() - _EPOCH) * 86_400
    except ValueError:
        return None


def parse_timestamp(text: str) -> int | None:
    """Return microseconds UTC of an RFC 3339 instant; None for anything else.

    It needs a zone (`Z` or ±hh:mm) and may have 1 to 9 digits of fraction, of which those past the microsecond are
    cut. `t` and `z` are as good as `T` and `Z`, as RFC 3339 has it. Second 60 is refused, for no event time can carry
    it; so are instants outside the years 2000 to 2099 UTC.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups()
    seconds = _seconds_at(day)
    if seconds is None:
        return None
    seconds += int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
        seconds += offset if sign == "-" else -offset
    instant = seconds * 1_000_000
    if fraction is not None:
        instant += int(fraction[:6].ljust(6, "0"))
    return instant if MIN_TIMESTAMP <= instant < END_OF_TIME else None
