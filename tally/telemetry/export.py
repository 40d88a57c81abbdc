"""Gives metrics out through OpenTelemetry: to a collector over OTLP (HTTP), and in Prometheus' text.

Counters and gauges are read from the state when somebody collects; only histograms are recorded, once a flush.
The exporters' own settings are OpenTelemetry's variables: OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE,
OTEL_METRIC_EXPORT_INTERVAL, OTEL_RESOURCE_ATTRIBUTES and so on.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Final, Generic, TypeVar

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from schemas.usage import Flush
from tally.telemetry.names import ABOUT, BUCKETS, Metric
from tally.telemetry.observer import FlushTimes
from tally.telemetry.readings import Reading
from tally.telemetry.spans import Spans

M = TypeVar("M")
"""What is read at a collection: a flow's moment, or a rater's."""

SCOPE: Final = "tally"
EXPORT_TIMEOUT: Final = 5
"""Seconds that one export may take, its retries included: a collector that is away holds up the end no longer."""
LAST_EXPORT: Final = EXPORT_TIMEOUT * 1000
"""Milliseconds for the last export, as the run ends."""


def resource(process: int | None) -> Resource:
    """Return what tells this process from others: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add to it, and win."""
    about = {"service.name": "tally", "service.version": version("tally-metering")}
    number = {} if process is None else {"service.instance.id": str(process)}
    return Resource.create({**about, **number}).merge(OTELResourceDetector().detect())


class Exporting:
    """A process's metrics (and, where wanted, its spans), given out until it is closed."""

    def __init__(
        self,
        look: Callable[[], M],
        process: int | None = None,
        *,
        names: Sequence[Metric],
        readings: Mapping[Metric, Callable[[M], Iterable[Reading]]],
        otlp_endpoint: str | None = None,
        prometheus: bool = False,
        traces: bool = False,
    ) -> None:
        """`look` gives what is read, at each collection; `readings` has every one of `names` that is no histogram.

        Nothing is sent before the first interval has passed.
        """
        about = resource(process)
        self._registry = CollectorRegistry()
        self._scraping = threading.Lock()
        readers: list[MetricReader] = []
        if prometheus:
            readers.append(PrometheusMetricReader(registry=self._registry, scope_info_enabled=False))
        if otlp_endpoint is not None:
            exporter = OTLPMetricExporter(f"{otlp_endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT)
            readers.append(PeriodicExportingMetricReader(exporter))
        self._provider = MeterProvider(readers, about, shutdown_on_exit=False)
        self._spans = Spans(f"{otlp_endpoint}/v1/traces", about, EXPORT_TIMEOUT) if traces and otlp_endpoint else None
        self._histograms = self._instruments(names, _Moments(look, readings))

    def _instruments(self, names: Sequence[Metric], moments: "_Moments[M]") -> dict[Metric, Histogram]:
        meter = self._provider.get_meter(SCOPE, version("tally-metering"))
        histograms: dict[Metric, Histogram] = {}
        for name in names:
            about = ABOUT[name]
            if about.kind == "histogram":
                histograms[name] = meter.create_histogram(
                    name, about.unit, about.meaning, explicit_bucket_boundaries_advisory=BUCKETS[name]
                )
            elif about.kind == "counter":
                meter.create_observable_counter(name, [moments.reading(name)], about.unit, about.meaning)
            else:
                meter.create_observable_gauge(name, [moments.reading(name)], about.unit, about.meaning)
        return histograms

    def record(self, name: Metric, value: float, attributes: Mapping[str, str]) -> None:
        """Record a value of a histogram."""
        self._histograms[name].record(value, attributes)

    def flushed(self, times: FlushTimes, flushes: Sequence[Flush]) -> None:
        """Take a flush that was written, or could not be."""
        if self._spans is not None:
            self._spans.flushed(times, flushes)

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the text that Prometheus asks for, and its content type."""
        encode, kind = choose_encoder(accept)
        with self._scraping:  # two collections at once would each get some of the other's
            return encode(self._registry), kind

    def close(self) -> None:
        """Send what was not sent yet, for no longer than EXPORT_TIMEOUT."""
        closing = None
        if self._spans is not None:
            closing = threading.Thread(target=self._spans.close, name="spans", daemon=True)
            closing.start()
        self._provider.shutdown(LAST_EXPORT)
        if closing is not None:
            closing.join(EXPORT_TIMEOUT)


class _Moments(Generic[M]):
    """One moment for all readings of a collection, so that their sums agree; instruments are asked in their order."""

    def __init__(self, look: Callable[[], M], readings: Mapping[Metric, Callable[[M], Iterable[Reading]]]) -> None:
        self._look = look
        self._readings = readings
        self._first: Metric | None = None
        self._moment: M | None = None

    def reading(self, name: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what OpenTelemetry calls for an instrument."""
        read = self._readings[name]
        if self._first is None:
            self._first = name

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            if self._moment is None or name == self._first:
                self._moment = self._look()
            return [Observation(found.value, found.attributes) for found in read(self._moment)]

        return observe
