"""Shows a run while it goes: one line that a terminal keeps renewing, or a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from schemas.progress import Counts
from tally.running import Watch
from tally.telemetry import logs

LOG_EVERY: Final = 10_000_000
"""Microseconds between two lines where stderr is no terminal."""


def line_of(counts: Counts, seconds: float, share: tuple[int, int]) -> str:
    """Return the state of a run as one line."""
    rate = int(counts.events / seconds) if seconds > 0 else 0
    read, length = share
    parts = [
        f"{counts.events:,} events",
        f"{rate:,}/s",
        f"{counts.accepted:,} accepted",
        f"{counts.late:,} late",
        f"{counts.duplicates:,} duplicates",
        f"{counts.rejected.total():,} rejected",
    ]
    if length:
        parts.insert(0, f"{100 * read // length} %")
    return " · ".join(parts)


@contextmanager
def showing(
    *, quiet: bool, every: int = LOG_EVERY, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Watch], None]]:
    """Return what shows a run's progress on stderr: a line that is renewed on a terminal, else one every so often.

    `every` is in microseconds.
    """
    started = told = clock()
    live = sys.stderr.isatty() and not logs.as_json()
    shown = False

    def show(watch: Watch) -> None:
        nonlocal told, shown
        now = clock()
        if quiet or (not live and now - told < every / 1_000_000):
            return
        told = now
        counts = Counts.total(watch.counts().values())
        line = line_of(counts, now - started, watch.share_read())
        if live:
            shown = True
            sys.stderr.write(f"\r\x1b[2K{line}")
            sys.stderr.flush()
        else:
            logs.progress(line, counts.as_json())

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\n")
