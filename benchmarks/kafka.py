"""Topics of a real broker for the Kafka cases: filled before the clock starts, stamped by the broker."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.inputs import Inputs, NoInput, Traffic
from benchmarks.measure import on_cores, other_cores
from tests.kafka.broker import Broker, fetch_jars
from tests.kafka.helpers import create_topic, delete_topic

EVENTS_A_BATCH: Final = 1_000

TopicMaker = Callable[[Traffic, str], str]
"""Takes traffic and a medium, returns the URL of a topic with exactly the events of the traffic's file."""


@contextmanager
def topics(inputs: Inputs) -> Iterator[TopicMaker]:
    """Give a maker of filled topics, on a broker of its own (or on TALLY_TEST_KAFKA=host:port).

    Raises NoKafka where no broker can be started.
    """
    given = os.environ.get("TALLY_TEST_KAFKA")
    if given:
        with _maker(given, inputs) as make:
            yield make
        return
    jars = fetch_jars()
    with TemporaryDirectory(dir=inputs.folder) as data:
        broker = Broker(jars, Path(data))
        try:
            with on_cores(other_cores()):
                broker.start()
            with _maker(broker.address, inputs) as make:
                yield make
        finally:
            broker.stop()


@contextmanager
def _maker(address: str, inputs: Inputs) -> Iterator[TopicMaker]:
    made: dict[tuple[Traffic, str], str] = {}

    def make(traffic: Traffic, medium: str) -> str:
        if (traffic, medium) not in made:
            name = create_topic(address, message_timestamp_type="LogAppendTime")
            made[traffic, medium] = name
            packing = ("--arrow", str(EVENTS_A_BATCH)) if medium == "arrow topic" else ()
            fill(inputs.file(traffic), address, name, *packing)
        return f"kafka://{address}/{made[traffic, medium]}"

    try:
        yield make
    finally:
        for name in made.values():
            delete_topic(address, name)


def fill(file: Path, address: str, topic: str, *packing: str) -> None:
    """Produce a file's events in a process of its own: this one must stay small. Raises NoInput where it fails."""
    command = [sys.executable, "-m", "benchmarks.fill", str(file), address, topic, *packing]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise NoInput(f"the topic could not be filled: {ran.stderr.strip()[-500:]}")
