"""What a process says while it works, on stderr: a line for people, or a JSON object a line for machines.

Both go through the standard library's logger "tally". A message about data carries its place (topic, partition,
offset) as fields; no message carries an event's content, or a secret. A command's answer goes to stdout and is no log.
"""

import datetime as dt
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

from schemas.errors import TallyError

Form = Literal["text", "json"]
Level = Literal["info", "debug"]
Severity = Literal["info", "warning"]

LOGGER: Final = logging.getLogger("tally")
OTHERS: Final = ("opentelemetry",)
"""Loggers of libraries whose warnings are of use to whoever runs Tally."""

_FIELDS: Final = "tally_fields"


class Tell(Protocol):
    """Takes a message for a person, with its place in the data where it has one."""

    def __call__(
        self,
        message: str,
        *,
        topic: str | None = None,
        partition: str | None = None,
        offset: int | None = None,
        level: Severity = "info",
    ) -> None:
        """Say it; a warning is something that somebody should look at."""
        ...


class TextFormatter(logging.Formatter):
    """`tally: message`, as short as a person wants it: the place is in the message's words."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; an error's stack is a library's, and left out."""
        source = "" if record.name == LOGGER.name else f"{record.name}: "
        return f"tally: {source}{record.getMessage()}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, message, and the fields that the message has."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).replace(tzinfo=None)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="microseconds") + "Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.name != LOGGER.name:
            line["logger"] = record.name
        return json.dumps(line, ensure_ascii=False)


class _Stderr(logging.StreamHandler[Any]):
    """Writes to the stderr of the moment, which a test or a caller may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)


_HANDLER: Final = _Stderr()


def set_up(form: Form = "text", level: Level = "info") -> None:
    """Let the process log in that form from now on; debug tells of every flush too. May be called again."""
    _HANDLER.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    for name, lowest in ((LOGGER.name, level.upper()), *((name, "WARNING") for name in OTHERS)):
        logger = logging.getLogger(name)
        logger.setLevel(lowest)
        logger.propagate = False
        if _HANDLER not in logger.handlers:
            logger.addHandler(_HANDLER)


set_up()


def as_json() -> bool:
    """Say whether machines read the log."""
    return isinstance(_HANDLER.formatter, JsonFormatter)


def say(
    message: str,
    *,
    topic: str | None = None,
    partition: str | None = None,
    offset: int | None = None,
    level: Severity = "info",
) -> None:
    """Tell the person or the log of the process; a warning is something that somebody should look at."""
    number = logging.WARNING if level == "warning" else logging.INFO
    LOGGER.log(number, "%s", message, extra=_extra(topic=topic, partition=partition, offset=offset))


def fail(error: TallyError) -> None:
    """Tell why the process cannot go on."""
    log = error.log
    place = {} if log is None else {"topic": log.topic, "partition": log.partition, "offset": error.offset}
    LOGGER.error("%s", error, extra=_extra(error=type(error).__name__, **place))


def debug(message: str, fields: Mapping[str, Any]) -> None:
    """Tell whoever looks closely; the fields are plain JSON values."""
    LOGGER.debug("%s", message, extra=_extra(**fields))


def progress(line: str, fields: Mapping[str, Any]) -> None:
    """Tell how far a run is: for people the bare line, since it comes often."""
    if as_json():
        LOGGER.info("%s", line, extra=_extra(**fields))
    else:
        print(line, file=sys.stderr, flush=True)


def _extra(**fields: Any) -> dict[str, Any]:
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}}
