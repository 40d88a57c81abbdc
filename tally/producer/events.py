"""Usage events on the sender's side: checked by the rules of the native format, and written as its JSON.

What passes here decodes on arrival. Left to the log, because only its clock can tell: that an event is neither too old
nor from the future. A category is checked against the catalogue where one is given, otherwise by its spelling.
"""

import datetime as dt
import json
import math
import os
import random
import re
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP
from tally.units import read_instant

MAX_EVENT_ID: Final = 256
MAX_NUMBER: Final = 256
"""Characters of an event id, and of a number among the attributes."""

Scalar = str | bool | int | float
Attributes = Mapping[str, Scalar]

_random: Final = random.Random()  # noqa: S311 - ids have to differ, not to be secret
os.register_at_fork(after_in_child=_random.seed)

_CATEGORY: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_object: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class UsageEvent(NamedTuple):
    """One event. `timestamp` is microseconds UTC, `quantity` units of the category.

    It is what a retry repeats: the same id with another content would be a conflict, not a duplicate.
    """

    event_id: str
    org_id: int
    category: str
    quantity: int
    timestamp: int
    project_id: int = 0
    attributes: Attributes | None = None


def new_event_id(now: int | None = None) -> str:
    """Return a new id: a version 7 UUID, so that ids made later sort later. `now`: milliseconds since 1970."""
    stamp = time.time_ns() // 1_000_000 if now is None else now
    bits = _random.getrandbits(74)
    # 48 bits of time, the version, 12 random bits, the variant, 62 random bits.
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of an f-string, once an event
        stamp >> 16,
        stamp & 0xFFFF,
        bits >> 62,
        0x8000 | bits >> 48 & 0x3FFF,
        bits & 0xFFFFFFFFFFFF,
    )


def instant(value: dt.datetime | str | int) -> int:
    """Return microseconds UTC of a datetime with a zone, RFC 3339 text with a zone, or microseconds UTC.

    Raises ValueError; a count of seconds, milliseconds or nanoseconds is outside the years 2000 to 2099, and refused.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | dt.datetime):
        raise ValueError(f"timestamp: found {value!r}; expected a datetime, RFC 3339 text or microseconds since 1970")
    if isinstance(value, int):
        found = value
    elif isinstance(value, str):
        try:
            found = read_instant(value)
        except ValueError as error:
            raise ValueError(f"timestamp: {error}") from None
    else:
        if value.tzinfo is None:
            raise ValueError(f"timestamp: {value!r} has no time zone; give one, as in datetime.now(timezone.utc)")
        found = (value - _EPOCH) // dt.timedelta(microseconds=1)
    _in_range(found)
    return found


def _in_range(timestamp: int) -> None:
    if not MIN_TIMESTAMP <= timestamp < END_OF_TIME:
        raise ValueError(
            f"timestamp: {timestamp} µs since 1970 is outside the years 2000 to 2099; integers are microseconds"
        )


def check(event: UsageEvent, categories: Collection[str] | None) -> None:
    """Raise ValueError unless the event fits the native format. `categories`: the catalogue's names, if known."""
    event_id, org_id, category, quantity, timestamp, project_id, attributes = event
    if type(event_id) is not str:
        raise ValueError(f"event_id: found {event_id!r}; expected a string")
    if not 1 <= len(event_id) <= MAX_EVENT_ID:
        raise ValueError(f"event_id: {len(event_id)} characters; expected 1 to {MAX_EVENT_ID}")
    if not event_id.isascii():
        _as_utf8("event_id", event_id)
    if type(org_id) is not int or not 0 <= org_id <= MAX_ID:
        raise ValueError(f"org_id: found {org_id!r}; expected an integer from 0 to {MAX_ID}")
    if type(project_id) is not int or not 0 <= project_id <= MAX_ID:
        raise ValueError(f"project_id: found {project_id!r}; expected an integer from 0 to {MAX_ID}")
    if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
        raise ValueError(f"quantity: found {quantity!r}; expected an integer from 0 to {MAX_QUANTITY}")
    if type(category) is not str or not (_spelt(category) if categories is None else category in categories):
        expected = "a category's name" if categories is None else "a category of the catalogue"
        raise ValueError(f"category: found {category!r}; expected {expected}")
    if type(timestamp) is not int:
        raise ValueError(f"timestamp: found {timestamp!r}; expected microseconds since 1970")
    if not MIN_TIMESTAMP <= timestamp < END_OF_TIME:
        _in_range(timestamp)
    if attributes is not None:
        _check_attributes(attributes)


@lru_cache(maxsize=10_000)
def _spelt(category: str) -> bool:
    return _CATEGORY.fullmatch(category) is not None


_TOO_LONG: Final = 10 ** (MAX_NUMBER - 1)


def _check_attributes(attributes: Attributes) -> None:
    if not isinstance(attributes, Mapping):
        raise ValueError(f"attributes: found {attributes!r}; expected a mapping")
    for name, value in attributes.items():
        if type(name) is not str:
            raise ValueError(f"attributes: the name {name!r} is no string")
        _as_utf8("attributes", name)
        if type(value) is str:
            _as_utf8(f"attributes.{name}", value)
        elif type(value) is float:
            if not math.isfinite(value):
                raise ValueError(f"attributes.{name}: {value!r} is no number that JSON has")
        elif type(value) is int:
            if abs(value) >= _TOO_LONG:
                raise ValueError(f"attributes.{name}: an integer of more than {MAX_NUMBER - 1} digits")
        elif type(value) is not bool:
            raise ValueError(f"attributes.{name}: found {value!r}; expected a string, a number or a boolean")


def _as_utf8(field: str, text: Any) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{field}: {text!r} holds half of a surrogate pair, which no UTF-8 can") from None


def attributes_json(attributes: Attributes | None) -> str:
    """Return the JSON of the attributes, '' without any."""
    return _object(dict(attributes)) if attributes else ""


class JsonWriter:
    """Writes the native format's JSON for one source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._tail = f'Z","source":{encode_basestring(source)}'

    def __call__(self, event: UsageEvent) -> bytes:
        """Return a checked event's JSON, without line breaks."""
        event_id, org_id, category, quantity, timestamp, project_id, attributes = event
        seconds, micros = divmod(timestamp, 1_000_000)
        end = f',"attributes":{attributes_json(attributes)}}}' if attributes else "}"
        return (
            f'{{"event_id":{encode_basestring(event_id)},"org_id":{org_id},"project_id":{project_id},"category":"{category}",'
            f'"quantity":{quantity},"timestamp":"{_second(seconds)}.{micros:06d}{self._tail}{end}'
        ).encode()


@lru_cache(maxsize=8_192)
def _second(seconds: int) -> str:
    return (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def read_json(line: bytes) -> UsageEvent:
    """Return the event that a JsonWriter wrote."""
    found = json.loads(line)
    return UsageEvent(
        found["event_id"],
        found["org_id"],
        found["category"],
        found["quantity"],
        read_instant(found["timestamp"]),
        found["project_id"],
        found.get("attributes"),
    )
