"""Defects that a flow might have, planted in one to see that the check at a round's end finds them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from schemas.log import LogId
from schemas.progress import Mark, Progress
from schemas.usage import Flush
from sinks.progress_rows import progress_table
from sinks.store import Store


def progress_first() -> None:
    """Write progress before the rows that it covers: a kill between the two loses them."""
    write = Store._write_once

    def written(self: Store, flushes: Sequence[Flush]) -> None:
        self._insert("progress", progress_table(flushes))
        write(self, flushes)

    Store._write_once = written  # type: ignore[method-assign]  # the defect


def no_replay() -> None:
    """Go on at progress with an empty index: what was open is lost, and a repeat is counted again."""
    read = Store.progress

    def forgetful(self: Store, topic: str | None = None) -> dict[LogId, Progress]:
        return {log: replace(found, mark=_none(found)) for log, found in read(self, topic).items()}

    Store.progress = forgetful  # type: ignore[method-assign]  # the defect


def _none(found: Progress) -> Mark:
    return Mark(found.next_offset, found.clock, found.max_timestamp, found.next_offset)


def letters_lost() -> None:
    """Forget the dead letters of every other flush that has some."""
    insert, seen = Store._insert, 0

    def leaky(self: Store, name: str, table: Any) -> None:
        nonlocal seen
        if name == "dead_letters" and table.num_rows:
            seen += 1
            if seen % 2 == 0:
                return
        insert(self, name, table)

    Store._insert = leaky  # type: ignore[method-assign]  # the defect


DEFECTS: Final[Mapping[str, Callable[[], None]]] = {
    "progress_first": progress_first,
    "no_replay": no_replay,
    "letters_lost": letters_lost,
}
