"""A topic of a real broker and the store that counts it: what the procedures are carried out on."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataflows.reading import Control
from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import open_store
from tally.running import Watch, run_here
from tally.settings import load_settings
from tally.units import show_instant
from tests.flow.topics import SECOND, Event, Traffic, in_store, read_back
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic, produce
from tests.runbook.oncall import OnCall


def now() -> int:
    """The time in microseconds UTC, which a broker stamps records with."""
    return time.time_ns() // 1_000


def event(number: int, *, age: int = 0, **changed: Any) -> Event:
    """A well-formed event that is `age` seconds old; one number is one id."""
    whole: Event = {
        "event_id": f"e-{number}",
        "org_id": 1,
        "project_id": 7,
        "category": "error",
        "quantity": 1,
        "timestamp": show_instant(now() - age * SECOND),
        "source": "relay-7",
    }
    return whole | changed


class Scene:
    """A topic, a store, and runs from the one into the other.

    `metering` are settings that change what is counted: those of every run, and of what is expected.
    """

    def __init__(self, kafka: str, folder: Path, partitions: int = 1, *, store: str | None = None) -> None:
        self.kafka = kafka
        self.partitions = partitions
        self.topic = create_topic(kafka, partitions)
        self.store = store or f"chdb:{folder / 'store'}"
        self.source = f"kafka://{kafka}/{self.topic}"
        self._traffic = [Traffic(f"{self.topic}/{number}", now()) for number in range(partitions)]

    @property
    def env(self) -> dict[str, str]:
        """Return what a worker's container has."""
        return {"TALLY_STORE": self.store, "TALLY_SOURCES": self.source}

    def log(self, partition: int = 0) -> LogId:
        return LogId(self.topic, str(partition))

    def send(self, events: Sequence[Event], partition: int = 0) -> None:
        produce(self.kafka, self.topic, [(partition, json.dumps(one).encode()) for one in events])

    def send_traffic(self, events: int = 200) -> None:
        """Send events with every kind of trouble to each partition."""
        for number, traffic in enumerate(self._traffic):
            traffic.now = now()
            self.send(traffic.events(events), number)

    def grown(self) -> "Scene":
        """Return the scene once its topic has another partition, for which there is traffic of its own."""
        self.partitions += 1
        self._traffic.append(Traffic(f"{self.topic}/{self.partitions - 1}", now()))
        return self

    def count(self, **settings: Any) -> None:
        """Count the topic to its end, in this process. Raises what stops a run."""
        made = load_settings(store=self.store, sources=(self.source,), until_end=True, **settings)
        run_here(made, Control(), Watch())

    def is_exact(self, **metering: Any) -> bool:
        """Tell whether rows, counts and dead letters of every partition are those of the oracle."""
        rules = MeterSettings(load_catalogue(), **metering)
        truths = [expected(log, rules) for log in read_back(self.kafka, self.topic, self.partitions, rules)]
        return in_store(self.store, self.topic, self.partitions)[0] == truths

    def used(self) -> dict[tuple[int, str], tuple[int, int]]:
        """Return (quantity, events) by organisation and category, as analysts see them."""
        with open_store(self.store, create=False) as store:
            rows = store.query("SELECT org_id, category, sum(quantity), sum(events) FROM usage GROUP BY 1, 2")
        return {(org, category): (int(quantity), int(events)) for org, category, quantity, events in rows}


def holds(on_call: OnCall) -> None:
    """Check that every law holds, the logs themselves asked too."""
    answer = on_call.call("reconcile")
    assert (answer.status, answer.err) == (0, ""), answer.said
    assert "0 differences in" in answer.said
