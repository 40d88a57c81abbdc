"""A run that goes on beside its test: what it says is waited for, never slept for, and it is ended with the test."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

DEADLINE: Final = 200.0
"""Seconds after which a test gives up; nothing passes because of it."""

QUICK: Final = ("--flush-interval", "10ms", "--progress-every", "1us")
"""Flush often, and say so each time."""

_PROGRESS: Final = re.compile(r"([\d,]+) events · ")


class Running:
    """A process whose lines on stderr are read as they come."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        module: str = "tally.cli",
        env: Mapping[str, str] | None = None,
        feed: bool = False,
    ) -> None:
        """Start `python -m module arguments`; `feed` leaves standard input open for `send`."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self.said: list[str] = []
        self.out = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._feed: queue.Queue[bytes | None] = queue.Queue()
        self._fed = threading.Event()
        targets = [self._hear, self._take, *([self._give] if feed else [])]
        self._helpers = [threading.Thread(target=target, daemon=True) for target in targets]
        for helper in self._helpers:
            helper.start()

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)

    def _take(self) -> None:
        assert self.process.stdout is not None
        self.out = self.process.stdout.read().decode()

    def _give(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which is another's to judge
            while (data := self._feed.get()) is not None:
                self.process.stdin.write(data)
                self.process.stdin.flush()
                self._fed.set()
            self.process.stdin.close()

    def _finish(self) -> None:
        self._feed.put(None)
        for helper in self._helpers:
            helper.join(DEADLINE)

    def until(self, done: Callable[[str], bool]) -> str:
        """Return the next line for which `done` is true. Fails where the process ends before."""
        deadline = time.monotonic() + DEADLINE
        while (line := self._next(deadline)) is not None:
            if done(line):
                return line
        raise AssertionError(f"ended ({self.process.wait(DEADLINE)}) before it said so: {self.said}")

    def until_counted(self, events: int) -> None:
        """Wait until the run has written that many events to its store."""
        self.until(lambda line: counted(line) >= events)

    def send(self, data: bytes) -> None:
        """Write to the process' standard input, without waiting until it is read."""
        self._feed.put(data)

    def until_fed(self) -> None:
        """Wait until what was sent first is in the process' hands, but for what a pipe holds (64 KiB)."""
        assert self._fed.wait(DEADLINE)

    def close_input(self) -> None:
        self._feed.put(None)

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for the end of the process, after a signal if one is given; return its exit status."""
        if number is not None:
            self.send_signal(number)
        status = self.process.wait(DEADLINE)
        deadline = time.monotonic() + DEADLINE
        while self._next(deadline) is not None:
            pass
        self._finish()
        return status

    def _next(self, deadline: float) -> str | None:
        try:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"nothing more within {DEADLINE:g} s: {self.said}") from None
        if line is None:
            self._lines.put(None)  # the end stays the end
        else:
            self.said.append(line)
        return line

    @property
    def complaints(self) -> list[str]:
        """Return what was said beside the lines that only show how far the run is."""
        return [line for line in self.said if counted(line) < 0]

    def only_message(self) -> str:
        """Return the one message of a run that failed, without its prefix."""
        return only_message("\n".join(self.said))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._finish()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def run(*arguments: str, **options: Any) -> Running:
    """Start `tally run`, flushing often."""
    return Running(["run", *QUICK, *arguments], **options)


def counted(line: str) -> int:
    """Return how many events a line of progress says that were counted; -1 for another line."""
    found = _PROGRESS.search(line)
    return int(found[1].replace(",", "")) if found else -1


def only_message(stderr: str) -> str:
    """Return the one message of a command that failed, without its prefix; nothing else may have been said."""
    lines = [line for line in stderr.splitlines() if counted(line) < 0]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("tally: "), stderr
    return lines[0].removeprefix("tally: ")


def until(done: Callable[[], bool]) -> None:
    """Ask again and again until it is so, or fail after DEADLINE seconds."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline, f"not so after {DEADLINE:g} s"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on now."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in listening]
    finally:
        for one in listening:
            one.close()
