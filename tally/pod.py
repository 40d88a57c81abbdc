"""One process of a cluster whose processes have a host each, as the pods of a StatefulSet have.

    python -m tally.pod --name tally-worker-1 --processes 2 --domain tally-worker --port 2101

The number at the end of the host's name is the process's number, and the others' addresses follow from it. Settings
come from the environment and tally.toml. Each host has ports of its own: all serve metrics on the one that is set.
"""

import argparse
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from dataflows.reading import Item
from schemas.errors import SettingsError, TallyError
from tally.draining import GRACE, HUNG
from tally.telemetry import logs
from tally.telemetry.logs import say

PORT: Final = 2101
MOST: Final = 10_000
"""Processes of one cluster: more is a mistyped number, since every process is connected with every other."""
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - a pod's own network; who may connect is a NetworkPolicy's to say
LAST_FLUSH: Final = GRACE + HUNG + 3.0
"""Seconds from a signal to the end of a process that the others keep: a flush that waits for the store is over."""
_NAME: Final = re.compile(r"(?P<base>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-(?P<number>\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is in its cluster: its number, and the address of each process by number."""

    number: int
    addresses: tuple[str, ...]

    @classmethod
    def find(cls, name: str, processes: int, domain: str = "", port: int = PORT) -> Self:
        """Return the place of the host `name`: `BASE-2` is process 2, and `BASE-0.domain:port` that of process 0.

        The process listens on its own port on every address of its host: its name may not be in the DNS yet when it
        starts. Raises SettingsError.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise SettingsError(f"--name {name!r}: must end with the process's number, as in tally-worker-0")
        if not 1 <= processes <= MOST:
            raise SettingsError(f"--processes {processes}: a cluster has 1 to {MOST:,} processes")
        if not 1 <= port <= 65_535:
            raise SettingsError(f"--port {port}: a port is 1 to 65535")
        number = int(found["number"])
        if number >= processes:
            raise SettingsError(
                f"--name {name}: this is process {number}, and with --processes {processes} the last one is "
                f"{processes - 1}; --processes must equal the number of pods, on every one of them"
            )
        hosts = (f"{found['base']}-{other}" + (f".{domain}" if domain else "") for other in range(processes))
        addresses = tuple(f"{ANY_ADDRESS if other == number else host}:{port}" for other, host in enumerate(hosts))
        return cls(number, addresses)


def read_arguments(arguments: Sequence[str]) -> Place:
    """Return the place that the arguments name. Raises SettingsError; exits where they cannot be parsed."""
    parser = argparse.ArgumentParser(prog="python -m tally.pod", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--name", required=True, help="this host's name, which ends with the process's number")
    parser.add_argument("--processes", required=True, type=int, help="how many processes the cluster has")
    parser.add_argument("--domain", default="", help="what follows the names of the hosts: that of a headless service")
    parser.add_argument("--port", default=PORT, type=int, help=f"the port of Bytewax on every host ({PORT})")
    given = parser.parse_args(arguments)
    return Place.find(given.name, given.processes, given.domain, given.port)


def run(place: Place) -> None:
    """Run the process of that place until the logs end or a signal drains it; end with the others where one fails."""
    from tally.running import execute  # noqa: PLC0415 - loads the engine
    from tally.settings import load_settings  # noqa: PLC0415
    from tally.wiring import worker_parts  # noqa: PLC0415

    begun = threading.Event()
    if len(place.addresses) > 1:
        _end_on_signals(begun)
    # Without a number: it would shift the metrics port, as on a host that all processes share.
    parts = worker_parts(load_settings)
    if len(place.addresses) > 1:
        execute(replace(parts, read=_Begins(parts.read, begun)), place.number, place.addresses)
    else:
        execute(parts)


@dataclass
class _Begins(DynamicSource[Item]):
    """A source that says when the flow begins, which is once every process is connected with every other."""

    source: DynamicSource[Item]
    begun: threading.Event

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSourcePartition[Item]:
        self.begun.set()
        return self.source.build(step_id, worker_index, worker_count)


def _end_on_signals(begun: threading.Event) -> None:
    """Let a signal end this process also where the others do not let it: they are not there yet, or go on.

    The main thread is then in Bytewax, where no handler may run; the interpreter writes a byte of each signal to a
    descriptor all the same. A process that was drained alone has flushed and would wait for the end of all: it leaves,
    the others end with it, and all of them find each other when they are started again.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with told:  # kept open with the listener
            heard.recv(1)
            if not begun.is_set():
                say("asked to stop before all processes of the cluster were there: nothing was read")
                os._exit(0)
            time.sleep(LAST_FLUSH)  # the process ends with all the others within it, or not by itself
            say("asked to stop, and the other processes of the cluster go on: leaving them; start them again together")
            os._exit(1)

    threading.Thread(target=listen, name="signals", daemon=True).start()


def main() -> None:
    """Run the process that the arguments name."""
    try:
        place = read_arguments(sys.argv[1:])
    except TallyError as error:
        logs.fail(error)
        raise SystemExit(error.exit_status) from None
    run(place)


if __name__ == "__main__":
    main()
