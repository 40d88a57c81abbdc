"""Run the command line in this process and die by SIGKILL at a named point of the n-th flush.

    python -m tests.flow.crashing POINT N ARGUMENTS…

The points are the store's own steps, so that a crash lies exactly between two of the writes of a flush.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from sinks.store import Store

POINTS: Final = ("before_usage", "before_dead_letters", "before_progress", "after_progress")
BEFORE_KEPT: Final = "before_kept"
"""The point before kept events, which only a run over a catalogue that keeps some comes to."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, countdown: int) -> None:
    """Let the process die when `point` is reached for the `countdown`-th time in a flush that has rows."""
    left = countdown
    insert: Callable[..., None] = Store._insert
    before = {
        BEFORE_KEPT: "kept_events",
        "before_usage": "usage_windows",
        "before_dead_letters": "dead_letters",
        "before_progress": "progress",
    }

    def watched(self: Store, name: str, table: Any) -> None:
        nonlocal left
        if name == before.get(point):
            left -= 1
            if left <= 0:
                die()
        insert(self, name, table)
        if point == "after_progress" and name == "progress":
            left -= 1
            if left <= 0:
                die()

    Store._insert = watched  # type: ignore[method-assign]  # the place where a process is killed


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["tally", *sys.argv[3:]]
    from tally.cli import main

    main()
