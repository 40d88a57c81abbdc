"""Work for several processes: handed out by the chunk, answered in its order, in bounded memory."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, Final, TypeVar

from schemas.statements import CategoryUsage, OrgUsage

CHUNK: Final = 250
"""Organisations that are handed to a process at a time."""
AHEAD: Final = 8
"""Chunks a process that wait for it, so that none waits for work, and memory stays bounded."""

W = TypeVar("W")
S = TypeVar("S")
A = TypeVar("A")


def started(processes: int, start: Callable[..., None], *about: Any) -> ProcessPoolExecutor:
    """Return so many processes; each calls `start` with `about` before anything else. A context manager."""
    # Not forked: the embedded engine's threads would not come along.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), start, about)


def chunks(works: Iterable[W], size: int = CHUNK) -> Iterator[list[W]]:
    """Yield works by the chunk, none before it is asked for."""
    waiting = iter(works)
    while chunk := list(islice(waiting, size)):
        yield chunk


def answers(
    pool: Executor, processes: int, works: Iterable[W], pack: Callable[[list[W]], S], function: Callable[[S], A]
) -> Iterator[tuple[list[W], A]]:
    """Yield each chunk of works with what `function` answers, elsewhere, to the chunk as it was packed."""
    waiting: deque[tuple[list[W], Future[A]]] = deque()
    for chunk in chunks(works):
        waiting.append((chunk, pool.submit(function, pack(chunk))))
        if len(waiting) >= processes * AHEAD:
            done, answer = waiting.popleft()
            yield done, answer.result()
    while waiting:
        done, answer = waiting.popleft()
        yield done, answer.result()


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
