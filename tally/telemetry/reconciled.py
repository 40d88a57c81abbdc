"""What a reconciliation found, sent to a collector over OTLP: the command ends before anybody could scrape it."""

from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from schemas.differences import Reconciliation
from tally.telemetry.export import EXPORT_TIMEOUT, LAST_EXPORT, SCOPE, resource
from tally.telemetry.names import ABOUT, Metric
from tally.telemetry.observer import MICROSECONDS


def send(found: Reconciliation, otlp_endpoint: str) -> None:
    """Send the differences of every law that was checked, and when that was.

    A collector that is away is said on stderr within about EXPORT_TIMEOUT seconds, and raises nothing.
    """
    exporter = OTLPMetricExporter(f"{otlp_endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource(None), shutdown_on_exit=False)
    meter = provider.get_meter(SCOPE, version("tally-metering"))

    def gauge(name: Metric, values: dict[str, float], attribute: str) -> None:
        made = meter.create_gauge(name, ABOUT[name].unit, ABOUT[name].meaning)
        for key, value in values.items():
            made.set(value, {attribute: key} if attribute else {})

    checked: dict[str, float] = {one.law: one.differences for one in found.checked if not one.skipped}
    gauge("tally.reconciliation.differences", checked, "law")
    gauge("tally.reconciliation.time", {"": found.at / MICROSECONDS}, "")
    provider.shutdown(LAST_EXPORT)
