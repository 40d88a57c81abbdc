"""Work for several processes: handed out by the chunk, answered in its order, in bounded memory."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from typing import Any, Final, TypeVar

from schemas.errors import RatingError
from schemas.statements import CategoryUsage, OrgUsage

CHUNK: Final = 250
"""Organisations that are handed to a process at a time."""
AHEAD: Final = 8
"""Chunks a process that wait for it, so that none waits for work, and memory stays bounded."""

W = TypeVar("W")
S = TypeVar("S")
A = TypeVar("A")


_STOPS: Final = frozenset({signal.SIGINT, signal.SIGTERM})


class _Process(SpawnProcess):
    """A process that ends when the one that started it says so, or is gone, and by no signal that asks to stop.

    Ctrl-C, and whoever stops a service, ask a whole group of processes. The parent answers for all: it finishes the
    batch under way, for which it needs the others.
    """

    def start(self) -> None:
        # Blocked and not ignored: what comes in this moment still reaches the parent. The child is born with the mask.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def terminate(self) -> None:
        """End it: a pool of which one process died ends the others so, and they would not hear SIGTERM."""
        self.kill()


class _Context(SpawnContext):
    """Not forked: the embedded engine's threads would not come along."""

    Process = _Process


def started(processes: int, start: Callable[..., None], *about: Any) -> ProcessPoolExecutor:
    """Return so many processes; each calls `start` with `about` before anything else. A context manager."""
    return ProcessPoolExecutor(processes, _Context(), _begin, (start, about))


def _begin(start: Callable[..., None], about: tuple[Any, ...]) -> None:
    # A parent that is killed cannot say so, and each child holds the pipe on which all of them wait for work open.
    Thread(target=_end_with_the_parent, daemon=True).start()
    start(*about)


def _end_with_the_parent() -> None:
    parent = parent_process()
    assert parent is not None, "only a process that was started by another runs this"
    parent.join()
    os._exit(1)


def chunks(works: Iterable[W], size: int = CHUNK) -> Iterator[list[W]]:
    """Yield works by the chunk, none before it is asked for."""
    waiting = iter(works)
    while chunk := list(islice(waiting, size)):
        yield chunk


def answers(
    pool: Executor, processes: int, works: Iterable[W], pack: Callable[[list[W]], S], function: Callable[[S], A]
) -> Iterator[tuple[list[W], A]]:
    """Yield each chunk of works with what `function` answers, elsewhere, to the chunk as it was packed.

    Raises RatingError where a process was killed under it.
    """
    waiting: deque[tuple[list[W], Future[A]]] = deque()
    try:
        for chunk in chunks(works):
            waiting.append((chunk, pool.submit(function, pack(chunk))))
            if len(waiting) >= processes * AHEAD:
                done, answer = waiting.popleft()
                yield done, answer.result()
        while waiting:
            done, answer = waiting.popleft()
            yield done, answer.result()
    except BrokenProcessPool as error:
        raise RatingError(
            f"one of {processes} processes ended under its work, killed perhaps for want of memory: rate again, with "
            "fewer --processes if it comes back; what was kept until then stays, and is not written twice"
        ) from error
    finally:
        for _, future in waiting:  # nobody asks for these any more
            future.cancel()


FlatUsage = tuple[int, dict[str, tuple[Any, ...]], str]
"""Usage as tuples of plain values: to be sent they take a tenth of the time that objects of ours do."""


def flat(usage: OrgUsage) -> FlatUsage:
    """Return usage in the form in which it is sent to another process."""
    return usage.org_id, {category: tuple(use) for category, use in usage.categories.items()}, usage.snapshot_id


def whole(sent: FlatUsage) -> OrgUsage:
    """Return the usage that was sent."""
    org_id, uses, snapshot_id = sent
    make = CategoryUsage._make
    return OrgUsage(org_id, {category: make(use) for category, use in uses.items()}, snapshot_id)


NO_USAGE: Final = OrgUsage(0, {})
"""What stands in the work that is sent, instead of the usage that is sent beside it."""
