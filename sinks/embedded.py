"""ClickHouse's engine within the process: one path per process, one process per path.

The engine is global to a process: any number of handles on one path share it, and it shuts down with the last of them.
It holds a lock on the file `status` in its folder. A second process learns why it was refused on stderr only, so the
lock is asked first, here, for an error that says who holds the store and what to do.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import StoreBusy, StoreError
from sinks.url import EmbeddedUrl

SETTINGS: Final = {
    # Instants are UTC in every table; the host's zone must not reach a column that lost its own on the way.
    "session_timezone": "UTC",
    # A query over millions of windows spills to the store's folder instead of growing this process without end.
    "max_bytes_before_external_group_by": str(256 << 20),
    "max_bytes_before_external_sort": str(256 << 20),
    # Otherwise a share of the machine's memory, half of it by default, is what decides.
    "max_bytes_ratio_before_external_group_by": "0",
    "max_bytes_ratio_before_external_sort": "0",
}
"""Settings of every handle on the engine."""

ENGINE_OPTIONS: Final = {
    # Caches grow up to their bounds and stay there; the defaults are made for a machine of their own.
    "mark_cache_size": str(256 << 20),
    "index_mark_cache_size": str(64 << 20),
    "mmap_cache_size": "0",
    "compiled_expression_cache_size": str(32 << 20),
    **SETTINGS,
}
"""Options of the embedded engine: they bound its memory and keep its answers independent of the host."""

_lock = threading.Lock()
_handles: dict[Path, int] = {}


@contextmanager
def opening(url: EmbeddedUrl) -> Iterator[None]:
    """Guard the opening of one more handle on a store, and count it; `closed` takes it back.

    Raises StoreBusy where another process holds the store, or this one holds another store open, and StoreError where
    the folder cannot be used.
    """
    with _lock:
        others = [path for path, count in _handles.items() if count and path != url.path]
        if others:
            raise StoreBusy(
                f"store {url}: this process already has chdb:{others[0]} open, and can hold one embedded store at a "
                "time; close it first, or reach one of the two through `tally serve`"
            )
        if not _handles.get(url.path):
            try:
                url.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"store {url}: the folder cannot be made: {error.strerror}") from error
            if not os.access(url.path, os.W_OK):
                raise StoreError(
                    f"store {url}: the folder cannot be written, which the engine must even to read: its disk is "
                    "mounted read-only, or it is another user's"
                )
            refuse_if_held(url)
        try:
            yield
        except StoreError:
            if not _handles.get(url.path):
                refuse_if_held(url)  # another process may have opened it since it was asked
            raise
        _handles[url.path] = _handles.get(url.path, 0) + 1


def closed(url: EmbeddedUrl) -> None:
    """Take back one handle that `opening` counted."""
    with _lock:
        _handles[url.path] = max(0, _handles.get(url.path, 0) - 1)


def refuse_if_held(url: EmbeddedUrl) -> None:
    """Raise StoreBusy when another process has the store open."""
    status = url.path / "status"
    try:
        descriptor = os.open(status, os.O_RDONLY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"store {url}: {status} cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = re.search(rb"PID: (\d+)", os.read(descriptor, 200))
        holder = f"process {found[1].decode()}" if found else "another process"
        raise StoreBusy(
            f"store {url}: {holder} has it open, and only one process can; wait for it to end, or share the store: "
            f"`tally serve --store {url}` in one process and `--store clickhouse://…` in the others"
        ) from None
    finally:
        os.close(descriptor)
