"""Where every log of a run starts, decided before anything is read or written.

Every worker of a cluster makes the whole plan and reads its share of it, so that a log which cannot be read stops the
run before any worker has written.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from dataflows.resume import Start, check_known_content, finished, start_of
from dataflows.sources.base import ListedLog, Source
from schemas.errors import SettingsError, SourceError, TallyError, UncleanStop
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress


class ProgressStore(Protocol):
    """What the flow asks of a store before it reads."""

    def progress(self) -> Mapping[LogId, Progress]:
        """Return the current progress of every partition log."""
        ...

    def retired_topics(self) -> Collection[str]:
        """Return the topics of which nothing will come any more."""
        ...

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        """Say whether usage rows of this generation were folded at or past `next_offset`."""
        ...


class Options(NamedTuple):
    """What a person said to do about logs that do not fit their progress.

    `again` meters known or changed files once more; `accept_gap` goes on past records that are gone.
    """

    again: bool = False
    accept_gap: bool = False


DEFAULTS: Final = Options()


class PlannedLog(NamedTuple):
    """A log, the source that has it, its progress as this run takes it up, and as it was stored (None: never read)."""

    source: Source
    listed: ListedLog
    progress: Progress
    stored: Progress | None = None

    @property
    def replaces(self) -> Progress | None:
        """Return the last progress of the generation that this run ends by starting a new one, if it does."""
        stored = self.stored
        return stored if stored is not None and stored.generation != self.progress.generation else None

    @property
    def finished(self) -> bool:
        """Say whether the log is finite and was read to its end by an earlier run."""
        return finished(self.listed, self.progress)


class Note(NamedTuple):
    """What a person should know about the start of a log, and the offset at which it starts."""

    text: str
    log: LogId
    offset: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All logs of a run in an order that all workers agree on, and what a person should know about their starts."""

    logs: tuple[PlannedLog, ...]
    notes: tuple[Note, ...]

    def share(self, worker: int, workers: int) -> tuple[PlannedLog, ...]:
        """Return the logs that one worker of a cluster reads."""
        return self.logs[worker::workers]

    def check_nobody_else_writes(self, store: ProgressStore) -> None:
        """Raise UncleanStop where a generation that this plan replaces has gone on, or is not current any more.

        What is past the start of the new generation would be counted in both. Asked before the new generation is
        written down, and once more after it: from then on the other run stops at its next write.
        """
        current: Mapping[LogId, Progress] | None = None
        for planned in self.logs:
            before = planned.replaces
            if before is None:
                continue
            current = store.progress() if current is None else current
            now = current.get(before.log, before)
            if now.generation not in {before.generation, planned.progress.generation}:
                raise UncleanStop(
                    f"{before.log}: generation {now.generation} has taken the place of generation "
                    f"{before.generation} while this run was starting, after which it would begin generation "
                    f"{planned.progress.generation}: another run has started, or `tally remeter` switched or undid "
                    "one. Start this run again, and it plans anew."
                )
            moved = now.generation == before.generation and now.next_offset != before.next_offset
            if moved or store.rows_past_progress(before.log, before.generation, before.next_offset):
                raise UncleanStop(
                    f"{before.log}: another run is still writing generation {before.generation} while this one starts "
                    f"generation {planned.progress.generation} at offset {before.next_offset}. Stop the other run "
                    "first, then start this one; `tally reconcile` shows whether anything was counted by both."
                )


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


def make_plan(
    listings: Sequence[Listing], settings: MeterSettings, store: ProgressStore, options: Options = DEFAULTS
) -> Plan:
    """Decide where each log starts.

    Raises SourceError, UncleanStop or what the store raises; nothing was read or written then.
    """
    known = store.progress()
    listings = [_newer(listing, known) for listing in listings]
    _check_retired(listings, store.retired_topics())
    planned: list[PlannedLog] = []
    notes: list[Note] = []
    check_known_content([log for listing in listings for log in listing.logs], known, again=options.again)
    for source, logs, seen_at in listings:
        for log in logs:
            start = _start(log, known.get(log.log), settings, store, options)
            progress = start.progress if log.log_end is None else start.progress.at_end(log.log_end, seen_at)
            planned.append(PlannedLog(source, log, progress, known.get(log.log)))
            notes += [Note(start.note, log.log, progress.next_offset)] if start.note else []
    return Plan(tuple(planned), tuple(notes))


def _newer(listing: Listing, known: Mapping[LogId, Progress]) -> Listing:
    """Return a listing, a new one where a topic's log ends before what was metered of it.

    A run that was thought dead may have gone on between the listing and the look at progress; a log that has lost its
    tail ends there again. `seen_at` stays: what was there then lies below the newer ends as well.
    """
    for log in listing.logs:
        stored = known.get(log.log)
        if stored is not None and not log.finite and log.log_end is not None and stored.next_offset > log.log_end:
            return listing._replace(logs=listing.source.list_logs())
    return listing


def _start(
    listed: ListedLog, stored: Progress | None, settings: MeterSettings, store: ProgressStore, options: Options
) -> Start:
    past = False
    if stored is not None and not finished(listed, stored):
        # Asked only where the answer matters: with thousands of files it would be thousands of queries.
        changed = stored.fingerprint != settings.fingerprint()
        if changed or stored.mark.warm_offset < listed.log_start:
            past = store.rows_past_progress(stored.log, stored.generation, stored.next_offset)
    try:
        return start_of(
            listed,
            stored,
            settings,
            rows_past_progress=past,
            again=options.again,
            accept_gap=options.accept_gap,
        )
    except TallyError as error:
        error.at(listed.log, None if stored is None else stored.next_offset)
        raise


def _check_retired(listings: Sequence[Listing], retired: Collection[str]) -> None:
    for log in (log for listing in listings for log in listing.logs):
        if log.log.topic in retired:
            raise SourceError(
                f"{log.log}: topic {log.log.topic} was retired: usage is said to be complete without it. If there is "
                f"more to read of it, run `tally source revive {log.log.topic}` first. Nothing was written."
            )


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
