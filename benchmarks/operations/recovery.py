"""How long from `kill -9` until a new process has caught up: an embedded store, a real broker, a steady rate."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.operations.figures import Figure
from benchmarks.operations.running import Failed, Flow, Tell, broker, producing
from schemas.log import LogId
from sinks.store import open_store
from tests.kafka.helpers import create_topic

KEEPING_UP: Final = 2.0
"""Seconds of traffic by which a flow is behind at most when it counts as caught up: two flushes."""
BETWEEN: Final = 10.0
"""Seconds of undisturbed running before each kill."""
AT_MOST: Final = 120.0
"""Seconds of traffic that are made for each kill."""


def measure(folder: Path, rate: float, horizon: int, kills: int, tell: Tell) -> list[Figure]:
    """Kill a flow that keeps up with `rate` events a second, and whose `horizon` (seconds) is full; so many times.

    Raises Failed, or NoKafka.
    """
    answers, caught_up, replayed = [], [], []
    flags = ("--dedupe-horizon", f"{horizon}s", "--dedupe-bucket", f"{max(1, horizon // 10)}s")
    with TemporaryDirectory(dir=folder) as place, broker(folder) as address:
        topic = create_topic(address, message_timestamp_type="LogAppendTime")
        url, store, log = f"kafka://{address}/{topic}", f"chdb:{place}/store", Path(place) / "log"
        seconds = horizon + 30 + kills * AT_MOST
        with producing(url, rate, seconds, Path(place) / "producer.log") as producer:
            flow = Flow(url, store, log, *flags)
            for number in range(kills):
                with flow:
                    flow.until_said("tally_records_total", 1)
                    tell(f"kill {number + 1}: {'filling the horizon' if number == 0 else 'running on'}")
                    time.sleep(BETWEEN + (horizon if number == 0 else 0))
                    producer.check()
                    if not flow.behind_at_most(KEEPING_UP * rate):
                        raise Failed(f"the flow does not keep up with {rate:,.0f} events/s: choose a lower --rate")
                    flow.kill()
                    began = time.monotonic()
                flow = Flow(url, store, log, *flags)
                answers.append(flow.until_said("tally_ready") - began)
                flow.until_said("tally_records_total", 1)  # lag alone may be small before anything is written
                caught_up.append(flow.until_behind_at_most(KEEPING_UP * rate) - began)
                replayed.append(flow.metric("tally_dedupe_ids") or 0.0)
                tell(f"kill {number + 1}: answers after {answers[-1]:.1f} s, caught up after {caught_up[-1]:.1f} s")
            with flow:
                flow.drain()
        _check(store, LogId(topic, "0"))
    how = f"{rate:,.0f} events/s, a record each, one partition; dedupe_horizon {horizon} s, full"
    return [
        Figure("kill -9 until the new process answers probes", answers, "s", "interpreter, engine, plan", 2),
        Figure("kill -9 until caught up", caught_up, "s", f"{how}; to within {KEEPING_UP:g} s of traffic", 2),
        Figure("ids in the index when caught up", replayed, "ids", "the replay's share of the work", 0),
    ]


def _check(store: str, log: LogId) -> None:
    """Raise Failed unless every record was counted once, and each event is in a row or has another verdict."""
    with open_store(store, create=False) as opened:
        progress = opened.progress()[log]
        counted = opened.query("SELECT sum(events) FROM usage")[0][0]
    if progress.counts.records != progress.next_offset or counted != progress.counts.accepted:
        raise Failed(f"the counts are wrong: {counted} events in rows, {progress.counts}")
