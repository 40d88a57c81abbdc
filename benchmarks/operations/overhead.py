"""What telemetry costs: the same file counted without it and with it (Prometheus and OTLP), turn by turn."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.cases import RUN
from benchmarks.inputs import Inputs, Traffic
from benchmarks.measure import Command, Measurement, run
from benchmarks.operations.figures import Figure
from benchmarks.operations.running import Failed, Tell
from tests.flow.running import free_ports

KIND: Final = "every kind of trouble"
FEW: Final = 1_000
"""Events of the run whose time is that of the start."""
EVERY: Final = 1.0
"""Seconds between two scrapes, and between two exports: far more often than in earnest."""


class Watchers:
    """Takes what is exported, and scrapes a flow's port again and again; `exports` and `scrapes` were answered."""

    def __init__(self) -> None:
        self.exports = self.scrapes = 0
        watchers = self

        class Collector(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Take an export."""
                self.rfile.read(int(self.headers["Content-Length"]))
                watchers.exports += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Say nothing."""

        (self.port,) = free_ports(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True),
            threading.Thread(target=self._scrape, daemon=True),
        ]

    def _scrape(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                    answer.read()
                self.scrapes += 1
            except (urllib.error.URLError, OSError):
                pass  # between two runs

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while inside."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._server.shutdown()
            self._server.server_close()


def measure(inputs: Inputs, events: int, pairs: int, tell: Tell) -> list[Figure]:
    """Run both ways so many times, one after the other. Raises Failed where nobody was told anything."""
    many, few = (inputs.file(Traffic(KIND, count)) for count in (events, FEW))
    watchers = Watchers()
    flags = ("--metrics-address", str(watchers.port), "--otlp-endpoint", watchers.endpoint)
    env = {"OTEL_METRIC_EXPORT_INTERVAL": str(int(EVERY * 1000))}

    def one(path: Path, *, on: bool) -> Measurement:
        with TemporaryDirectory(dir=inputs.folder) as folder:
            store = ("--store", f"chdb:{folder}/store", "--quiet")
            command = Command((*RUN, str(path), *store, *(flags if on else ())), env if on else {})
            return run(command, Path(folder) / "log")

    wall: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    start: dict[bool, list[float]] = {False: [], True: []}
    with watchers.watching():
        one(few, on=False)  # so that compiled code is there
        for number in range(pairs):
            for on in (False, True) if number % 2 == 0 else (True, False):
                first, whole = one(few, on=on), one(many, on=on)
                start[on].append(first.wall)
                wall[on].append(whole.wall - first.wall)
                cpu[on].append(whole.cpu - first.cpu)
                if min(wall[on][-1], cpu[on][-1]) <= 0:
                    raise Failed(f"{events:,} events took no longer than {FEW:,}: give more, on a quieter machine")
                tell(f"telemetry {'on' if on else 'off'}: {(events - FEW) / wall[on][-1]:,.0f} events/s once started")
    if not watchers.exports or not watchers.scrapes:
        raise Failed(f"{watchers.exports} exports and {watchers.scrapes} scrapes: telemetry was not on")
    told = f"{events:,} events of a file; exported and scraped every {EVERY:g} s"
    slower = [100 * (1 - off / on) for off, on in zip(wall[False], wall[True], strict=True)]
    dearer = [100 * (on / off - 1) for off, on in zip(cpu[False], cpu[True], strict=True)]
    return [
        Figure("events/s, telemetry off", [(events - FEW) / took for took in wall[False]], "events/s", told, 0),
        Figure("events/s, telemetry on", [(events - FEW) / took for took in wall[True]], "events/s", told, 0),
        Figure("throughput lost to telemetry", slower, "%", "by pairs, on the wall"),
        Figure("CPU added by telemetry", dearer, "%", "by pairs, CPU seconds"),
        Figure("start, telemetry off", start[False], "s", f"a run of {FEW:,} events", 2),
        Figure("start, telemetry on", start[True], "s", f"a run of {FEW:,} events, its last export included", 2),
    ]
