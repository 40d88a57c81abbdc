"""Traces: a span a flush, with the meters' part and each insert below it. Off by default."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from schemas.usage import Flush
from tally.telemetry.observer import FlushTimes

FLUSH: Final = "flush"
METER: Final = "meter flush"
INSERT: Final = "insert {table}"
LISTED: Final = 50
"""Logs that a span names one by one, each as topic/partition/offset."""


class Spans:
    """Sends the spans of flushes to a collector, from a thread of its own."""

    def __init__(self, endpoint: str, about: Resource, timeout: int) -> None:
        """`endpoint` is the collector's URL for traces, `timeout` the seconds that a request may take."""
        self._provider = TracerProvider(resource=about, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=timeout)))
        self._tracer = self._provider.get_tracer("tally")

    def flushed(self, times: FlushTimes, flushes: Sequence[Flush]) -> None:
        """Make the spans of a flush that is over."""
        places = [f"{flush.progress.log}/{flush.progress.next_offset}" for flush in flushes[:LISTED]]
        root = self._tracer.start_span(
            FLUSH,
            start_time=times.began,
            attributes={
                "tally.logs": len(flushes),
                "tally.rows": sum(len(flush.rows) for flush in flushes),
                "tally.dead_letters": sum(len(flush.dead_letters) for flush in flushes),
                "tally.progress": places,
            },
        )
        inside = set_span_in_context(root)
        child = self._tracer.start_span(METER, inside, start_time=times.began)
        child.end(times.began + times.metered)
        for insert in times.inserts:
            child = self._tracer.start_span(
                INSERT.format(table=insert.table),
                inside,
                SpanKind.CLIENT,
                {"db.system.name": "clickhouse", "db.collection.name": insert.table, "tally.rows": insert.rows},
                start_time=insert.began,
            )
            child.end(insert.began + insert.took)
        if times.error:
            root.set_status(Status(StatusCode.ERROR, times.error))
        root.end(times.began + times.took)

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()
