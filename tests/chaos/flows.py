"""The processes under test: one that is to do the work, its predecessors that were given up and still live, and ends.

Starts, kills and looks only; what is started when is the round's to say.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

DEADLINE: Final = 120.0
"""Seconds after which something that must happen counts as not happening; nothing passes because of it."""
STEP: Final = 0.01
SETTLED: Final = 1.5
"""Seconds after which a run that has started takes signals."""
UNCLEAN: Final = re.compile(r"Traceback \(most recent|panicked at|^thread '|Segmentation|core dumped", re.MULTILINE)
"""What no run may say, whatever is done to it. A cluster that lost a process shows how Bytewax ended the other one."""
CLIENT_ABORT: Final = re.compile(r"rdkafka\w*\.[ch]:\d+: \w+: Assertion")
"""The Kafka client aborts its process, now and then, where a broker goes away while it is asked something: a kill."""
EXCUSED: Final = re.compile(r"^tally: (store clickhouse://|kafka://|.* workers ended early)")
"""The reasons for which a run may end while its world is in trouble: the store, the brokers, another process."""


class Stuck(AssertionError):
    """What must happen did not."""


@dataclass
class Process:
    """A process that was started. `status` is None while it lives, as `subprocess` gives it afterwards."""

    pid: int
    log: Path
    cluster: bool = False
    started: float = field(default_factory=time.monotonic)
    status: int | None = None
    handle: subprocess.Popen[bytes] | None = None
    expected: bool = False
    """Whether its end was asked for."""
    last_words: str = ""
    given_up: float | None = None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def workers(self) -> list[int]:
        """Return the pids of a cluster's workers, in their order; fewer than all while it starts."""
        with suppress(OSError):
            return sorted(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))
        return []

    def words(self) -> str:
        """Return what it has said; the end of it when it has ended."""
        if self.last_words:
            return self.last_words
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


class Zygote:
    """The process that forks flows (tests/chaos/zygote.py), and what has become of them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A thread pool of the linear algebra library would not be there after a fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._rest = b""
        self._ended: dict[int, int] = {}
        self._answers: list[int] = []
        self._next_pid()

    def _read(self, timeout: float) -> None:
        assert self._process.stdout is not None
        waiting = select.poll()  # not select(), which takes no descriptor from 1024 on
        waiting.register(self._process.stdout, select.POLLIN)
        if not waiting.poll(timeout * 1000):
            return
        piece = os.read(self._process.stdout.fileno(), 1 << 16)
        if not piece:
            raise Stuck(f"the zygote ended: {self._process.wait(10)}")
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "status" in answer:
                self._ended[answer["pid"]] = answer["status"]
            else:
                self._answers.append(answer["pid"])

    def _next_pid(self) -> int:
        deadline = time.monotonic() + DEADLINE
        while not self._answers:
            if time.monotonic() > deadline:
                raise Stuck("the zygote does not answer")
            self._read(1.0)
        return self._answers.pop(0)

    def start(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        assert self._process.stdin is not None
        order = {"arguments": list(arguments), "env": dict(env), "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Process(self._next_pid(), log)

    def ended(self, pid: int, timeout: float = 0.0) -> int | None:
        """Return the status of a child that has ended."""
        self._read(timeout)
        return self._ended.pop(pid, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


class Flows:
    """The runs of one topic. `excused` tells whether a run may end by itself now, since its world is in trouble."""

    def __init__(self, zygote: Zygote, folder: Path, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self._zygote = zygote
        self._folder = folder
        self._arguments = list(arguments)
        self._env = dict(env)
        self.current: Process | None = None
        self.beside: list[Process] = []
        """Given up, and alive: paused, or writing beside their successor."""
        self.starts = 0
        self.excused_until = 0.0
        self.unexcused: list[str] = []
        """Ends that nobody asked for, in a quiet world, and words that no run may say."""
        self.ends: Counter[str] = Counter()

    def start(
        self, *more: str, point: str = "", count: int = 1, cluster: bool = False, worker: int | None = None
    ) -> Process:
        """Start a run, to die at a named point if one is given; it is the current one."""
        self.starts += 1
        log = self._folder / f"flow-{self.starts}.log"
        env = {**self._env, "CHAOS_POINT": point, "CHAOS_COUNT": str(count)}
        arguments = ["run", *self._arguments, *more]
        if cluster:
            if worker is not None:
                env["CHAOS_WORKER"] = str(worker)
            self.current = self._start_cluster([*arguments, "--processes", "2"], env, log)
        else:
            self.current = self._zygote.start(arguments, env, log)
        return self.current

    def _start_cluster(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        with log.open("ab") as out:
            handle = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.entry", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **env},
                start_new_session=True,
            )
        return Process(handle.pid, log, cluster=True, handle=handle)

    def running(self) -> Process:
        """Return the current run, a new one if there is none."""
        self.look()
        return self.current or self.start()

    def look(self, timeout: float = 0.0) -> None:
        """See who has ended."""
        for process in [self.current, *self.beside]:
            if process is not None and self._has_ended(process, timeout):
                self._judge(process)
                if process is self.current:
                    self.current = None
                else:
                    self.beside.remove(process)
            timeout = 0.0

    def _has_ended(self, process: Process, timeout: float) -> bool:
        if process.status is None:
            if process.handle is None:
                process.status = self._zygote.ended(process.pid, timeout)
            else:
                process.status = process.handle.poll()
                if process.status is None and timeout:
                    time.sleep(timeout)
        return process.status is not None

    def _judge(self, process: Process) -> None:
        words = process.words()
        process.last_words = words[-2_000:]
        if process.status == -signal.SIGABRT and CLIENT_ABORT.search(words) and time.monotonic() <= self.excused_until:
            self.ends["aborted by the Kafka client"] += 1
            return
        complaint = UNCLEAN.search(words) and not (process.cluster and process.expected)
        self.ends[_kind_of_end(process.status, words)] += 1
        quiet = time.monotonic() > self.excused_until
        reason = EXCUSED.match(_last_message(words))
        unasked = process.status != -signal.SIGKILL and not process.expected and (quiet or not reason)
        if complaint or unasked or process.status not in (0, 1, 2, -signal.SIGKILL):
            self.unexcused.append(f"{process.log.name} ended with {process.status}: {words[-1500:]}")
        else:
            process.log.unlink(missing_ok=True)

    def keep(self, seconds: float, *, restart: float = 0.3) -> None:
        """Let time pass with a run at work: one that ends by itself is started again, `restart` seconds later."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look(min(STEP, left))
            if self.current is None:
                self.pause(min(restart, left))
                self.start()

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.look(min(STEP, left))
            time.sleep(min(STEP, left))

    def give_up(self) -> Process:
        """Leave the current run to itself: the next start is its successor, beside it."""
        process, self.current = self.running(), None
        process.given_up = time.monotonic()
        self.beside.append(process)
        return process

    def wait(self, process: Process, seconds: float = DEADLINE) -> int | None:
        """Wait for the end of a run and return its status; None where it lives on."""
        deadline = time.monotonic() + seconds
        while process.status is None and time.monotonic() < deadline:
            self.look(STEP)
        return process.status

    def end(self, process: Process, number: signal.Signals) -> int:
        """End a run by a signal and return its status; a cluster is killed with its workers."""
        process.expected = True
        workers = process.workers() if process.cluster and number == signal.SIGKILL else []
        process.send(number)
        for pid in workers:
            self.signal(pid, number)
        status = self.wait(process)
        if status is None:
            raise Stuck(f"{process.log.name} did not end after {number.name}: {process.words()[-1500:]}")
        return status

    def drain(self) -> int:
        """End the current run in good order: SIGTERM, once it takes signals; return its status."""
        process = self.running()
        while process.status is None and (young := process.started + SETTLED - time.monotonic()) > 0:
            self.pause(young)
            process = self.running()
        return self.end(process, signal.SIGTERM)

    @staticmethod
    def signal(pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def end_all(self) -> None:
        """Kill whatever lives."""
        for process in [*self.beside, *([self.current] if self.current else [])]:
            process.send(signal.SIGCONT)
            self.end(process, signal.SIGKILL)


def _kind_of_end(status: int | None, words: str) -> str:
    if status == -signal.SIGKILL:
        return "killed"
    if status == 0:
        return "drained or done"
    message = _last_message(words).removeprefix("tally: ")
    return re.sub(r"[\d.]+", "#", message)[:80] if message else f"status {status}"


def _last_message(words: str) -> str:
    return next((line for line in reversed(words.splitlines()) if line.startswith("tally: ")), "")
