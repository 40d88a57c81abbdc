"""Where every log of a run starts, decided before anything is read or written.

Every worker of a cluster makes the whole plan and reads its share of it, so that a log which cannot be read stops the
run before any worker has written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dataflows.resume import Start, check_known_content, finished, start_of
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
        return finished(self.listed, self.progress)


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
    check_known_content([log for listing in listings for log in listing.logs], known, again=again)
    for source, logs, seen_at in listings:
        for log in logs:
            start = _start(log, known.get(log.log), settings, store, again=again)
            progress = start.progress if log.log_end is None else start.progress.at_end(log.log_end, seen_at)
            planned.append(PlannedLog(source, log, progress))
            notes += [start.note] if start.note else []
    return Plan(tuple(planned), tuple(notes))


def _start(
    listed: ListedLog, stored: Progress | None, settings: MeterSettings, store: ProgressStore, *, again: bool
) -> Start:
    past = False
    if stored is not None and not finished(listed, stored):
        # Asked only where the answer matters: with thousands of files it would be thousands of queries.
        changed = stored.fingerprint != settings.fingerprint()
        if changed or stored.mark.warm_offset < listed.log_start:
            past = store.rows_past_progress(stored.log, stored.generation, stored.next_offset)
    return start_of(listed, stored, settings, rows_past_progress=past, again=again)


def _check_names(listings: Sequence[Listing]) -> None:
    seen: dict[LogId, str] = {}
    for listed in (log for listing in listings for log in listing.logs):
        place = str(listed.identity.get("uri", listed.log))
        if (other := seen.get(listed.log)) == place:
            raise SettingsError(f"{listed.log} is named twice ({place}): name each source once")
        seen[listed.log] = place
        if other is not None:
            raise SettingsError(
                f"{listed.log} would be both {other} and {place}: give each its own name (--name) in a run of its own"
            )
