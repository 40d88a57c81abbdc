"""What a collector gets from a real run, and what a run does where there is none."""

import json
import time
from pathlib import Path

from schemas.log import LogId
from tally.telemetry.export import EXPORT_TIMEOUT, Exporting
from tally.telemetry.names import ABOUT, OF_A_FLOW
from tally.telemetry.observer import FlushTimes
from tally.telemetry.readings import READINGS, Moment
from tally.telemetry.state import FlowState
from tests.flow.processes import ok, tally
from tests.flow.running import free_ports
from tests.flow.traffic import write_log
from tests.telemetry.collector import Collector, plain

FLAGS = ("--batch-bytes", "4KiB", "--flush-interval", "1us", "--quiet")


def test_a_collector_gets_every_count_and_a_trace_of_every_flush(tmp_path: Path) -> None:
    write_log(tmp_path / "a.ndjson", 300)
    with Collector() as collector:
        done = tally(
            "run",
            str(tmp_path / "a.ndjson"),
            *FLAGS,
            *("--store", f"chdb:{tmp_path / 'store'}", "--otlp-endpoint", collector.url, "--traces", "--json"),
            env={"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    assert {kind for _, kind in collector.requests} == {"application/x-protobuf"}

    # The last export comes as the run ends, and has all of it.
    total = json.loads(done.stdout)["total"]
    for name in ("records", "events", "accepted", "late", "duplicates"):
        assert collector.total(f"tally.{name}") == total[name]
    assert collector.total("tally.rejected") == sum(total["rejected"].values()) > 0
    points = collector.metrics["tally.rejected"].sum
    assert {plain(point.attributes)["reason"]: point.as_int for point in points.data_points} == total["rejected"]
    assert points.is_monotonic
    for name, metric in collector.metrics.items():
        assert name in OF_A_FLOW
        about = ABOUT[name]
        assert (metric.unit, metric.description) == (about.unit, about.meaning)
        assert metric.WhichOneof("data") == {"counter": "sum"}.get(about.kind, about.kind)
    assert collector.resources[-1]["service.name"] == "tally"
    assert collector.resources[-1]["deployment.environment.name"] == "test"

    flushes = [span for span in collector.spans if span.name == "flush"]
    inside = {
        span.span_id: [child for child in collector.spans if child.parent_span_id == span.span_id] for span in flushes
    }
    assert len(flushes) == collector.metrics["tally.flush.duration"].histogram.data_points[0].count > 5
    assert len(collector.spans) == len(flushes) + sum(map(len, inside.values()))
    rows = 0
    for span in flushes:
        names = [child.name for child in inside[span.span_id]]
        assert names[0] == "meter flush"
        assert names[-1] == "insert progress"
        for child in inside[span.span_id]:
            assert span.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
            assert child.end_time_unix_nano <= span.end_time_unix_nano + 5_000_000
            if child.name == "insert usage_windows":
                rows += plain(child.attributes)["tally.rows"]
    assert rows == collector.total("tally.rows") > 100
    size = (tmp_path / "a.ndjson").stat().st_size
    assert plain(flushes[-1].attributes)["tally.progress"] == [f"{LogId('a.ndjson', 'a.ndjson')}/{size}"]


def test_traces_are_off_unless_asked_for(tmp_path: Path) -> None:
    write_log(tmp_path / "a.ndjson", 30)
    with Collector() as collector:
        ok("run", str(tmp_path / "a.ndjson"), "--store", f"chdb:{tmp_path / 's'}", "--otlp-endpoint", collector.url)
    assert {path for path, _ in collector.requests} == {"/v1/metrics"}


def test_a_collector_that_is_away_is_said_in_words_without_its_password(tmp_path: Path) -> None:
    write_log(tmp_path / "a.ndjson", 300)
    (port,) = free_ports(1)
    url = f"http://me:s3cret@127.0.0.1:{port}"
    flags = ("--store", f"chdb:{tmp_path / 'store'}", "--quiet", "--otlp-endpoint", url)
    done = tally("run", str(tmp_path / "a.ndjson"), *flags)
    assert done.returncode == 0
    assert "opentelemetry" in done.stderr
    assert all(line.startswith("tally: ") for line in done.stderr.splitlines()), done.stderr
    assert "s3cret" not in done.stderr


def test_a_collector_that_is_away_holds_up_the_end_no_longer_than_it_may() -> None:
    (port,) = free_ports(1)
    moment = Moment(FlowState(0, 0), 0, 0, ready=True)
    url = f"http://127.0.0.1:{port}"
    exporting = Exporting(lambda: moment, names=OF_A_FLOW, readings=READINGS, otlp_endpoint=url, traces=True)
    exporting.record("tally.flush.rows", 1, {})
    exporting.flushed(FlushTimes(1, 2, 3), ())
    began = time.monotonic()
    exporting.close()
    assert time.monotonic() - began < EXPORT_TIMEOUT + 3
