"""Topics of a real broker for the Kafka cases: filled before the clock starts, stamped by the broker."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.inputs import Traffic, generate
from benchmarks.measure import on_cores, other_cores
from tests.kafka.broker import Broker, fetch_jars
from tests.kafka.helpers import create_topic, delete_topic

EVENTS_A_BATCH: Final = 1_000

TopicMaker = Callable[[Traffic, str], str]
"""Takes traffic and a medium, returns a topic's URL."""


@contextmanager
def topics(folder: Path) -> Iterator[TopicMaker]:
    """Give a maker of filled topics, on a broker of its own (or on TALLY_TEST_KAFKA=host:port).

    Raises NoKafka where no broker can be started.
    """
    given = os.environ.get("TALLY_TEST_KAFKA")
    if given:
        yield from _maker(given)
        return
    jars = fetch_jars()
    with TemporaryDirectory(dir=folder) as data:
        broker = Broker(jars, Path(data))
        with on_cores(other_cores()):
            broker.start()
        try:
            yield from _maker(broker.address)
        finally:
            broker.stop()


def _maker(address: str) -> Iterator[TopicMaker]:
    made: dict[tuple[Traffic, str], str] = {}

    def make(traffic: Traffic, medium: str) -> str:
        if (traffic, medium) not in made:
            name = create_topic(address, message_timestamp_type="LogAppendTime")
            made[traffic, medium] = url = f"kafka://{address}/{name}"
            packing = ("--per-record", str(EVENTS_A_BATCH), "--packing", "arrow") if medium == "arrow topic" else ()
            generate(url, *traffic.flags(), *packing)
        return made[traffic, medium]

    try:
        yield make
    finally:
        for url in made.values():
            delete_topic(address, url.rpartition("/")[2])
