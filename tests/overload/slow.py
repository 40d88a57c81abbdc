"""Run the command line with a store whose every insert takes longer.

    python -m tests.overload.slow FILE ARGUMENTS…

FILE holds the seconds; it is read again at every insert, so that a test can let the store recover.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sinks.store import Store


def slow_down(delay: Path) -> None:
    insert: Callable[..., None] = Store._insert

    def slowly(self: Store, name: str, table: Any) -> None:
        if table.num_rows:
            time.sleep(float(delay.read_text()))
        insert(self, name, table)

    Store._insert = slowly  # type: ignore[method-assign]  # the place where a store takes its time


if __name__ == "__main__":
    slow_down(Path(sys.argv[1]))
    sys.argv = ["tally", *sys.argv[2:]]
    from tally.cli import main

    main()
