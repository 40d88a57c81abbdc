"""Progress against the logs themselves: the log is the one that was read, and nothing of it was lost unread.

A log is asked where progress says that it was read, or in the sources that are given instead. One that cannot be
asked (standard input, a broker out of reach, a file that was moved) is named as not checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dataflows.resume import changed_identity
from dataflows.sources.base import ListedLog
from dataflows.sources.files import FileSource
from schemas.differences import Checked, Place
from schemas.errors import TallyError
from schemas.log import LogId
from schemas.progress import Progress
from tally.reconcile.asking import Asking
from tally.settings import Settings
from tally.sources import open_sources

_STDIN: Final = "-"


@dataclass
class Logs:
    """Where logs are asked. `sources` stand for the places that progress names; without any it is those.

    `clock` and `on_wait` as `open_sources` takes them.
    """

    settings: Settings
    clock: Callable[[], int]
    on_wait: Callable[[str], None] = lambda _: None
    sources: Sequence[str] = ()
    _listed: dict[str, dict[LogId, ListedLog] | str] = field(default_factory=dict)

    def listed(self, progress: Progress) -> ListedLog | str:
        """Return a log as it is now, or why that cannot be said."""
        if self.sources:
            for text in self.sources:
                found = self._of_source(text)
                if isinstance(found, dict) and progress.log in found:
                    return found[progress.log]
            failed = [found for text in self.sources if isinstance(found := self._of_source(text), str)]
            return "; ".join(failed) or "none of the sources given has this log"
        uri = str(progress.source.get("uri", ""))
        if uri == _STDIN:
            return "it was read from standard input, which cannot be asked again"
        if not uri:
            return "the store does not say where it was read"
        if uri.startswith("file:"):
            return self._file(progress.log, Path(url2pathname(urlsplit(uri).path)))
        found = self._of_source(uri)
        if isinstance(found, str):
            return found
        return found.get(progress.log, f"{uri} has no such partition any more")

    def of_topic(self, topic: str) -> list[ListedLog]:
        """Return all partitions that the sources asked so far have of a topic."""
        return [
            listed
            for logs in self._listed.values()
            if isinstance(logs, dict)
            for log, listed in logs.items()
            if log.topic == topic
        ]

    def _file(self, log: LogId, path: Path) -> ListedLog | str:
        try:
            return FileSource(path, name=log.topic, clock=self.clock).list_logs()[0]
        except TallyError as error:
            return str(error)

    def _of_source(self, text: str) -> dict[LogId, ListedLog] | str:
        if text not in self._listed:
            try:
                named = self.settings.model_copy(update={"sources": (text,), "until_end": True})
                found = open_sources(named, self.clock, self.on_wait)[0].list_logs()
                self._listed[text] = {listed.log: listed for listed in found}
            except TallyError as error:
                self._listed[text] = str(error)
        return self._listed[text]


def log_laws(ask: Asking, logs: Logs | None) -> list[Checked]:
    """Check progress against the logs; `logs` is None where they are not to be asked."""
    law = Checked("log", "offset up to which a log was metered", "its end")
    if logs is None:
        law.skipped = "the logs were not to be asked"
        return [law]
    known = ask.store.progress(ask.asked.topic)
    for log, progress in sorted(known.items()):
        ask.on_step(f"log {log}")
        listed = logs.listed(progress)
        place: Place = {"topic": log.topic, "partition": log.partition}
        if isinstance(listed, str):
            law.name("not_checked", place, note=listed)
        else:
            _check(law, place, progress, listed)
    for topic in sorted({log.topic for log in known}):
        for listed in logs.of_topic(topic):
            if listed.log not in known and listed.log_end is not None:
                place = {"topic": topic, "partition": listed.log.partition}
                law.name("in_flight", place, listed.log_start, listed.log_end, "a partition that was never read")
    return [law]


def _check(law: Checked, place: Place, progress: Progress, listed: ListedLog) -> None:
    changed = changed_identity(listed, progress)
    if changed:
        sizes = [source.get("size") for source in (progress.source, listed.identity)]
        left, right = (size if isinstance(size, int) else None for size in sizes)
        note = f"not the log that was metered: {', '.join(changed)} changed"
        law.name("difference", place, left, right, note)
        law.places += 1
        return
    at, end = progress.next_offset, listed.log_end
    if listed.log_start > at:
        law.add(at, listed.log_start)
        note = f"offsets {at} to {listed.log_start - 1} are gone from the log and were never metered"
        law.name("difference", place, at, listed.log_start, note)
    elif end is None:
        law.name("not_checked", place, at, None, "where the log ends is not known")
    elif at > end:
        law.add(at, end)
        note = "metered past the log's end: it lost its tail, or is another log under the same name"
        law.name("difference", place, at, end, note)
    else:
        law.add(at, end)
        if at < end:
            law.name("in_flight", place, at, end, "not read yet")
