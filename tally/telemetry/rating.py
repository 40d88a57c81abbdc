"""A rater's endpoint and exporters: of one that stays, while it is open; of a single pass, sent once as it ends."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dataflows.reading import Control
from tally.health import Limits, Problem, rater_alive, rater_problems
from tally.settings import Settings
from tally.telemetry.names import OF_A_RATER, RATING, Metric
from tally.telemetry.opening import OK, UNAVAILABLE, address_of
from tally.telemetry.rater import MICROSECONDS, RATER_READINGS, PassCounts, RaterMoment, RaterWatch, Result
from tally.telemetry.server import Answer, Endpoint, json_answer
from tally.units import show_instant

if TYPE_CHECKING:
    from tally.telemetry.export import Exporting

OF_A_PASS: Final[tuple[Metric, ...]] = tuple(name for name in RATING if name != "tally.rating.ready")
"""What is sent of a single pass: it is over before anybody could ask whether it is ready."""


@dataclass
class RaterTelemetry:
    """A rater's telemetry while it is open."""

    watch: RaterWatch
    limits: Limits
    control: Control
    exporting: "Exporting | None" = None
    endpoint: Endpoint | None = None
    opened: ExitStack = field(default_factory=ExitStack)

    def moment(self) -> RaterMoment:
        """Return what metrics are read from, now."""
        state, now = self.watch.look(), self.watch.clock()
        ready = not rater_problems(state, self.limits, now, stopping=self.control.stopping)
        return RaterMoment(state, now, self.watch.wall(), ready)

    def healthz(self, _: str) -> Answer:
        """Say whether the process is alive: 200, or 503 where it has stood still for too long."""
        state, now = self.watch.look(), self.watch.clock()
        lives = rater_alive(state, self.limits, now)
        turned = {"alive": lives, "turned_at": self._instant(state.turned_at, now)}
        return json_answer(OK if lives else UNAVAILABLE, turned)

    def readyz(self, _: str) -> Answer:
        """Say whether the last pass could rate: 200, or 503 with what is in the way and since when."""
        state, now = self.watch.look(), self.watch.clock()
        found = rater_problems(state, self.limits, now, stopping=self.control.stopping)
        content = {
            "ready": not found,
            "rated_at": None if state.rated_at is None else show_instant(state.rated_at // 1000 * 1000),
            "passes": state.passes.total(),
            "failures": sum(failures.total() for failures in state.failures.values()),
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
        return {"what": problem.what, "since": self._instant(problem.since, now), "message": problem.message}

    def _instant(self, at: float, now: float) -> str:
        """Return a monotonic instant as the wall clock has it now."""
        wall = self.watch.wall() - int((now - at) * MICROSECONDS)
        return show_instant(wall // 1000 * 1000)


def open_rater_telemetry(settings: Settings, control: Control, watch: RaterWatch) -> RaterTelemetry:
    """Open what the settings ask for, of a rater that stays.

    Raises SettingsError where the address cannot be listened on.
    """
    telemetry = RaterTelemetry(watch, Limits(settings.stall_after / MICROSECONDS), control)
    if settings.metrics_address is None and settings.otlp_endpoint is None:
        return telemetry
    from tally.telemetry.export import Exporting  # noqa: PLC0415 - loads OpenTelemetry

    with ExitStack() as opened:
        telemetry.exporting = Exporting(
            telemetry.moment,
            names=OF_A_RATER,
            readings=RATER_READINGS,
            otlp_endpoint=settings.otlp_endpoint,
            prometheus=settings.metrics_address is not None,
        )
        opened.callback(telemetry.exporting.close)
        if settings.metrics_address is not None:
            routes = {"/metrics": telemetry.metrics, "/healthz": telemetry.healthz, "/readyz": telemetry.readyz}
            telemetry.endpoint = Endpoint(*address_of(settings.metrics_address, 0), routes)
            opened.callback(telemetry.endpoint.close)
        telemetry.opened.push(opened.pop_all())
    watch.sink = telemetry.exporting
    return telemetry


def send(result: Result, counts: PassCounts, otlp_endpoint: str) -> None:
    """Send what a single pass did.

    A collector that is away is said on stderr within about EXPORT_TIMEOUT seconds, and raises nothing.
    """
    from tally.telemetry.export import Exporting  # noqa: PLC0415 - loads OpenTelemetry

    watch = RaterWatch()

    def look() -> RaterMoment:
        return RaterMoment(watch.look(), watch.clock(), watch.wall(), ready=True)

    watch.sink = exporting = Exporting(look, names=OF_A_PASS, readings=RATER_READINGS, otlp_endpoint=otlp_endpoint)
    watch.ended(result, counts)
    exporting.close()
