"""Where every log of a run starts, decided before anything is read or written.

Every worker of a cluster makes the whole plan and reads its share of it, so that a log which cannot be read stops the
run before any worker has written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dataflows.resume import Start, check_known_content, start_of
from dataflows.sources.base import ListedLog, Source
from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress


class ProgressStore(Protocol):
    """What the flow asks of a store before it reads."""

    def progress(self) -> Mapping[LogId, Progress]:
        """Return the current progress of every partition log."""
        ...

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        """Say whether usage rows of this generation were folded at or past `next_offset`."""
        ...


class PlannedLog(NamedTuple):
    """A log, the source that has it, and its progress as this run takes it up."""

    source: Source
    listed: ListedLog
    progress: Progress

    @property
    def finished(self) -> bool:
        """Say whether the log is finite and was read to its end by an earlier run."""
        end = self.listed.log_end
        return self.listed.finite and end is not None and self.progress.next_offset >= end


@dataclass(frozen=True, slots=True)
class Plan:
    """All logs of a run in an order that all workers agree on, and what a person should know about their starts."""

    logs: tuple[PlannedLog, ...]
    notes: tuple[str, ...]

    def share(self, worker: int, workers: int) -> tuple[PlannedLog, ...]:
        """Return the logs that one worker of a cluster reads."""
        return self.logs[worker::workers]


class Listing(NamedTuple):
    """A source and its logs, as they were at `seen_at` (microseconds UTC)."""

    source: Source
    logs: Sequence[ListedLog]
    seen_at: int


def list_sources(sources: Iterable[Source], clock: Callable[[], int]) -> list[Listing]:
    """List the logs of all sources, before a store is opened or made. Raises SourceError or SettingsError."""
    listings = []
    for source in sources:
        seen_at = clock()  # before the ends are asked for: what came later may not be among them
        listings.append(Listing(source, source.list_logs(), seen_at))
    _check_names(listings)
    return listings


def make_plan(listings: Sequence[Listing], settings: MeterSettings, store: ProgressStore, *, again: bool) -> Plan:
    """Decide where each log starts. `again` meters known or changed files once more.

    Raises SourceError, UncleanStop or what the store raises; nothing was read or written then.
    """
    known = store.progress()
    planned: list[PlannedLog] = []
    notes: list[str] = []
    for source, logs, seen_at in listings:
        check_known_content(list(logs), dict(known), again=again)
        for log in logs:
            start = _start(log, known.get(log.log), settings, store, again=again)
            progress = start.progress if log.log_end is None else start.progress.at_end(log.log_end, seen_at)
            planned.append(PlannedLog(source, log, progress))
            notes += [start.note] if start.note else []
    return Plan(tuple(planned), tuple(notes))


def _start(
    listed: ListedLog, stored: Progress | None, settings: MeterSettings, store: ProgressStore, *, again: bool
) -> Start:
    # Asked only where the answer matters: with thousands of files it would be thousands of queries.
    matters = stored is not None and (
        stored.fingerprint != settings.fingerprint() or stored.mark.warm_offset < listed.log_start
    )
    past = (
        matters and stored is not None and store.rows_past_progress(stored.log, stored.generation, stored.next_offset)
    )
    return start_of(listed, stored, settings, rows_past_progress=bool(past), again=again)


def _check_names(listings: Sequence[Listing]) -> None:
    seen: dict[LogId, str] = {}
    for listed in (log for listing in listings for log in listing.logs):
        place = str(listed.identity.get("uri", listed.log))
        other = seen.setdefault(listed.log, place)
        if other != place:
            raise SettingsError(
                f"{listed.log} would be both {other} and {place}: give each its own name (--name) in a run of its own"
            )
