"""Where a run starts on each partition: from its stored progress, under today's settings, on today's log.

A pure decision: every case of "the log, the settings and the store do not fit" is here, with its message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from dataflows.sources.base import ListedLog
from schemas.errors import SourceError, UncleanStop
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import REMETER, Counts, Mark, Progress

CONTENT_KEYS: Final = ("topic_id", "size", "head", "tail")
"""The parts of a log's identity that name its content; the rest (`uri`) says where it was found."""

Content = tuple[int, str, str]
"""A file's size and the hashes of its head and its last record."""


GAPS: Final = "gaps"
"""In a progress' source: the ranges [first, past the last] of offsets that were gone before they could be metered."""
KEPT: Final = "kept"
"""In a progress' source: the categories whose events the generation keeps, by name; absent where there are none."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a partition starts: its progress (with the mark), and a sentence where a person should know something."""

    progress: Progress
    note: str = ""


def start_of(
    listed: ListedLog,
    stored: Progress | None,
    settings: MeterSettings,
    *,
    rows_past_progress: bool,
    again: bool = False,
    accept_gap: bool = False,
) -> Start:
    """Decide how a partition starts.

    `stored` is the partition's current progress, None for a log that was never read. `rows_past_progress` says whether
    usage rows of that generation lie past it: an unclean stop. `again` meters a changed file from its start, in a new
    generation beside the old rows. `accept_gap` goes on past records that are gone, and keeps their offsets in the
    progress' source (GAPS) for ever.

    Raises SourceError where the log is not the one that was read or lacks what must be read, UncleanStop where the
    settings changed before the last run's rows were covered by progress.
    """
    fingerprint = settings.fingerprint()
    if stored is None:
        return Start(_fresh(listed, settings, generation=1))
    changed = changed_identity(listed, stored)
    if changed and again:
        return Start(_fresh(listed, settings, _number_after(stored)), f"{listed.log}: metered again from its start")
    if changed:
        raise SourceError(_not_the_same(listed, stored, changed))
    gap = listed.log_start > stored.next_offset
    if not (gap and accept_gap):
        _check_range(listed, stored)
    own: dict[str, Any] = {name: stored.source[name] for name in (GAPS, KEPT, REMETER) if name in stored.source}
    stored = replace(stored, partitions=listed.partitions, source={**listed.identity, **own}, finite=listed.finite)
    if gap:
        return _over_gap(listed, stored, settings, rows_past_progress)
    done = finished(listed, stored)
    if done:
        return Start(stored)  # nothing is read of it any more, under whatever settings
    if stored.mark.warm_offset < listed.log_start:  # first: changed settings cannot warm an index from it either
        return _without_mark(listed, stored, settings, rows_past_progress)
    if stored.candidate:
        note = f"{listed.log}: it was metered again up to here: generation {_number_after(stored)} starts here"
        return Start(_next_generation(stored, settings, stored.mark), note)
    if stored.fingerprint != fingerprint:
        if rows_past_progress:
            raise UncleanStop(
                f"{listed.log}: the metering settings changed (fingerprint {stored.fingerprint} to {fingerprint}), "
                f"but the last run stopped uncleanly: usage rows lie past offset {stored.next_offset}. Run once more "
                "with the settings as they were, so that progress covers them, and change the settings then. Nothing "
                "was written."
            )
        note = f"{listed.log}: the metering settings changed: generation {_number_after(stored)} starts here"
        return Start(_next_generation(stored, settings, stored.mark), note)
    return Start(stored)


def finished(listed: ListedLog, stored: Progress) -> bool:
    """Say whether the log is finite and was read to its end."""
    return listed.finite and listed.log_end is not None and stored.next_offset >= listed.log_end


def kept_by(settings: MeterSettings) -> dict[str, list[str]]:
    """Return the part of a progress' source that names what a generation of these settings keeps (KEPT)."""
    names = [settings.catalogue.names[row] for row in settings.catalogue.keeps()]
    return {KEPT: sorted(names)} if names else {}


def _fresh(listed: ListedLog, settings: MeterSettings, generation: int) -> Progress:
    first = listed.log_start
    return Progress(
        log=listed.log,
        generation=generation,
        fingerprint=settings.fingerprint(),
        start_offset=first,
        next_offset=first,
        mark=Mark(first, None, None, first),
        partitions=listed.partitions,
        source={**listed.identity, **kept_by(settings)},
        finite=listed.finite,
    )


def _next_generation(stored: Progress, settings: MeterSettings, mark: Mark) -> Progress:
    """Start a generation where the last one stopped: its rows count from there, its index is warmed from `mark` on."""
    source = {name: found for name, found in stored.source.items() if name not in {KEPT, REMETER}}
    return replace(
        stored,
        generation=_number_after(stored),
        fingerprint=settings.fingerprint(),
        start_offset=stored.next_offset,
        mark=replace(mark, count_from=stored.next_offset),
        source={**source, **kept_by(settings)},
        counts=Counts(),
    )


def _number_after(stored: Progress) -> int:
    """Return the number of the generation that comes after this one: a candidate stands for those before it."""
    return stored.places[1] + 1


def _without_mark(listed: ListedLog, stored: Progress, settings: MeterSettings, rows_past_progress: bool) -> Start:
    """Go on where retention deleted the mark but nothing that was not metered: a quiet partition."""
    if rows_past_progress:
        raise UncleanStop(
            f"{listed.log}: the log starts at offset {listed.log_start}, after the replay mark "
            f"{stored.mark.warm_offset}, and usage rows lie past progress at {stored.next_offset}: their totals cannot "
            "be rebuilt from the log. "
            "Restore the log from a replica or a backup, or meter the range again from an archive. Nothing was written."
        )
    mark = Mark(stored.next_offset, stored.clock, stored.max_timestamp, stored.next_offset)
    horizon = settings.bucket * (settings.horizon_buckets + 1) // 1_000_000
    note = (
        f"{listed.log}: retention deleted the replay mark; generation {_number_after(stored)} starts at offset "
        f"{stored.next_offset} with an empty dedupe index: a retry of an event older than that is counted again if the "
        f"log's clock moves less than {horizon} s until it comes"
    )
    return Start(_next_generation(stored, settings, mark), note)


def _over_gap(listed: ListedLog, stored: Progress, settings: MeterSettings, rows_past_progress: bool) -> Start:
    """Go on where the log begins now, in a new generation that says for ever what is missing before it."""
    if rows_past_progress:
        raise UncleanStop(
            f"{listed.log}: records are gone, and usage rows lie past progress at {stored.next_offset}: nobody can say "
            "any more whether those hold all of their records. Restore the log, or meter it from an archive into a new "
            "store. Nothing was written."
        )
    first = listed.log_start
    lost = [*stored.source.get(GAPS, []), [stored.next_offset, first]]
    started = _next_generation(
        replace(stored, next_offset=first, source={**stored.source, GAPS: lost}),
        settings,
        Mark(first, stored.clock, stored.max_timestamp, first),
    )
    note = (
        f"{listed.log}: {first - stored.next_offset} offsets from {stored.next_offset} on are gone and were never "
        f"counted; generation {started.generation} starts at {first} with an empty dedupe index. "
        "`tally reconcile` shows the gap"
    )
    return Start(started, note)


def changed_identity(listed: ListedLog, stored: Progress) -> list[str]:
    """Return which parts of the log's content identity differ from those that progress keeps."""
    old, new = stored.source, listed.identity
    return [key for key in CONTENT_KEYS if key in old and key in new and old[key] != new[key]]


def _not_the_same(listed: ListedLog, stored: Progress, changed: list[str]) -> str:
    if "topic_id" in changed:
        return (
            f"{listed.log}: the topic is not the one that was read before (topic id {stored.source['topic_id']}, now "
            f"{listed.identity['topic_id']}): it was deleted and made again under its name. Its offsets mean other "
            "records now. Read it under another name (a new topic), or meter into a new store. Nothing was written."
        )
    if listed.identity.get("uri") == "-":
        return (
            f"{listed.log}: standard input does not start as the input did that was read before under this name. Pipe "
            "in that input again, whole, or give this one another --name. With --again it is metered from its start "
            "and counted in full, in addition to what was counted before. Nothing was written."
        )
    return (
        f"{listed.log}: the file is not the one that was read before ({', '.join(changed)} changed). A file is metered "
        "once and must not change; give new events as a new file. With --again the file as it is now is metered from "
        "its start and counted in full, in addition to what was counted of it before. Nothing was written."
    )


def _check_range(listed: ListedLog, stored: Progress) -> None:
    if listed.log_start > stored.next_offset:
        raise SourceError(
            f"{listed.log}: records were lost: the log starts at offset {listed.log_start}, but only those before "
            f"{stored.next_offset} were metered; {listed.log_start - stored.next_offset} offsets from "
            f"{stored.next_offset} on are gone (retention, or the topic was truncated). Restore them, or lengthen "
            "retention and bring the records back under another topic. With --accept-gap the run goes on without them, "
            "and `tally reconcile` shows the gap for ever. Nothing was written."
        )
    if listed.log_end is not None and stored.next_offset > listed.log_end:
        raise SourceError(
            f"{listed.log}: progress is at offset {stored.next_offset}, past the log's end at {listed.log_end}: this "
            "is not the log that was read, or the broker lost its tail. Give back what was read, or read this under "
            "another name. Nothing was written."
        )


def check_known_content(listed: Sequence[ListedLog], known: Mapping[LogId, Progress], *, again: bool) -> None:
    """Refuse a file whose content was metered already under another name, unless it is meant (`again`).

    `known` is the current progress of every log that was ever read. Two listed files of one content are refused as
    well. A file that was metered as it is passes: its double was meant when it was first read. So does a file without
    a record, of which nothing can be counted twice. Raises SourceError.
    """
    if again:
        return
    seen: dict[Content, LogId] = {}
    for log, progress in known.items():
        if content := _content(progress.source):
            seen.setdefault(content, log)
    for new in listed:
        content = _content(new.identity)
        if content is None or (new.log in known and _content(known[new.log].source) == content):
            continue
        same = seen.setdefault(content, new.log)
        if same == new.log:
            continue
        how = "was metered already as" if same in known else "is also that of"
        raise SourceError(
            f"{new.log}: this file's content {how} {same} (same size, same first 4 KiB, same last record). Counting it "
            "again would bill it twice: take it out, or give --again if that is meant. Nothing was written."
        )


def _content(identity: Mapping[str, Any]) -> Content | None:
    """Return what a file's content is told by; None for what is no file, or has no record."""
    return (identity["size"], identity["head"], identity["tail"]) if identity.get("tail") else None
