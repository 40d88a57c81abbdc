"""One worker process of `tally run --processes N`: its order comes on standard input, as a line of JSON.

So does the word to drain, which waits there for a worker that is still starting; a signal would kill it.
"""

import json
import os
import sys
import threading
from typing import IO, Final

from dataflows.reading import Control
from tally.running import execute
from tally.settings import load_settings
from tally.wiring import worker_parts

DRAIN: Final = b"drain\n"
"""Tells a worker to flush and end."""


def main() -> None:
    """Read the order and run until the logs end, the worker is drained, or the parent is gone."""
    # Unbuffered: a thread that waits in a buffer's lock would keep the interpreter from ending.
    parent = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 - open to the end
    order = json.loads(parent.readline())
    process: int = order["process_id"]
    parts = worker_parts(lambda: load_settings(**order["flags"]), lambda control: _obey(parent, control), process)
    execute(parts, process, order["addresses"])


def _obey(parent: IO[bytes], control: Control) -> None:
    def listen() -> None:
        for line in iter(parent.readline, b""):
            if line == DRAIN:
                control.request_stop()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    main()
