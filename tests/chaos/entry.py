"""The command line, and a cluster's workers, with a clock that can be stepped and a point at which to die.

    python -m tests.chaos.entry run ARGUMENTS…     as `tally run`, its workers started as below
    python -m tests.chaos.entry worker             as `python -m tally.worker`

CHAOS_WORKER names the process of the cluster that is to die at CHAOS_POINT; without it every process that writes is.
"""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from tests.chaos.points import prepare


def _start_workers_so() -> None:
    from tally import cluster

    started = 0

    def popen(command: list[str], **options: Any) -> subprocess.Popen[str]:
        nonlocal started
        assert command[1:] == ["-m", "tally.worker"]
        env = dict(os.environ)
        if env.get("CHAOS_WORKER", str(started)) != str(started):
            env.pop("CHAOS_POINT", None)
        started += 1
        return subprocess.Popen([sys.executable, "-m", "tests.chaos.entry", "worker"], env=env, **options)

    names = {**vars(subprocess), "Popen": popen}
    setattr(cluster, "subprocess", SimpleNamespace(**names))  # noqa: B010 - of that module alone


def main(arguments: list[str]) -> None:
    if arguments[0] == "worker":
        from tally import worker

        prepare()
        worker.main()
        return
    from tally import cli

    if "--processes" in arguments:
        os.environ["CHAOS_POINT"], point = "", os.environ.get("CHAOS_POINT", "")
        prepare()  # the parent has the clock, and does not die
        os.environ["CHAOS_POINT"] = point
        _start_workers_so()
    else:
        prepare()
    cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
