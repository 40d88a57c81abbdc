"""The endpoint of real runs: its numbers are the store's, and its probes notice a standstill."""

import json
import signal
import socket
from pathlib import Path

from schemas.log import LogId
from schemas.progress import Counts
from sinks.store import open_store
from tally.telemetry.names import ABOUT, OF_A_FLOW, prometheus_name
from tests.flow.processes import tally
from tests.flow.running import free_ports, only_message, run, until
from tests.flow.traffic import write_log
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe, scrape

FED = LogId("fed", "0")
PLACE = {"topic": "fed"}
COUNTERS = ("records", "events", "accepted", "late", "duplicates", "not_billable", "rejected")


def pieces(folder: Path, events: int) -> list[bytes]:
    """A log in two pieces, cut between lines."""
    write_log(folder / "fed.ndjson", events)
    lines = (folder / "fed.ndjson").read_bytes().splitlines(keepends=True)
    return [b"".join(lines[: len(lines) // 2]), b"".join(lines[len(lines) // 2 :])]


def counts(url: str) -> Counts:
    with open_store(url, create=False) as store:
        return store.progress()[FED].counts


def test_a_run_is_watched_through_a_store_that_goes_and_comes_back(tmp_path: Path) -> None:
    first, second = pieces(tmp_path, 3_000)
    (port,) = free_ports(1)
    flags = ("-", "--name", "fed", "--metrics-address", str(port), "--stall-after", "300ms")
    with ServerProcess(tmp_path / "store") as server, run(*flags, "--store", server.url, feed=True) as going:
        until(lambda: probe(port, "/readyz")[0] == 503)
        assert probe(port, "/readyz")[1]["problems"][0]["what"] == "starting"
        going.send(first)
        until(lambda: probe(port, "/readyz")[0] == 200)
        until(lambda: scrape(port).total("tally_events_total") >= counts(server.url).events > 1_000)

        # One scrape is one moment: the sums in it agree, and it is what the store has.
        found, stored = scrape(port), counts(server.url)
        for name in COUNTERS:
            there = getattr(stored, name)
            assert found.total(f"tally_{name}_total") == (there if isinstance(there, int) else there.total()), name
        for reason, count in stored.rejected.items():
            assert found.value("tally_rejected_total", {**PLACE, "reason": reason}) == count
        every = {prometheus_name(name): ABOUT[name].kind for name in OF_A_FLOW}
        there = {f"{name}_total" if kind == "counter" else name: kind for name, kind in found.kinds.items()}
        expected = {name: kind for name, kind in every.items() if not name.startswith(("tally_lag", "tally_log_end"))}
        expected.pop("tally_not_billable_total")  # none of this log is not billable
        assert {name: there.get(name) for name in expected} == expected
        assert found.total("tally_dedupe_ids") > 100
        assert found.total("tally_rows_total") > 100
        assert found.value("tally_logs", PLACE) == found.value("tally_ready") == found.value("tally_generation", PLACE)
        assert found.value("tally_flush_rows_sum") == found.total("tally_rows_total")

        server.kill()
        going.send(second)
        until(lambda: probe(port, "/readyz")[0] == 503)
        status, answer = probe(port, "/readyz")
        assert status == 503
        assert [problem["what"] for problem in answer["problems"]] == ["store"]
        assert "connection refused" in answer["problems"][0]["message"]
        assert answer["problems"][0]["since"].endswith("Z")
        assert server.password not in json.dumps(answer)
        until(lambda: scrape(port).value("tally_store_waits_total") >= 2)
        assert scrape(port).value("tally_ready") == 0
        assert scrape(port).value("tally_store_away_seconds") > 0
        assert probe(port, "/healthz")[0] == 200, "a restart of the run would not bring the store back"

        server.start()
        until(lambda: probe(port, "/readyz")[0] == 200)
        until(lambda: scrape(port).total("tally_events_total") == counts(server.url).events > 2_900)
        assert scrape(port).value("tally_store_away_seconds") == 0
        going.close_input()
        assert going.end() == 0


def test_an_address_that_is_taken_is_refused_before_the_store_is_made(tmp_path: Path) -> None:
    write_log(tmp_path / "a.ndjson", 10)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        store = tmp_path / "two"
        done = tally("run", str(tmp_path / "a.ndjson"), "--store", f"chdb:{store}", "--metrics-address", str(port))
    assert done.returncode == 2
    assert f"metrics_address: 127.0.0.1:{port} cannot be listened on: address already in use" in only_message(
        done.stderr
    )
    assert not store.exists()


def test_each_worker_of_a_cluster_has_a_port_of_its_own(tmp_path: Path) -> None:
    for number in range(2):
        write_log(tmp_path / "logs" / f"{number}.ndjson", 4_000, seed=number)
    ports = neighbours()
    flags = ("--processes", "2", "--batch-bytes", "4KiB", "--flush-interval", "1us", "--log-format", "json")
    folder, store = str(tmp_path / "logs"), f"chdb:{tmp_path / 'store'}"
    with run(folder, "--store", store, "--metrics-address", str(ports), *flags) as going:
        seen = dict[int, float]()

        def both_counted() -> bool:
            for port in (ports, ports + 1):
                if probe(port, "/readyz")[0]:
                    seen[port] = scrape(port).total("tally_events_total")
            return len(seen) == 2 and min(seen.values()) > 0

        until(both_counted)
        assert going.end(signal.SIGTERM) == 0
        assert all(json.loads(line)["level"] == "info" for line in going.said)
    assert json.loads(going.said[-1])["events"] > 0


def neighbours() -> int:
    """Return the first of two free ports next to each other."""
    while True:
        (port,) = free_ports(1)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue
