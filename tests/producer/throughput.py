"""How fast one thread can produce: `python -m tests.producer.throughput` starts a broker, and prints a table.

Time is the caller's own CPU, so that a broker on the same cores does not count; best of some rounds.
"""

import tempfile
import time
from pathlib import Path
from typing import Final, get_args

from tally.producer import UsageEvent, UsageProducer
from tally.producer.packing import Packing
from tests.kafka.broker import Broker, fetch_jars
from tests.producer.topics import NOW, topics

EVENTS: Final = 200_000
ROUNDS: Final = 5


def measure(address: str, packing: Packing) -> tuple[float, float, float]:
    """Return events by second of the caller's CPU for `add` and for `add_many`, and by second of the clock."""
    topic = topics(address)
    made = [UsageEvent(f"0193f2a1-7c44-7d1e-9c3b-{n:012x}", n % 5_000, "error", 3, NOW + n, 7) for n in range(EVENTS)]
    with UsageProducer(address, topic, source="relay-4", packing=packing) as producer:
        producer.add_many(made[:1])
        producer.flush()
        cpu, clock = time.thread_time(), time.perf_counter()
        for n in range(EVENTS):
            producer.add(n % 5_000, "error", 3, timestamp=NOW + n, project_id=7)
        producer.flush()
        added, waited = time.thread_time() - cpu, time.perf_counter() - clock
        cpu = time.thread_time()
        producer.add_many(made)
        producer.flush()
        many = time.thread_time() - cpu
    return EVENTS / added, EVENTS / many, EVENTS / waited


def main() -> None:
    """Measure every packing."""
    with tempfile.TemporaryDirectory() as folder, Broker(fetch_jars(), Path(folder)) as broker:
        for packing in get_args(Packing):
            rounds = [measure(broker.address, packing) for _ in range(ROUNDS)]
            add, many, clock = (max(figures) for figures in zip(*rounds, strict=True))
            print(f"{packing:7} add {add:9,.0f}  add_many {many:9,.0f} events/s of CPU; add {clock:9,.0f} events/s")


if __name__ == "__main__":
    main()
