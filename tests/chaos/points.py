"""Named points between and inside the writes of a flush, at which a process dies by SIGKILL; and its wall clock.

What is patched here decides only when a process dies, and what time it is told. What it reads, counts and writes is the
product's own doing.
"""

import http.client
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sinks.store import Store
from tests.chaos.defects import DEFECTS
from tests.flow.crashing import die

TABLES: Final = {"usage": "usage_windows", "letters": "dead_letters", "progress": "progress", "kept": "kept_events"}
"""The inserts of a flush. Kept events come first of them, where the catalogue has any."""

PLACES: Final = ("before", "inside", "unanswered")
"""before: nothing of the insert is sent. inside: half of its bytes are. unanswered: all, and no answer was read."""
POINTS: Final = (
    "before_check",
    *(f"{place}_{which}" for which in ("usage", "letters", "progress") for place in PLACES),
    "after_progress",
)
KEPT_POINTS: Final = tuple(f"{place}_kept" for place in PLACES)


def arm(point: str, countdown: int) -> None:
    """Let this process die when `point` is reached for the `countdown`-th time; inserts without rows do not count."""
    where, _, which = point.partition("_")
    left = countdown

    def reached() -> bool:
        nonlocal left
        left -= 1
        return left <= 0

    if which == "check":
        check = Store.check_generations

        def checked(self: Store, flushes: Any) -> None:
            if any(len(flush.rows) for flush in flushes) and reached():
                die()
            check(self, flushes)

        Store.check_generations = checked  # type: ignore[method-assign]  # the place where a process is killed
        return
    _arm_insert(TABLES[which], where, reached)


def _arm_insert(wanted: str, where: str, reached: Callable[[], bool]) -> None:
    insert, send = Store._insert, http.client.HTTPConnection.send
    dying = False

    def watched(self: Store, name: str, table: Any) -> None:
        nonlocal dying
        if name == wanted and table.num_rows and reached():
            if where == "before":
                die()
            dying = True
        try:
            insert(self, name, table)
            if dying:
                die()  # after
        finally:
            dying = False  # it could not be sent: the next one is another insert

    def sending(self: http.client.HTTPConnection, data: Any) -> None:
        # The head goes by itself, as bytes; the body is an Arrow buffer.
        if not dying or where == "after" or bytes(memoryview(data)[:5]) == b"POST ":
            send(self, data)
            return
        part = memoryview(data)
        self.sock.sendall(part[: len(part) // 2] if where == "inside" else part)
        die()

    Store._insert = watched  # type: ignore[method-assign]  # the place where a process is killed
    http.client.HTTPConnection.send = sending  # type: ignore[method-assign]  # the bytes of an insert


class Clock:
    """An offset of the wall clock that lies in a file, so that it can be stepped under running processes."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)

    @property
    def offset(self) -> int:
        """Return the nanoseconds by which the wall clock is ahead."""
        return int.from_bytes(self._shared[:8], "little", signed=True)

    def step(self, seconds: float) -> None:
        """Let the wall clock be this far from the real one."""
        self._shared[:8] = int(seconds * 1e9).to_bytes(8, "little", signed=True)

    def install(self) -> None:
        """Let this process read that clock. The monotonic one stays: no system lets it step."""
        real = time.time_ns
        time.time_ns = lambda: real() + self.offset
        time.time = lambda: time.time_ns() / 1e9


def prepare() -> None:
    """Arm this process as its environment says: CHAOS_CLOCK (a file), CHAOS_POINT and CHAOS_COUNT, CHAOS_DEFECT."""
    clock, point = os.environ.get("CHAOS_CLOCK"), os.environ.get("CHAOS_POINT")
    if defect := os.environ.get("CHAOS_DEFECT"):
        DEFECTS[defect]()
    if clock:
        Clock(Path(clock)).install()
    if point:
        arm(point, int(os.environ["CHAOS_COUNT"]))
