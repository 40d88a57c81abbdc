"""A collector on the loopback that takes OTLP over HTTP and keeps what it was sent."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(attributes: Any) -> dict[str, Any]:
    """Return attributes as a dict."""
    return {found.key: _value(found) for found in attributes}


def _value(found: KeyValue) -> Any:
    kind = found.value.WhichOneof("value")
    value = getattr(found.value, kind or "string_value")
    return [item.string_value for item in value.values] if kind == "array_value" else value


class Collector:
    """Serves /v1/metrics and /v1/traces; `metrics` holds the newest points, `spans` every span in order of arrival."""

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {}
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.requests.append((self.path, self.headers["Content-Type"]))
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/metrics":
            metrics = ExportMetricsServiceRequest.FromString(body)
            for of_process in metrics.resource_metrics:
                self.resources.append(plain(of_process.resource.attributes))
                self.metrics |= {found.name: found for scope in of_process.scope_metrics for found in scope.metrics}
        elif path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            self.spans += [
                span for found in traces.resource_spans for scope in found.scope_spans for span in scope.spans
            ]

    def total(self, name: str) -> float:
        """Return the sum of a counter's or gauge's points."""
        metric = self.metrics[name]
        points = metric.sum.data_points or metric.gauge.data_points
        return sum(
            float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double for point in points
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
