"""One idempotent Kafka client for a producer's events and reports."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from dataflows.sources.kafka_topic import PASSING, KafkaTopic, Property, reason
from schemas.errors import SettingsError, SourceError
from tally.producer.outbox import Deliver, Send
from tally.producer.placement import spread

FIXED: Final[Mapping[str, Property]] = {
    "enable.idempotence": True,  # a record that the client sends again is not in the log twice
    "acks": "all",
    "delivery.report.only.error": False,  # totals count what was acknowledged
    # The producer's own bound is the one that holds, since it counts more than the client does.
    "queue.buffering.max.messages": 10_000_000,
    "queue.buffering.max.kbytes": 2_097_151,
}
"""What exactly-once delivery and the bound rest on: given otherwise, it is refused."""

TUNED: Final[Mapping[str, Property]] = {
    "client.id": "tally-producer",
    "log_level": 0,  # what goes wrong is told by exceptions
    "compression.type": "lz4",
    "message.timeout.ms": 0,  # never give up while the process lives: the bound and the caller's patience decide
    "reconnect.backoff.max.ms": 1_000,
}
"""What may be given otherwise."""

ASK: Final = 2.0
"""Seconds that a broker may take to describe a topic, before it is asked again."""
_OURS: Final = frozenset({"bootstrap.servers", "metadata.broker.list", "transactional.id", "message.max.bytes"})
_MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})


class Client:
    """librdkafka's producer, with its topics' partitions. Calls never take a lock of ours."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        controls: str | None,
        properties: Mapping[str, Property],
        *,
        linger: float,
        largest: int,
    ) -> None:
        """Take the brokers, both topics, librdkafka properties, seconds to linger and bytes of the largest record.

        Nothing is asked of a broker. Raises SettingsError for a property that is unknown, malformed or not to be set.
        """
        self.uri = f"kafka://{bootstrap}/{topic}"
        self.partitions: dict[str, int] = {}
        self.topic, self._controls = topic, controls
        self.trouble = ""
        """The newest connection error's words."""
        for name in sorted(_OURS & properties.keys()):
            raise SettingsError(f"kafka property {name}: it is the producer's own to set; remove it")
        for name, value in FIXED.items():
            if name in properties and str(properties[name]).lower() != str(value).lower():
                raise SettingsError(f"kafka property {name}: must stay {str(value).lower()!r} here; remove it")
        self._asked = {
            name: KafkaTopic(bootstrap, name, properties, ASK) for name in (topic, controls) if name is not None
        }
        settings: dict[str, Any] = {
            **TUNED,
            "linger.ms": linger * 1_000,
            **properties,
            **FIXED,
            "bootstrap.servers": bootstrap,
            "message.max.bytes": largest,
            "error_cb": self._on_error,
        }
        try:
            self._producer = Producer(settings)
        except KafkaException as error:  # librdkafka names the property
            raise SettingsError(f"{self.uri}: {reason(error)}") from error
        self.send: Send = partial(self._producer.produce, topic)
        """Queue a record of events. Raises KafkaException."""

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # says that, not why
            self.trouble = error.str()

    def locate(self) -> str | None:
        """Ask for the number of partitions of each topic, within a few seconds.

        Return None when all are known or the brokers are away, and what is wrong with a topic where they answered:
        there is none, or it may not be seen.
        """
        for name, topic in list(self._asked.items()):
            try:
                self.partitions[name] = len(topic.describe().partitions)
            except SourceError as error:
                if _passing(error):
                    self.trouble = str(error).partition(": ")[2]
                    return None
                return str(error) if name == self.topic else _no_controls(topic, error)
            del self._asked[name]
        return None

    @property
    def located(self) -> bool:
        """Say whether the partitions of every topic are known."""
        return not self._asked

    def send_report(self, source: str, key: bytes, value: bytes, deliver: Deliver) -> None:
        """Queue a report: all of a producer's are in one partition, so that they are read in their order."""
        assert self._controls is not None, "reports have a topic"
        partition = spread(source.encode(), self.partitions[self._controls])
        self._producer.produce(self._controls, value, key, partition, deliver)

    def poll(self, seconds: float) -> None:
        """Have the client call back with its answers, waiting for the first one at most so long."""
        self._producer.poll(seconds)

    def push(self, seconds: float) -> None:
        """Send what lingers, and wait for all the answers at most so long."""
        self._producer.flush(seconds)

    def purge(self) -> None:
        """Give up every record that is queued or on its way; each is answered for at the next polls."""
        self._producer.purge()


def _code(error: SourceError) -> int:
    cause = error.__cause__
    return cause.args[0].code() if isinstance(cause, KafkaException) else KafkaError._TIMED_OUT


def _passing(error: SourceError) -> bool:
    return _code(error) in PASSING - _MISSING


def _no_controls(topic: KafkaTopic, error: SourceError) -> str:
    if _code(error) not in _MISSING:
        return str(error)
    return (
        f"{topic.uri}: there is no topic {topic.name!r} for the control totals (or this client may not see it): create "
        "it with cleanup.policy=compact, name another one with controls=…, or give controls=None to report nothing"
    )
