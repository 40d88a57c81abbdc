"""A log that was metered, found again where it was read, to be read once more."""

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dataflows.resume import changed_identity
from dataflows.sources.base import ListedLog, Source
from dataflows.sources.files import FileSource
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId, RecordBatch
from schemas.progress import Progress
from tally.settings import Settings
from tally.sources import open_sources

LOOK_BACK: Final = 1 << 20
"""How many bytes before an offset the start of its line is looked for."""


@dataclass(frozen=True)
class LogAgain:
    """A log, and the source that has it, as it is listed now. `path` is the file where it is one."""

    log: LogId
    source: Source
    listed: ListedLog
    path: Path | None = None

    def batches(self, start: int) -> Iterator[RecordBatch]:
        """Yield the log's records from an offset on, up to its end as it is now."""
        reader = self.source.open({self.listed.log: start})
        try:
            while not reader.exhausted:
                yield from reader.poll()
        finally:
            reader.close()

    def record_at(self, offset: int) -> RecordBatch:
        """Return the one record at an offset. Raises SettingsError where none starts there."""
        if self.path is not None:
            self._check_line(self.path, offset)
        for batch in self.batches(offset):
            if not len(batch):
                continue
            if int(batch.offsets[0]) != offset:
                why = "blank lines are" if self.path else "a broker's own records, aborted and compacted ones are"
                raise SettingsError(
                    f"{self.log}/{offset}: no record has this offset ({why} none); "
                    f"the next one is at {batch.offsets[0]}"
                )
            times = None if batch.timestamps is None else batch.timestamps[:1]
            return RecordBatch(
                batch.log, batch.data, batch.starts[:1], batch.ends[:1], batch.offsets[:1], times, offset + 1
            )
        raise SettingsError(f"{self.log}/{offset}: no record has this offset, nor does one follow it")

    def _check_line(self, path: Path, offset: int) -> None:
        if offset == 0:
            return
        try:
            with path.open("rb") as file:
                first = max(0, offset - LOOK_BACK)
                before = os.pread(file.fileno(), offset - first, first)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
        if before[-1:] != b"\n":
            found = before.rfind(b"\n") + 1
            line = f"; the line around it starts at {first + found}" if found or not first else ""
            raise SettingsError(f"{self.log}/{offset}: no line starts at this byte of {path}{line}")


@dataclass(frozen=True)
class Listed:
    """A source that was opened once, and its logs as they were listed then."""

    source: Source
    logs: Mapping[LogId, ListedLog]


def reopen(
    progress: Progress,
    settings: Settings,
    clock: Callable[[], int],
    on_wait: Callable[[str], None],
    known: MutableMapping[str, Listed] | None = None,
) -> LogAgain:
    """Find a metered log again. `clock` and `on_wait` as `open_sources` takes them.

    `known` keeps sources by where they are read, for logs of one topic that are asked for one after the other: each
    would otherwise open a client of its own and list all of them. The listing is then as old as the first call.

    Raises SourceError where it cannot be read again, or is not the log that was metered.
    """
    log, uri = progress.log, str(progress.source.get("uri", ""))
    if uri == "-":
        raise SourceError(
            f"{log}: it was read from standard input, which cannot be read again. `tally deadletters list --topic "
            f"{log.topic}` shows what was rejected of it, and `tally usage` what was counted"
        )
    if not uri:
        raise SourceError(f"{log}: the store does not say where this log was read")
    if uri.startswith("file:"):
        path = Path(url2pathname(urlsplit(uri).path))
        source: Source = FileSource(path, name=log.topic, batch_bytes=settings.batch_bytes, clock=clock)
        # The file by itself is named by its own name, and not by its path within the folder that was metered.
        again = LogAgain(log, source, source.list_logs()[0], path)
    else:
        known = {} if known is None else known
        if uri not in known:
            named = settings.model_copy(update={"sources": (uri,), "name": None, "until_end": True})
            source = open_sources(named, clock, on_wait)[0]
            known[uri] = Listed(source, {listed.log: listed for listed in source.list_logs()})
        if log not in known[uri].logs:
            raise SourceError(f"{log}: {uri} has no such partition any more")
        again = LogAgain(log, known[uri].source, known[uri].logs[log])
    changed = changed_identity(again.listed, progress)
    if changed:
        raise SourceError(
            f"{log}: what is at {uri} now is not the log that was metered ({', '.join(changed)} changed); put that one "
            "back to have it explained"
        )
    return again
