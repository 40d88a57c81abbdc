"""The usage flow's parts put together: settings, sources, decoder, meters, store. For `tally run` and for clusters."""

import argparse
import atexit
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Final

from dataflows.decode import Decoder
from dataflows.metering import Meters
from dataflows.open_rows import OpenRows
from dataflows.plan import Options, Plan, list_sources, make_plan
from dataflows.reading import Control, Item, Opened, Pace, ReadLogs, Tick
from dataflows.rejection_limit import RejectionLimits
from dataflows.sources.base import wall_clock
from dataflows.usage import Parts
from schemas.errors import StoreError, TallyError
from schemas.log import EventBatch, RecordBatch
from schemas.metering import MeterSettings
from schemas.usage import Flush
from sinks.retry import Retrying
from sinks.store import Store, open_store
from sinks.writer import WriteUsage
from tally.commits import Commits
from tally.draining import Draining
from tally.settings import Settings, load_settings
from tally.sources import open_sources
from tally.telemetry import logs
from tally.telemetry.logs import Tell, say
from tally.telemetry.observer import WatchedMeters
from tally.telemetry.opening import Telemetry, open_telemetry

MICROSECONDS: Final = 1_000_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MALLOC_KEEPS: Final = 1 << 30


@dataclass(frozen=True)
class UsageRun:
    """A run that is ready to go: nothing has been read or written but migrations. `opened` is what it holds open."""

    settings: Settings
    store: Store
    plan: Plan
    control: Control
    parts: Parts
    opened: ExitStack
    draining: Draining
    telemetry: Telemetry | None = None

    def close(self) -> None:
        """Let go of the store, and send what telemetry has not sent yet; may be called twice."""
        self.opened.close()


def steady_clock() -> int:
    """Return microseconds of a clock that is never set: it paces flushes."""
    return time.monotonic_ns() // 1000


def prepare(
    settings: Settings,
    control: Control,
    *,
    clock: Callable[[], int] = wall_clock,
    tell: Tell = say,
    wrote: Callable[[Sequence[Flush]], None] = lambda _: None,
    process: int | None = None,
) -> UsageRun:
    """Open everything that a run needs, in the order in which a mistake costs least.

    The catalogue, the settings and the sources are looked at before a store is opened or made. `tell` takes messages
    for a person, `wrote` every flush that reached the store; `process` is a cluster's process number.

    Raises TallyError.
    """
    meter_settings = settings.meter_settings()
    decode = Decoder(meter_settings)
    with ExitStack() as opened:
        telemetry = open_telemetry(settings, control, process)
        if telemetry is not None:
            opened.callback(telemetry.close)
        warn = partial(tell, level="warning")
        sources = open_sources(settings, clock, warn, lambda: control.stopping)
        listings = list_sources(sources, clock)
        store = opened.enter_context(open_store(settings.store))
        store.migrate()
        plan = make_plan(listings, meter_settings, store, plan_options(settings))
        tell_notes(plan, tell)
        draining = Draining(control, watch_calls=not store.embedded)
        commits = Commits(sources, settings.consumer_group, warn)
        opened.callback(commits.close)
        wrote = commits.then(wrote)
        meters, write = _watched(settings, meter_settings, plan, store, control, draining, telemetry, tell, wrote)
        announce = _announcer(store, meter_settings, plan, draining)
        read = ReadLogs(plan, Pace(steady_clock, settings.flush_interval), control, announce)
        parts = Parts(read, _decoding(decode), meters, write)
        return UsageRun(settings, store, plan, control, parts, opened.pop_all(), draining, telemetry)


def plan_options(settings: Settings) -> Options:
    """Return what the settings say of logs that do not fit their progress."""
    return Options(again=settings.again, accept_gap=settings.accept_gap)


def tell_notes(plan: Plan, tell: Tell) -> None:
    """Tell what a person should know about where the logs start."""
    for note in plan.notes:
        tell(note.text, topic=note.log.topic, partition=note.log.partition, offset=note.offset)


def _watched(
    settings: Settings,
    meter_settings: MeterSettings,
    plan: Plan,
    store: Store,
    control: Control,
    draining: Draining,
    telemetry: Telemetry | None,
    tell: Tell,
    wrote: Callable[[Sequence[Flush]], None],
) -> tuple[Meters, WriteUsage]:
    """Return the meters and the sink, and let the store wait; with telemetry, all of them tell its observer."""
    limits = RejectionLimits(settings.max_rejected_in_row, settings.max_rejected_ratio)
    patience = None if settings.store_patience is None else settings.store_patience / MICROSECONDS
    store.retrying = Retrying(patience=patience, on_wait=partial(tell, level="warning"), should_stop=draining.over)
    write = draining.writing(store.write)
    if telemetry is None:
        return Meters(meter_settings, control, limits), WriteUsage(write, wrote, control)
    observer = telemetry.observer
    observer.begin(plan)
    store.retrying = observer.retrying(store.retrying)
    store.inserted = observer.inserted
    meters = WatchedMeters(meter_settings, control, limits, observer)
    return meters, WriteUsage(observer.writing(write), observer.then(wrote), control)


def _announcer(store: Store, settings: MeterSettings, plan: Plan, draining: Draining) -> Callable[[], None]:
    none = OpenRows(settings.catalogue.names).none()

    def announce() -> None:
        with draining.calling():
            plan.check_nobody_else_writes(store)
            store.write([Flush(planned.progress, settings.format, none, ()) for planned in plan.logs])
            plan.check_nobody_else_writes(store)

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
    return worker_parts(load_settings, process=bytewax_process(sys.argv))


def bytewax_process(arguments: Sequence[str]) -> int | None:
    """Return the process number that Bytewax was given (-i, --process-id or BYTEWAX_PROCESS_ID), if any."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-i", "--process-id", type=int, default=os.environ.get("BYTEWAX_PROCESS_ID"))
    found: int | None = parser.parse_known_args(arguments)[0].process_id
    return found


def worker_parts(
    settings: Callable[[], Settings],
    listen: Callable[[Control], None] | None = None,
    process: int | None = None,
) -> Parts:
    """Return the parts for a worker process of a cluster, `process` being its number there.

    It is told to stop by signals, or by what `listen` listens to from now on.
    A failure ends the process at once, with its message: in a cluster it must not wait for the other processes, which
    end with it and are started again together.
    """

    def leave(error: TallyError) -> None:
        logs.fail(error)
        os._exit(exit_status(error))

    control = Control(on_failure=leave)
    (listen or drain_on_signals)(control)
    try:
        found = settings()
        logs.set_up(found.log_format, found.log_level)
        run = prepare(found, control, process=process)
    except TallyError as error:
        logs.fail(error)
        raise SystemExit(error.exit_status) from None
    atexit.register(run.close)
    keep_large_buffers()
    return run.parts
