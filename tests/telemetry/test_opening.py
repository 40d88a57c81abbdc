"""What the settings open, asked over HTTP; the flow is real meters, and time is a value."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataflows.decode import Decoder
from dataflows.reading import Control, Opened, Tick
from dataflows.rejection_limit import NO_LIMITS
from dataflows.sources.base import LogEnd
from schemas.log import EventBatch, LogId, RecordBatch
from schemas.progress import Mark, Progress
from tally.settings import Settings, load_settings
from tally.telemetry import logs
from tally.telemetry.observer import WatchedMeters
from tally.telemetry.opening import Telemetry, address_of, open_telemetry
from tests.flow.traffic import timestamp
from tests.telemetry.scraping import probe, scrape

LOG = LogId("usage", "3")


class Flow:
    """A Kafka partition's meter and what the flow's other steps would call, in the hands of a test."""

    def __init__(self, settings: Settings) -> None:
        self.now = 5_000.0
        self.control = Control()
        telemetry = open_telemetry(settings, self.control, clock=lambda: self.now)
        assert telemetry is not None
        self.telemetry: Telemetry = telemetry
        meter_settings = settings.meter_settings()
        self.decode = Decoder(meter_settings)
        self.meters = WatchedMeters(meter_settings, self.control, NO_LIMITS, telemetry.observer)
        progress = Progress(LOG, 1, meter_settings.fingerprint(), 0, 0, Mark(0, None, None, 0))
        self.meters([Opened(progress, broker_clock=False)])
        self.sights = 0
        self.offset = 0

    @property
    def port(self) -> int:
        assert self.telemetry.endpoint is not None
        return self.telemetry.endpoint.port

    def events(self, count: int) -> None:
        lines = [
            json.dumps(
                {
                    "event_id": f"e{self.offset + number}",
                    "org_id": 1,
                    "project_id": 1,
                    "category": "error",
                    "quantity": 1,
                    "timestamp": timestamp(3600),
                }
            ).encode()
            for number in range(count)
        ]
        ends = np.cumsum([len(line) for line in lines])
        starts = np.concatenate([[0], ends[:-1]])
        first, self.offset = self.offset, self.offset + count
        offsets = np.arange(first, self.offset)
        batch = RecordBatch(LOG, b"".join(lines), starts, ends, offsets, None, self.offset)
        decoded = self.decode(batch)
        assert isinstance(decoded, EventBatch)
        self.meters([decoded])

    def tick(self, end: int | None = None, *, seen: bool = True) -> None:
        self.sights += seen
        found = {LOG: LogEnd(self.offset if end is None else end, self.sights)}
        observer = self.telemetry.observer
        write = observer.writing(lambda _: observer.inserted("usage_windows", 1, 0, 2_000_000))
        for flushes in self.meters([Tick((LOG,), found)]):
            write(flushes)
            observer.wrote(flushes)


@pytest.fixture
def flow() -> Iterator[Flow]:
    made = Flow(load_settings(metrics_address="0"))
    yield made
    made.telemetry.close()


def what(flow: Flow) -> list[str]:
    status, answer = probe(flow.port, "/readyz")
    assert status == (503 if answer["problems"] else 200)
    assert answer["ready"] == (status == 200)
    return [problem["what"] for problem in answer["problems"]]


def test_a_partition_that_stands_still_is_named_with_its_place(flow: Flow) -> None:
    assert what(flow) == ["starting"]
    flow.events(40)
    flow.tick(end=100)
    assert what(flow) == []
    for _ in range(32):
        flow.now += 1
        flow.tick(end=100)
    _, answer = probe(flow.port, "/readyz")
    (problem,) = answer["problems"]
    assert {key: problem[key] for key in ("what", "topic", "partition", "offset")} == {
        "what": "log",
        "topic": "usage",
        "partition": "3",
        "offset": 40,
    }
    assert scrape(flow.port).value("tally_lag_records", {"topic": "usage", "partition": "3"}) == 60
    flow.events(1)
    flow.tick(end=100)
    assert what(flow) == []


def test_an_idle_partition_is_ready_for_ever(flow: Flow) -> None:
    flow.events(1)
    for _ in range(100):
        flow.now += 1
        flow.tick()
    assert what(flow) == []


def test_a_broker_that_is_away_is_noticed(flow: Flow) -> None:
    flow.events(1)
    flow.tick()
    for _ in range(32):
        flow.now += 1
        flow.tick(seen=False)
    assert what(flow) == ["log"]
    assert scrape(flow.port).value("tally_log_end_age_seconds", {"topic": "usage", "partition": "3"}) == 32


def test_a_loop_that_does_not_turn_is_first_not_ready_and_then_not_alive(flow: Flow) -> None:
    flow.events(1)
    flow.tick()
    flow.now += 32
    assert what(flow) == ["flow"]
    assert probe(flow.port, "/healthz")[0] == 200
    flow.now += 300
    status, answer = probe(flow.port, "/healthz")
    assert (status, answer["alive"]) == (503, False)
    assert scrape(flow.port).value("tally_loop_age_seconds") == 332


def test_a_run_that_is_asked_to_stop_is_not_ready_any_more(flow: Flow) -> None:
    flow.events(1)
    flow.tick()
    flow.control.request_stop()
    assert what(flow) == ["stopping"]


def test_an_unknown_page_names_those_that_there_are(flow: Flow) -> None:
    assert probe(flow.port, "/") == (404, {"error": "no such page", "pages": ["/healthz", "/metrics", "/readyz"]})


def test_nothing_is_opened_or_loaded_where_nothing_is_asked_for(tmp_path: Path) -> None:
    program = (
        "import sys; from dataflows.reading import Control; from tally.settings import load_settings;"
        "import tally.wiring; from tally.telemetry.opening import open_telemetry;"
        "print(open_telemetry(load_settings(), Control()), [m for m in sys.modules if 'opentelemetry' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "None []\n"


def test_debug_alone_tells_of_flushes_and_serves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    flow = Flow(load_settings(log_level="debug"))
    assert flow.telemetry.endpoint is None
    assert flow.telemetry.exporting is None
    try:
        logs.set_up("json", "debug")
        flow.events(3)
        flow.tick()
    finally:
        logs.set_up()
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert {key: line[key] for key in ("level", "topic", "partition", "offset", "rows")} == {
        "level": "debug",
        "topic": "usage",
        "partition": "3",
        "offset": 3,
        "rows": 1,
    }


@pytest.mark.parametrize(
    ("address", "process", "found"),
    [
        ("127.0.0.1:9464", 0, ("127.0.0.1", 9464)),
        ("[::1]:9464", 3, ("::1", 9467)),
        ("127.0.0.1:0", 3, ("127.0.0.1", 0)),
    ],
)
def test_the_processes_of_a_cluster_listen_side_by_side(address: str, process: int, found: tuple[str, int]) -> None:
    assert address_of(address, process) == found
