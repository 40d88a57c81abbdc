"""How each kind of setting is read from text, TOML or a flag, and shown again. Every reader raises ValueError."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from schemas.errors import SettingsError
from schemas.metering import QUARTER_HOUR
from sinks.url import parse_url
from tally.units import read_duration, read_instant, read_size, show_duration, show_instant, show_size

MASK: Final = "********"
NATIVE: Final = "tally"

SECRET_PROPERTY: Final = re.compile(r"password|secret|token|key\.pem|jaas|oauthbearer\.config|userinfo", re.IGNORECASE)
"""The librdkafka properties whose values are never shown."""

DURATIONS: Final = frozenset(
    {
        "window",
        "allowed_lateness",
        "dedupe_bucket",
        "dedupe_horizon",
        "max_future",
        "max_age",
        "flush_interval",
        "store_patience",
        "stall_after",
    }
)
SIZES: Final = frozenset({"dedupe_max_bytes", "batch_bytes"})

WHOLE: Final = 1_000_000
"""A ratio is kept in parts of a million: 50 % is 500,000."""
OFF: Final = "off"
LOOPBACK: Final = "127.0.0.1"

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%", re.ASCII)
_ADDRESS: Final = re.compile(r"(?:(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?:)?(?P<port>\d{1,5})", re.ASCII)
_ENDPOINT: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_PASSWORD_IN_URL: Final = re.compile(r"(?<=//)([^/@:]*):.*(?=@)")


def duration(value: object) -> int:
    """Read a duration that is not negative, into microseconds."""
    found = read_duration(value)
    if found < 0:
        raise ValueError("must not be negative")
    return found


def positive_duration(value: object) -> int:
    """Read a duration above zero, into microseconds."""
    found = read_duration(value)
    if found <= 0:
        raise ValueError("must be more than zero")
    return found


def window(value: object) -> int:
    """Read a window's length: it divides 15 minutes, so that local midnights fall between windows."""
    found = positive_duration(value)
    if QUARTER_HOUR % found:
        raise ValueError(f"{show_duration(found)} does not divide 15 minutes; choose for example 1min, 5min or 15min")
    return found


def patience(value: object) -> int | None:
    """Read how long to wait for a store: a duration, or `forever` (None)."""
    if value is None or (isinstance(value, str) and value.strip().lower() in {"forever", "for ever"}):
        return None
    return duration(value)


def size(value: object) -> int:
    """Read a size above zero, into bytes."""
    found = read_size(value)
    if found <= 0:
        raise ValueError("must be more than zero")
    return found


def ratio(value: object) -> int | None:
    """Read a ratio like `50%` into parts of a million; `off` is None."""
    if value is None or value == OFF:
        return None
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    parts = Fraction(found[1]) * WHOLE / 100 if found else Fraction(0)
    if not 0 < parts <= WHOLE:
        raise ValueError(f"{value!r} cannot be read: write a percentage, as in 50%, or off")
    return int(parts)


def count(value: object) -> int | None:
    """Read a whole number above zero; `off` is None."""
    if value is None or value == OFF:
        return None
    text = str(value).replace("_", "").replace(",", "")
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValueError(f"{value!r} cannot be read: write a whole number, or off")
    if int(text) == 0:
        raise ValueError("must be more than zero; off turns the limit off")
    return int(text)


def address(value: object) -> str | None:
    """Read where to listen: `host:port`, or a port on the loopback."""
    if value is None:
        return None
    found = _ADDRESS.fullmatch(str(value).strip()) if isinstance(value, str | int) else None
    if found is None or isinstance(value, bool) or int(found["port"]) > 65_535:
        raise ValueError(f"{value!r} is no address: write host:port, or a port (of {LOOPBACK})")
    return f"{found['host'] or LOOPBACK}:{int(found['port'])}"


def endpoint(value: object) -> str | None:
    """Read an OTLP collector's URL. Messages never repeat it: it may hold a password."""
    if value is None:
        return None
    if not isinstance(value, str) or not _ENDPOINT.fullmatch(value.strip()):
        raise ValueError("must be a URL, as in http://127.0.0.1:4318; the paths /v1/metrics and /v1/traces are added")
    return value.strip().rstrip("/")


def group(value: object) -> str | None:
    """Read a Kafka consumer group's name; `off`, or nothing, is None."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value.strip()) > 200:
        raise ValueError(f"{value!r} is no consumer group's name: write text of at most 200 characters, or off")
    return None if value.strip() in {"", OFF} else value.strip()


def instant(value: object) -> int | None:
    """Read an instant into microseconds since 1970 UTC."""
    return None if value is None else read_instant(value)


def path(value: object) -> Path | None:
    """Read a file's name, `~` expanded."""
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError(f"{value!r} is no file name")
    return Path(value).expanduser()


def store(value: object) -> str:
    """Read a store's URL, checked and kept as it was written."""
    if not isinstance(value, str):
        raise ValueError("must be text, as in chdb:./tally-data")
    try:
        parse_url(value)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    return value.strip()


def format_name(value: object) -> str:
    """Read the name of a wire format."""
    if value == NATIVE:
        return NATIVE
    from schemas.formats import FORMATS  # noqa: PLC0415 - loads every format, which most commands do not need

    if value not in FORMATS:
        raise ValueError(f"{value!r} is no format; choose one of {', '.join(sorted(FORMATS))}")
    return str(value)


def names(value: object) -> tuple[str, ...]:
    """Read a list of names: a list, a JSON list, or names with commas between them; none is empty or stands twice."""
    items: Iterable[object]
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            items = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no JSON list") from error
    elif isinstance(value, str):
        items = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise ValueError("must be a list, or names with commas between them")
    found = []
    for item in items:
        if not isinstance(item, str) or not item:
            raise ValueError(f"{item!r} is no name; write text in quotes")
        if item in found:
            raise ValueError(f"{item!r} stands twice")
        found.append(item)
    return tuple(found)


def properties(value: object) -> dict[str, str]:
    """Read librdkafka properties: a table, or a JSON object. Messages never repeat a value, which may be a secret."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('must be a JSON object, as in {"security.protocol": "SSL"}') from None
    if not isinstance(value, Mapping):
        raise ValueError('must be a table of librdkafka properties, as in {"security.protocol": "SSL"}')
    found = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            raise ValueError(f'{key!r} is a table: quote the whole property name, as in "security.protocol" = "SSL"')
        if isinstance(item, bool):
            found[str(key)] = "true" if item else "false"
        elif isinstance(item, str | int):
            found[str(key)] = str(item)
        else:
            raise ValueError(f"{key!r} must be text, a whole number or true/false")
    return found


def properties_of_flags(pairs: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    """Read properties given as `key=value` flags. Raises SettingsError, which never repeats a value."""
    if isinstance(pairs, Mapping):
        return dict(pairs)
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SettingsError("kafka (--kafka): write key=value, as in --kafka security.protocol=SSL")
        found[key.strip()] = value
    return found


def mask_url(url: str) -> str:
    """Return a store's URL with its password masked."""
    return _PASSWORD_IN_URL.sub(rf"\1:{MASK}", url)


def show(name: str, value: Any) -> Any:
    """Return a setting's value as a person would write it, in plain JSON values, secrets masked."""
    if name in {"store", "otlp_endpoint"}:
        return None if value is None else mask_url(value)
    if name == "kafka":
        return {key: MASK if SECRET_PROPERTY.search(key) else item for key, item in value.items()}
    if name == "store_patience" and value is None:
        return "forever"
    if name in {"max_rejected_ratio", "max_rejected_in_row", "consumer_group"} and value is None:
        return OFF
    if name == "max_rejected_ratio":
        return f"{Decimal(value) * 100 / WHOLE:f}%"
    if name == "max_rejected_in_row":
        return value
    if value is None or isinstance(value, bool):
        return value
    if name in DURATIONS:
        return show_duration(value)
    if name in SIZES:
        return show_size(value)
    if name == "as_of":
        return show_instant(value)
    if name == "sources":
        return [mask_url(source) for source in value]
    return list(value) if isinstance(value, tuple) else str(value)
