"""A Bytewax cluster on this machine: `tally run --processes N`.

The parent decides everything that can be refused, offers an embedded store to its workers (one process holds it open),
starts them, shows their progress as the store has it, and ends with all of them. Workers are `tally.worker` processes;
they live and die together: when one fails the others are ended, and the next run goes on from progress.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, Final

from dataflows.plan import list_sources, make_plan
from dataflows.reading import Control
from dataflows.sources.base import wall_clock
from schemas.errors import SettingsError, StoreUnavailable, TallyError
from sinks.serve import StoreServer
from sinks.store import Store, open_store
from sinks.url import EmbeddedUrl, parse_url
from tally.draining import Draining
from tally.running import RunSummary, Watch, stopped
from tally.settings import Settings
from tally.sources import open_sources
from tally.telemetry.logs import say
from tally.watching import showing
from tally.wiring import plan_options, tell_notes
from tally.worker import DRAIN

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the workers and their progress."""
LAST_WORDS: Final = 40
"""Lines of a worker's other output that are kept, to be shown where it ends without a message."""
ENDING: Final = 10.0
"""Seconds that the other workers get to end by themselves when one has failed."""


class WorkerFailed(TallyError):
    """A worker of the cluster failed; it has said why."""

    exit_status = 1


def run_cluster(settings: Settings, flags: Mapping[str, Any], processes: int, *, quiet: bool, every: int) -> RunSummary:
    """Run the flow on `processes` processes until the logs end or a signal drains them; return what was done.

    `flags` are the settings given by flags, for the workers to read the same settings as this process.
    Raises TallyError; WorkerFailed where a worker had said why.
    """
    if "-" in settings.sources:
        raise SettingsError("standard input is one log: it cannot be spread over processes")
    with ExitStack() as stack:
        draining = stack.enter_context(_draining())
        # The workers make the same plan again; made here, a refusal is one message instead of one a worker.
        meter_settings = settings.meter_settings()
        listings = list_sources(open_sources(settings, wall_clock, say), wall_clock)
        store_url = stack.enter_context(_shared_store(settings))
        store = stack.enter_context(open_store(store_url))
        store.migrate()
        plan = make_plan(listings, meter_settings, store, plan_options(settings))
        tell_notes(plan, say)
        watch = Watch()
        watch.started = {planned.progress.log: planned.progress for planned in plan.logs if not planned.finished}
        workers = stack.enter_context(_workers({**flags, "store": store_url}, processes, draining))
        show = stack.enter_context(showing(quiet=quiet, every=every))
        calls = Draining(draining.control, watch_calls=True)
        _wait(workers, store, calls, watch, show)
        finished = sum(planned.finished for planned in plan.logs)
        try:
            with calls.calling():
                watch.progress = store.progress()
                return RunSummary(watch.counts(), finished, store.complete_to())
        except StoreUnavailable as error:
            raise stopped(
                StoreUnavailable(
                    f"{error}. Every worker has ended well, and what it counted is in the store: only the summary is "
                    "missing (`tally status` shows it later)"
                )
            ) from error


@contextmanager
def _shared_store(settings: Settings) -> Iterator[str]:
    """Return a store URL that all workers can open. It may hold a password: it is never shown."""
    url = parse_url(settings.store)
    if not isinstance(url, EmbeddedUrl):
        yield settings.store
        return
    with StoreServer(url.path) as server:
        yield server.url


class _Worker:
    """One worker process, its messages passed on as they come."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tally.worker"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the parent, which drains the workers
        )
        self.spoke = False
        self.last_words: deque[str] = deque(maxlen=LAST_WORDS)
        assert self.process.stdin is not None
        # Left open: a worker whose parent is gone reads the end of it and leaves.
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith(("tally: ", "{")):  # for people, or for machines
                self.spoke = True
                sys.stderr.write(line)
                sys.stderr.flush()
            else:
                self.last_words.append(line)

    def drain(self) -> None:
        """Tell the worker to flush and end, also one that is still starting; may be called from a signal handler."""
        assert self.process.stdin is not None
        with suppress(OSError):  # it has ended
            os.write(self.process.stdin.fileno(), DRAIN)

    def heard(self) -> None:
        """Wait until everything that an ended worker said was passed on."""
        self._listener.join(timeout=5)


class _Draining:
    """Whether a signal has asked for the end, and the workers to tell."""

    def __init__(self) -> None:
        self.control = Control()
        self.workers: list[_Worker] = []

    def request(self, number: int, _: FrameType | None) -> None:
        """Drain the workers. A second signal kills."""
        signal.signal(number, signal.SIG_DFL)
        self.control.request_stop()
        for worker in self.workers:
            worker.drain()


@contextmanager
def _draining() -> Iterator[_Draining]:
    """Take SIGTERM and SIGINT, from before the first worker is started on."""
    draining = _Draining()
    before = {number: signal.signal(number, draining.request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield draining
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _workers(flags: Mapping[str, Any], processes: int, draining: _Draining) -> Iterator[list[_Worker]]:
    """Start the workers; on the way out none is left."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(processes)]
    workers = draining.workers
    try:
        for number in range(processes):
            # One at a time: what was started is in the list, and ended, should a later start fail.
            workers.append(_Worker({"flags": flags, "process_id": number, "addresses": addresses}))
        if draining.control.stop_requested:  # while they were being started
            for worker in workers:
                worker.drain()
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()


def _wait(workers: Sequence[_Worker], store: Store, calls: Draining, watch: Watch, show: Any) -> None:
    while any(worker.process.poll() is None for worker in workers):
        time.sleep(LOOK_EVERY)
        if any(worker.process.poll() for worker in workers):
            break
        with suppress(StoreUnavailable), calls.calling():  # the workers wait for it, and say so
            watch.progress = {log: found for log, found in store.progress().items() if log in watch.started}
            show(watch)
    deadline = time.monotonic() + ENDING
    for worker in workers:
        try:
            worker.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.heard()
    failed = [number for number, worker in enumerate(workers) if worker.process.returncode]
    if not failed:
        return
    if not any(worker.spoke for worker in workers):
        for number in failed:
            sys.stderr.write("".join(workers[number].last_words))
    raise WorkerFailed(
        f"{len(failed)} of {len(workers)} workers ended early. Nothing that was counted is lost: run it again to go on"
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listening.getsockname()[1] for listening in sockets]
    finally:
        for listening in sockets:
            listening.close()
