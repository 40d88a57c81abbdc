"""The usage flow's parts put together: settings, sources, decoder, meters, store. For `tally run` and for clusters."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from dataflows.decode import Decoder
from dataflows.metering import Meters
from dataflows.open_rows import OpenRows
from dataflows.plan import Plan, list_sources, make_plan
from dataflows.reading import Control, Item, Opened, Pace, ReadLogs, Tick
from dataflows.sources.base import wall_clock
from dataflows.usage import Parts
from schemas.errors import StoreError, TallyError
from schemas.log import EventBatch, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Progress
from schemas.usage import Flush
from sinks.retry import Retrying
from sinks.store import Store, open_store
from sinks.writer import WriteUsage
from tally.settings import Settings, load_settings
from tally.sources import open_sources

MICROSECONDS: Final = 1_000_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MALLOC_KEEPS: Final = 1 << 30


def say(message: str) -> None:
    """Tell the person or the log of the process."""
    print(f"tally: {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class UsageRun:
    """A run that is ready to go: nothing has been read or written but migrations."""

    settings: Settings
    store: Store
    plan: Plan
    control: Control
    parts: Parts


def prepare(
    settings: Settings,
    control: Control,
    *,
    clock: Callable[[], int] = wall_clock,
    tell: Callable[[str], None] = say,
    wrote: Callable[[Sequence[Flush]], None] = lambda _: None,
) -> UsageRun:
    """Open everything that a run needs, in the order in which a mistake costs least.

    The catalogue, the settings and the sources are looked at before a store is opened or made. `tell` takes messages
    for a person, `wrote` every flush that reached the store. Raises TallyError.
    """
    meter_settings = settings.meter_settings()
    decode = Decoder(meter_settings)
    listings = list_sources(open_sources(settings, clock, tell), clock)
    store = open_store(settings.store)
    try:
        store.migrate()
        plan = make_plan(listings, meter_settings, store, again=settings.again)
    except BaseException:
        store.close()
        raise
    for note in plan.notes:
        tell(note)
    patience = None if settings.store_patience is None else settings.store_patience / MICROSECONDS
    store.retrying = Retrying(patience=patience, on_wait=tell, should_stop=lambda: control.stopping)
    write = WriteUsage(store.write, wrote, control)
    read = ReadLogs(plan, Pace(clock, settings.flush_interval), control, _announcer(store, meter_settings))
    parts = Parts(read, _decoding(decode), Meters(meter_settings, control), write)
    return UsageRun(settings, store, plan, control, parts)


def _announcer(store: Store, settings: MeterSettings) -> Callable[[list[Progress]], None]:
    none = OpenRows(settings.catalogue.names).none()

    def announce(progress: list[Progress]) -> None:
        store.write([Flush(found, settings.format, none, ()) for found in progress])

    return announce


def _decoding(decode: Decoder) -> Callable[[Item], Opened | EventBatch | Tick]:
    def step(item: Item) -> Opened | EventBatch | Tick:
        return decode(item) if isinstance(item, RecordBatch) else item

    return step


def drain_on_signals(control: Control) -> None:
    """Let SIGTERM and SIGINT end the run as an end of its logs would: flush, progress, exit. A second one kills."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        control.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def keep_large_buffers() -> None:
    """Tell glibc to keep the memory of batches instead of giving it back to the kernel and fetching it at every one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # another libc
    mallopt(_M_MMAP_THRESHOLD, _MALLOC_KEEPS)
    mallopt(_M_TRIM_THRESHOLD, _MALLOC_KEEPS)


def exit_status(failure: TallyError) -> int:
    """Return the exit status of a run that had begun: a store away, or its disk full, is no mistake of the caller's."""
    return 1 if isinstance(failure, StoreError) else failure.exit_status


def usage_flow() -> Parts:
    """Return the parts for `python -m bytewax.run`: settings from the environment and tally.toml alone."""
    return worker_parts(load_settings)


def worker_parts(settings: Callable[[], Settings], listen: Callable[[Control], None] | None = None) -> Parts:
    """Return the parts for a worker process of a cluster.

    It is told to stop by signals, or by what `listen` listens to from now on.
    A failure ends the process at once, with its message: in a cluster it must not wait for the other processes, which
    end with it and are started again together.
    """

    def leave(error: TallyError) -> None:
        say(str(error))
        os._exit(exit_status(error))

    control = Control(on_failure=leave)
    (listen or drain_on_signals)(control)
    try:
        run = prepare(settings(), control)
    except TallyError as error:
        say(str(error))
        raise SystemExit(error.exit_status) from None
    keep_large_buffers()
    return run.parts
