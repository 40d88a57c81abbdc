"""One worker process of `tally run --processes N`: its order comes on standard input, as a line of JSON."""

import json
import os
import sys
import threading

from tally.running import execute
from tally.settings import load_settings
from tally.wiring import worker_parts


def main() -> None:
    """Read the order and run until the logs end, a signal drains the worker, or the parent is gone."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    parts = worker_parts(lambda: load_settings(**order["flags"]))
    execute(parts, order["process_id"], order["addresses"])


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
