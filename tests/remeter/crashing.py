"""Run the command line in this process with small flushes, and die by SIGKILL at a named point of the n-th of them.

python -m tests.remeter.crashing POINT N ARGUMENTS…
"""

import sys

from tally.remeter import metering
from tests.flow.crashing import arm

if __name__ == "__main__":
    metering.FLUSH_BYTES = 20_000  # type: ignore[misc]  # several flushes a log
    metering.FLUSH_LOGS = 1  # type: ignore[misc]
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["tally", *sys.argv[3:]]
    from tally.cli import main

    main()
