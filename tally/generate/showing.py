"""Shows how far the generator is: a bar on a terminal, else a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tally.generate.traffic import ShowProgress, show_nothing
from tally.output import progress_bar, say

EVERY: Final = 5.0
"""Seconds between two lines where stderr is no terminal."""


@contextmanager
def showing(*, quiet: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[ShowProgress]:
    """Return what shows progress on stderr; nothing when `quiet`."""
    if quiet:
        yield show_nothing
        return
    if sys.stderr.isatty():
        with progress_bar() as bar:
            task = bar.add_task("generating", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    started = told = clock()

    def show(done: int, total: int) -> None:
        nonlocal told
        now = clock()
        if now - told >= EVERY:
            told = now
            say(f"{100 * done // total} % · {done:,} of {total:,} events · {int(done / (now - started)):,}/s")

    yield show
