"""A broker, a flow and a steady producer as processes of their own, and what the flow says of itself meanwhile."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from benchmarks.measure import measured_core, on_cores, other_cores
from tests.flow.running import free_ports
from tests.kafka.broker import Broker, fetch_jars
from tests.store.serving import ServerProcess

PATIENCE: Final = 600.0
"""Seconds after which what is waited for counts as failed."""
LOOK_EVERY: Final = 0.02

Tell = Callable[[str], None]


class Failed(Exception):
    """What was measured did not do what it should; the message says what."""


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Give the address of a broker of its own on the other cores (or TALLY_TEST_KAFKA). Raises NoKafka."""
    given = os.environ.get("TALLY_TEST_KAFKA")
    if given:
        yield given
        return
    jars = fetch_jars()
    with TemporaryDirectory(dir=folder) as data:
        one = Broker(jars, Path(data))
        try:
            with on_cores(other_cores()):
                one.start()
            yield one.address
        finally:
            one.stop()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Give the URL of a store that a process of its own serves, on the other cores."""
    server = ServerProcess(folder)
    with on_cores(other_cores()):
        server.start()
    try:
        yield server.url
    finally:
        server.kill()


class Process:
    """A process of the command line that ends with the block."""

    def __init__(self, arguments: Sequence[str], log: Path, cores: set[int]) -> None:
        with log.open("ab") as output, on_cores(cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tally.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._log = log

    def check(self) -> None:
        """Raise Failed where the process has ended."""
        if self._process.poll() is not None:
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise Failed(f"a process ended with {self._process.returncode}: {words}")

    def kill(self) -> None:
        """End the process as a crash would, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def drain(self) -> None:
        """End the process in good order. Raises Failed where it does not exit with 0."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(PATIENCE):
            self.check()

    def wait(self) -> None:
        """Wait until the process has ended by itself. Raises Failed where it does not exit with 0."""
        if self._process.wait(PATIENCE):
            self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.kill()


class Flow(Process):
    """`tally run` on the measured core, with its metrics."""

    def __init__(self, source: str, store: str, log: Path, *flags: str) -> None:
        (self.port,) = free_ports(1)
        told = ("run", source, "--store", store, "--quiet", "--metrics-address", str(self.port), *flags)
        super().__init__(told, log, {measured_core()})

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric over its series; None where the flow does not say it, or not yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values)) if values else None

    def until(self, done: Callable[[], bool]) -> float:
        """Wait until it is so; return the monotonic time at which it was. Raises Failed where the flow ends before."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"not there after {PATIENCE:g} s")
            time.sleep(LOOK_EVERY)
        return time.monotonic()

    def until_said(self, name: str, least: float = 0.0) -> float:
        """Wait until a metric is said and is at least so much, as `until` does."""

        def said() -> bool:
            value = self.metric(name)
            return value is not None and value >= least

        return self.until(said)

    def until_behind_at_most(self, records: float) -> float:
        """Wait until the flow has caught up so far, as `until` does."""
        return self.until(lambda: self.behind_at_most(records))

    def behind_at_most(self, records: float) -> bool:
        """Say whether the flow has written all but so many records of what it has seen in the log."""
        lag = self.metric("tally_lag_records")
        return lag is not None and lag <= records


def producing(url: str, rate: float, seconds: float, log: Path, seed: int = 1) -> Process:
    """Start `tally generate`: an event a record, at that rate, with every kind of trouble; on the other cores."""
    events = ("--events", str(int(rate * seconds)), "--rate", str(rate), "--seed", str(seed), "--orgs", "5000")
    expected = ("--expected", str(log.with_suffix(".expected.json")))
    return Process(("generate", url, "--force", "--quiet", *expected, *events), log, other_cores())
