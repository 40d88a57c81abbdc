"""Serves an embedded store in a process of its own: `python -m tests.store.serving PATH PORT PASSWORD`.

Prints its URL, and serves until its standard input ends.
"""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from sinks.serve import StoreServer

PASSWORD = "a secret/:@"


class ServerProcess:
    """The serving process, which a test may kill and start again on the same path and port."""

    def __init__(self, path: Path, password: str = PASSWORD) -> None:
        self.path = path
        self.password = password
        self.port = 0
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        command = [sys.executable, "-m", "tests.store.serving", str(self.path), str(self.port), self.password]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server did not start"
        self.port = int(self.url.rpartition(":")[2].partition("/")[0])
        return self

    def kill(self) -> None:
        """End the process with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._finish()

    def freeze(self) -> None:
        """Let the process stand still: connections are taken and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """End the process as a signal handler would; return its exit status."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._finish()

    def _finish(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        status = process.wait(60)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            self.kill()


def main(path: str, port: str, password: str) -> int:
    server = StoreServer(path, port=int(port), password=password).start()
    print(server.url, flush=True)
    sys.stdin.read()
    return 0 if server.stop() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
