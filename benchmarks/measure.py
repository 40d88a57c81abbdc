"""Run a command as a process of its own, pinned to a core, and say what it took."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


class RunFailed(Exception):
    """A measured command ended with an error; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` is added to the environment; `pinned=False` lets it have every core."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = True

    @classmethod
    def module(cls, name: str, *arguments: object, pinned: bool = True, env: Mapping[str, str] | None = None) -> Self:
        """Return the command that runs one of our modules with this interpreter."""
        return cls((sys.executable, "-m", name, *map(str, arguments)), env or {}, pinned)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run: wall seconds from start to exit, CPU seconds over its processes, the largest one's peak memory."""

    wall: float
    cpu: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several values and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def measured_core() -> int:
    """Return the core that measured processes run on: the last of those that this process may use."""
    return max(os.sched_getaffinity(0))


def other_cores() -> set[int]:
    """Return the cores for brokers and servers: all but the measured one, where there is more than one."""
    cores = os.sched_getaffinity(0)
    return cores - {measured_core()} or cores


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Start what is started inside on these cores: a child inherits them from the thread that starts it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(command: Command, log: Path) -> Measurement:
    """Run a command to its end; its output goes to `log`. Raises RunFailed where it does not exit with 0.

    The peak is the kernel's figure for the largest process. A process that is smaller than this one shows this
    one's size, which is why this one imports nothing large.
    """
    cores = {measured_core()} if command.pinned else os.sched_getaffinity(0)
    with log.open("wb") as output:
        start = time.perf_counter()
        with on_cores(cores):
            process = subprocess.Popen(
                command.argv,
                env={**os.environ, **command.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
        raise RunFailed(f"`{' '.join(command.argv)}` ended with {process.returncode}: " + "\n".join(words))
    return Measurement(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
