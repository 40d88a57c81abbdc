"""The contract: what each event of a value decodes to. Every other decoder must answer exactly this."""

from typing import Final, NamedTuple

from schemas import formats
from schemas.errors import SettingsError
from schemas.formats import arrow
from schemas.formats.base import Context, Outcome, Rejected, WireFormat
from schemas.formats.values import ARROW, split
from schemas.metering import MeterSettings


class Judged(NamedTuple):
    """One event: its own bytes (of an Arrow row: a canonical JSON rendering), and what it decodes to."""

    raw: bytes
    outcome: Outcome


class Judge:
    """Judges values under fixed settings; plain and event by event, at some 100,000 events a second."""

    def __init__(self, settings: MeterSettings) -> None:
        self._format = format_named(settings.format)
        self._context = Context.of(settings)

    def __call__(self, value: bytes) -> list[Judged]:
        """Return what each event of a value is, at least one; never raises for any bytes."""
        read, context = self._format.read, self._context
        if value[:1] == ARROW:
            if not self._format.takes_arrow:
                detail = f"an Arrow stream, or no text; the format {self._format.name} takes JSON only"
                return [Judged(value, Rejected("not_json", detail))]
            rows = arrow.rows(value)
            if isinstance(rows, Rejected):
                return [Judged(value, rows)]
            return [Judged(raw, read(row, context)) for raw, row in rows]
        return [
            Judged(raw, found if isinstance(found, Rejected) else read(found, context)) for raw, found in split(value)
        ]


def format_named(name: str) -> WireFormat:
    """Return the wire format of this name; raises SettingsError with the names that there are."""
    found = formats.FORMATS.get(name)
    if found is None:
        raise SettingsError(f"format: there is no {name!r}; choose one of {', '.join(sorted(formats.FORMATS))}")
    return found


def judge(value: bytes, settings: MeterSettings) -> list[Judged]:
    """Return what each event of one value is, at least one; never raises for any bytes.

    Raises SettingsError where the settings name a format that there is not.
    """
    return judge_of(settings)(value)


def judge_of(settings: MeterSettings) -> Judge:
    """Return the judge of these settings, made once."""
    found = _JUDGES.get(id(settings))
    if found is None:
        if len(_JUDGES) >= _KEPT:
            _JUDGES.clear()
        found = _JUDGES[id(settings)] = (settings, Judge(settings))
    return found[1]


_KEPT: Final = 64
_JUDGES: Final[dict[int, tuple[MeterSettings, Judge]]] = {}
# By identity: hashing a whole catalogue would cost more than judging an event. The settings are held, so that their
# id is not given to others.
