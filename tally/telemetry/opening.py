"""What the settings ask for, put together: an observer, and the exporters and the server that read it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dataflows.reading import Control
from tally.health import Limits, Problem, alive, problems
from tally.settings import Settings
from tally.telemetry.names import OF_A_FLOW
from tally.telemetry.observer import MICROSECONDS, Observer
from tally.telemetry.readings import READINGS, Moment
from tally.telemetry.server import Answer, Endpoint, json_answer
from tally.units import show_instant

if TYPE_CHECKING:
    from tally.telemetry.export import Exporting

OK: Final = 200
UNAVAILABLE: Final = 503


@dataclass
class Telemetry:
    """A process's telemetry while it is open."""

    observer: Observer
    limits: Limits
    control: Control
    exporting: "Exporting | None" = None
    endpoint: Endpoint | None = None
    opened: ExitStack = field(default_factory=ExitStack)

    def moment(self) -> Moment:
        """Return what metrics are read from, now."""
        state = self.observer.look()
        now = self.observer.clock()
        ready = not problems(state, self.limits, now, stopping=self.control.stopping)
        return Moment(state, now, self.observer.wall(), ready)

    def healthz(self, _: str) -> Answer:
        """Say whether the process is alive: 200, or 503 where its loop has stopped turning."""
        state, now = self.observer.look(), self.observer.clock()
        lives = alive(state, self.limits, now)
        turned = {"alive": lives, "turned_at": self._instant(state.turned_at, now)}
        return json_answer(OK if lives else UNAVAILABLE, turned)

    def readyz(self, _: str) -> Answer:
        """Say whether what is read reaches the store in time: 200, or 503 with what is in the way and since when."""
        state, now = self.observer.look(), self.observer.clock()
        found = problems(state, self.limits, now, stopping=self.control.stopping)
        settled = None if state.settled_at is None else self._instant(state.settled_at, now)
        content = {
            "ready": not found,
            "settled_at": settled,
            "logs": len(state.logs),
            "problems": [self._shown(problem, now) for problem in found],
        }
        return json_answer(UNAVAILABLE if found else OK, content)

    def metrics(self, accept: str) -> Answer:
        """Return the metrics as Prometheus reads them."""
        assert self.exporting is not None
        return Answer(OK, *self.exporting.scrape(accept))

    def close(self) -> None:
        """Stop serving and send what was not sent yet; may be called twice."""
        self.opened.close()

    def _shown(self, problem: Problem, now: float) -> dict[str, Any]:
        shown: dict[str, Any] = {"what": problem.what}
        if problem.log is not None:
            shown |= {"topic": problem.log.topic, "partition": problem.log.partition, "offset": problem.offset}
        return {**shown, "since": self._instant(problem.since, now), "message": problem.message}

    def _instant(self, at: float, now: float) -> str:
        """Return a monotonic instant as the wall clock has it now."""
        wall = self.observer.wall() - int((now - at) * MICROSECONDS)
        return show_instant(wall // 1000 * 1000)


def open_telemetry(
    settings: Settings,
    control: Control,
    process: int | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Telemetry | None:
    """Open what the settings ask for; None, and nothing loaded, where they ask for nothing.

    `process` is a cluster's process number: each listens on a port of its own. Raises SettingsError where the address
    cannot be listened on.
    """
    if settings.metrics_address is None and settings.otlp_endpoint is None and settings.log_level != "debug":
        return None
    limits = Limits(
        settings.stall_after / MICROSECONDS,
        settings.flush_interval / MICROSECONDS,
        bounded=settings.until_end,
    )
    telemetry = Telemetry(Observer(clock=clock), limits, control)
    if settings.metrics_address is None and settings.otlp_endpoint is None:
        return telemetry
    from tally.telemetry.export import Exporting  # noqa: PLC0415 - loads OpenTelemetry

    with ExitStack() as opened:
        telemetry.exporting = Exporting(
            telemetry.moment,
            process,
            names=OF_A_FLOW,
            readings=READINGS,
            otlp_endpoint=settings.otlp_endpoint,
            prometheus=settings.metrics_address is not None,
            traces=settings.traces,
        )
        opened.callback(telemetry.exporting.close)
        if settings.metrics_address is not None:
            host, port = address_of(settings.metrics_address, process or 0)
            routes = {"/metrics": telemetry.metrics, "/healthz": telemetry.healthz, "/readyz": telemetry.readyz}
            telemetry.endpoint = Endpoint(host, port, routes)
            opened.callback(telemetry.endpoint.close)
        telemetry.opened.push(opened.pop_all())
    telemetry.observer.sink = telemetry.exporting
    return telemetry


def address_of(address: str, process: int) -> tuple[str, int]:
    """Return the host and the port that a process of a cluster listens on: the first one the port named, and so on."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) + process if port != "0" else 0
