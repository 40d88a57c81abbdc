"""A producer of usage events for applications.

    from tally.producer import UsageProducer

    with UsageProducer("127.0.0.1:9092", "usage", source="relay-4") as producer:
        producer.add(42, "error", 1, timestamp=datetime.now(timezone.utc))

docs/PRODUCING.md says what it guarantees, and how to retry.
"""

from tally.producer.errors import (
    ControlsUndelivered,
    FlushTimeout,
    ProducerClosed,
    ProducerError,
    ProducerFull,
    Undelivered,
)
from tally.producer.events import UsageEvent, new_event_id
from tally.producer.producer import UsageProducer

__all__ = [
    "ControlsUndelivered",
    "FlushTimeout",
    "ProducerClosed",
    "ProducerError",
    "ProducerFull",
    "Undelivered",
    "UsageEvent",
    "UsageProducer",
    "new_event_id",
]
