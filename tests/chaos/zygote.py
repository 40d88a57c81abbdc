"""Starts flows quickly: a process of one thread that has loaded everything, and forks a child for each start.

    python -m tests.chaos.zygote

An order is a line of JSON on standard input: {"arguments": […], "env": {…}, "log": FILE}. Answers are lines of JSON on
standard output: {"pid": …} for each order, in their order, and {"pid": …, "status": …} when a child has ended, with
the status as `subprocess` gives it. Children die with the end of the input.

What is real: a process of its own with a pid of its own; every connection to a store and a broker, every thread, and
all of the run's state begin in the child. What is not: modules, compiled code and the key of the id hashes are
inherited, which a start from nothing would spend about two seconds of CPU on.
"""

import atexit
import gc
import importlib
import json
import os
import random
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, Final

import numpy as np

from dataflows.decode import Decoder
from dataflows.meter import Meter
from schemas.catalogue import load_catalogue
from schemas.log import LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Mark, Progress
from tally import cli
from tests.chaos import entry

OUTPUT: Final = 1
LOADED: Final = (
    "clickhouse_connect.driver.httpclient",
    "confluent_kafka.admin",
    "dataflows.usage",
    "tally.running",
    "tally.watching",
    "tally.wiring",
)
"""What a run of one process imports, at its start or later. Not the embedded engine: it has threads of its own."""


def warm_up() -> None:
    """Load everything that a run needs and that has no thread of its own."""
    for name in LOADED:
        importlib.import_module(name)
    cli.load("run")
    event = b'{"event_id":"x","org_id":1,"project_id":1,"category":"error","quantity":1,"timestamp":'
    values = [event + b'"2026-11-01T00:00:00Z"}', b"{", event + b'"2026-11-01T00:00:00Z"}' + b" " * 256]
    ends = np.cumsum([len(value) for value in values])
    starts = ends - [len(value) for value in values]
    log, offsets = LogId("warm", "0"), np.arange(len(values))
    stamps = offsets + 1_793_000_000_000_000
    batch = RecordBatch(log, b"".join(values), starts, ends, offsets, stamps, len(values))
    for format_ in ("tally", "sentry-outcomes"):
        settings = MeterSettings(load_catalogue(), format=format_)
        meter = Meter(settings, Progress(log, 1, "", 0, 0, Mark(0, None, None, 0)), broker_clock=True)
        meter.add(Decoder(settings)(batch))
        meter.flush()


def become(order: dict[str, Any]) -> None:
    """Be the process that was ordered, to its end."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(order["env"])
    random.seed()
    status = 1
    try:
        entry.main(order["arguments"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a process that ends so says so
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        atexit._run_exitfuncs()
        os._exit(status)


def say(answer: dict[str, int]) -> None:
    os.write(OUTPUT, (json.dumps(answer) + "\n").encode())


def serve() -> None:
    """Take orders until there are no more."""
    warm_up()
    gc.collect()
    gc.freeze()  # a child's collector leaves these pages shared
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(awake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    orders = b""
    say({"pid": os.getpid()})
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            with suppress(BlockingIOError):
                os.read(awake, 4096)
            for pid in list(children):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    children.discard(pid)
                    say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})
        if 0 not in ready:
            continue
        piece = os.read(0, 1 << 16)
        if not piece:
            break
        *lines, orders = (orders + piece).split(b"\n")
        for line in lines:
            pid = os.fork()
            if not pid:
                become(json.loads(line))
            children.add(pid)
            say({"pid": pid})
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
