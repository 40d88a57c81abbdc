"""The store under test: `tally serve` in a process of its own, on disk or on a small file system that can be filled."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.chaos.proxy import low_port

PASSWORD: Final = "chaos"
SMALL: Final = 384 << 20
"""Bytes of the small file system: room for a round, and quickly filled."""


class Serving:
    """`tally serve`, which may be killed, frozen, and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = low_port()
        self._process: subprocess.Popen[str] | None = None
        self._log = folder.with_name(folder.name + ".log")

    @property
    def path(self) -> Path:
        return self.folder / "store"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, port: int | None = None) -> str:
        """Return the store's URL, through another port where one is given."""
        return f"clickhouse://default:{PASSWORD}@127.0.0.1:{port or self.port}/tally"

    def start(self) -> None:
        command = ["serve", "--store", f"chdb:{self.path}", "--port", str(self.port)]
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tally.cli", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "TALLY_SERVE_PASSWORD": PASSWORD},
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said.startswith("clickhouse://"), f"the store did not start: {self._log.read_text()[-2000:]}"

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the process as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


class SmallDisk:
    """A file system of SMALL bytes at `place`; `made` says whether one could be mounted (it takes root)."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made = False

    def __enter__(self) -> Self:
        self.place.mkdir(parents=True)
        if shutil.which("mount") is not None:
            command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(self.place)]
            self.made = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return self

    def fill(self, leave: int) -> None:
        """Take all space but that many bytes."""
        with (self.place / "filler").open("wb") as file:
            for _ in range(10):
                found = os.statvfs(self.place)
                with suppress(OSError):  # the store has written meanwhile
                    os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - leave))
                    return
        raise AssertionError(f"{self.place} could not be filled")

    def free(self) -> None:
        (self.place / "filler").unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        if self.made:
            subprocess.run(["umount", "-l", str(self.place)], check=False)
