"""A source that is faster than the store: nothing piles up in memory, and the lag shows what waits."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.status import read_status
from tests.flow.running import QUICK, Running, free_ports, until
from tests.flow.topics import Traffic, in_store, read_back
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic, produce
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import scrape

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())
MIB: Final = 1 << 20


def run_slowly(delay: Path, *arguments: str) -> Running:
    return Running([str(delay), "run", *arguments], module="tests.overload.slow")


def set_delay(delay: Path, seconds: str) -> None:
    """Say how long an insert takes from now on; a reader never finds the file half written."""
    fresh = delay.with_suffix(".new")
    fresh.write_text(seconds)
    fresh.replace(delay)


def test_lag_grows_while_the_store_is_slow_and_falls_when_it_is_not(kafka: str, tmp_path: Path) -> None:
    topic, (port,), delay = create_topic(kafka), free_ports(1), tmp_path / "delay"
    traffic = Traffic(topic, time.time_ns() // 1000)

    def send(events: int) -> None:
        produce(kafka, topic, [(0, json.dumps(event).encode()) for event in traffic.events(events)])

    set_delay(delay, "0.5")
    with ServerProcess(tmp_path / "store") as server, open_store(server.url) as store:
        # About 90 events a flush, and a flush takes a second or more: far less than what comes.
        flags = (*QUICK, "--batch-bytes", "16KiB", "--metrics-address", str(port))

        def lag() -> int:
            return sum(log.lag or 0 for log in read_status(store, 0).logs)

        def shown() -> float:
            return scrape(port).total("tally_lag_records")

        def both(says: Callable[[float], bool]) -> None:
            until(lambda: says(lag()) and says(shown()))

        store.migrate()
        send(1_000)
        with run_slowly(delay, f"kafka://{kafka}/{topic}", "--store", server.url, *flags) as going:
            until(lambda: bool(read_status(store, 0).logs) and lag() > 500)
            first = lag()
            send(3_000)
            both(lambda found: found > first + 2_000)
            set_delay(delay, "0")
            both(lambda found: found == 0)
            assert going.end(signal.SIGTERM) == 0
        assert in_store(server.url, topic, 1)[0] == [
            expected(log, SETTINGS) for log in read_back(kafka, topic, 1, SETTINGS)
        ]


def peak_bytes(kafka: str, folder: Path, records: int) -> int:
    """Return the most memory that a run took which read so many records of 100 kB, past a store that is slow."""
    folder.mkdir()
    topic, delay = create_topic(kafka, compression_type="uncompressed"), folder / "delay"
    set_delay(delay, "0.2")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {"org_id": 1, "project_id": 1, "category": "error", "quantity": 1, "timestamp": now}
    pad = "x" * 100_000
    produce(
        kafka,
        topic,
        (
            (0, json.dumps({"event_id": f"e{number}", **event, "attributes": {"pad": pad}}).encode())
            for number in range(records)
        ),
    )
    store, peak = f"chdb:{folder / 'store'}", 0
    # A tick a poll: at each the writer takes two inserts' time, and the client goes on fetching.
    flags = ("--flush-interval", "10ms", "--until-end", "--quiet", "--store", store)
    with run_slowly(delay, f"kafka://{kafka}/{topic}", *flags) as going:
        status = Path(f"/proc/{going.process.pid}/status")
        while going.process.poll() is None:
            found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
            peak = max([peak, *(int(line.split()[1]) * 1024 for line in found)])
            time.sleep(0.05)
        assert going.end() == 0
    with open_store(store, create=False) as opened:
        assert opened.query("SELECT sum(events), sum(quantity) FROM usage") == [(records, records)]
    return peak


@pytest.mark.slow
def test_memory_does_not_grow_with_what_waits(kafka: str, tmp_path: Path) -> None:
    # With 100 MB the client's queue (64 MiB) and its fetches are full; from there on nothing may grow.
    enough = peak_bytes(kafka, tmp_path / "enough", 1_000)
    many = peak_bytes(kafka, tmp_path / "many", 4_000)
    assert many - enough < 100 * MIB  # of 300 MB more
