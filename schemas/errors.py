"""Errors that a person can act on.

TallyError                     one clear message, exit status
├── SettingsError              a setting, a catalogue or a price file is wrong            2
├── SourceError                a log cannot be read as it stands (missing topic, changed file, lost range)  2
├── StoreError                 the store refused: a full disk, a wrong password           2, once running 1
│   ├── StoreUnavailable       the server does not answer; waiting may help               2, once running 1
│   ├── StoreBusy              another process holds the embedded store's path            2
│   └── StoreMismatch          the store was written by a newer version, or is not ours   2
├── MeteringError
│   ├── UncleanStop            settings changed while rows lie past progress              2
│   ├── GenerationReplaced     another run has started a newer generation                 1
│   ├── IndexFull              the dedupe index is at its memory bound                    1
│   └── RejectionFlood         too much of a log is rejected to be a few stray events     1
└── RatingError                usage without a price, or without a contract               1

Bad data is never one of these: a malformed event is a value (`Rejected`) and ends up in dead_letters.
"""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from schemas.log import LogId


class TallyError(Exception):
    """A failure with one message that says what is wrong, where, and what to do.

    `log` and `offset` are its place in the data, where it has one, for logs that machines read.
    """

    exit_status = 2
    log: "LogId | None" = None
    offset: int | None = None

    def at(self, log: "LogId", offset: int | None = None) -> Self:
        """Note the failure's place, unless one closer to it has been noted; return the failure."""
        if self.log is None:
            self.log, self.offset = log, offset
        return self


class SettingsError(TallyError):
    """A setting, a category catalogue, a price book or a contract file is wrong."""


class SourceError(TallyError):
    """A log cannot be read as it stands."""


class StoreError(TallyError):
    """The store refused, or cannot be used."""


class StoreUnavailable(StoreError):
    """The store does not answer now; the same call may succeed later."""


class StoreBusy(StoreError):
    """Another process holds the embedded store's path open."""


class StoreMismatch(StoreError):
    """The store's tables are not those that this version reads and writes."""


class MeteringError(TallyError):
    """The meter cannot go on without a wrong count."""


class UncleanStop(MeteringError):
    """The settings changed, but usage rows lie past the last progress row."""


class GenerationReplaced(MeteringError):
    """Another run has started a newer generation of this partition; this one must stop."""

    exit_status = 1


class IndexFull(MeteringError):
    """The dedupe index has reached its memory bound; it never shortens the horizon in silence."""

    exit_status = 1


class RejectionFlood(MeteringError):
    """Too much of a log is rejected: a producer's bug or a wrong format, and no stray events."""

    exit_status = 1


class RatingError(TallyError):
    """Usage that cannot be priced: never a silent zero."""

    exit_status = 1
