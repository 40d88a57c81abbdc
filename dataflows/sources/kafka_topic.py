"""One Kafka topic, asked about itself: its id, its partitions, where its logs start and end, whose clock stamps it."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented there, but not in its __all__
    AdminClient,
    ConfigResource,
    OffsetSpec,
)

from schemas.errors import SettingsError, SourceError

Property = str | int | bool
Edge = Literal["start", "high", "stable"]
"""A log's start; its high watermark (one past all that is replicated); its last stable offset, where an open
transaction holds up who reads committed records only."""

Key = TypeVar("Key")
Value = TypeVar("Value")

FIXED: Final[Mapping[str, Property]] = {
    "enable.auto.commit": False,  # progress is the only commit point
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a lost range is an error, never a silent jump
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "check.crcs": True,
    "allow.auto.create.topics": False,  # a misspelt topic is an error, not a new topic
}
"""What correct counts rest on: given otherwise, it is refused."""

TUNED: Final[Mapping[str, Property]] = {
    "group.id": "tally",  # the client wants one; no group is ever joined
    "client.id": "tally",
    "log_level": 0,  # what goes wrong is told once, by errors and on_wait, not by the client on stderr
    "reconnect.backoff.max.ms": 1_000,
    "socket.keepalive.enable": True,
    "max.poll.interval.ms": 86_400_000,  # a sink that waits for its store is no reason to drop the assignment
    "fetch.queue.backoff.ms": 5,  # the default of 1 s stalls a fast reader each time the queue was full
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 65_536,
    "max.partition.fetch.bytes": 4_194_304,
}
"""What may be given otherwise."""

PASSING: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError._NODE_UPDATE,
    }
)
"""Errors that waiting mends, or that come with a broker's restart. Every other one stops the reader: the client skips
a message set that it cannot read, and a skipped record would be usage that nobody counted."""


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as its cluster knows it: the id tells it from a later topic of the same name."""

    topic_id: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A request under way about several partitions. `answers` may be asked for once `done`."""

    futures: Mapping[int, "Future[Any]"]

    @property
    def done(self) -> bool:
        """Say whether every partition's answer is there."""
        return all(future.done() for future in self.futures.values())

    def answers(self) -> tuple[dict[int, int], str | None]:
        """Return offsets by partition, and what went wrong with the others ("partition 3: …"), if anything did."""
        found: dict[int, int] = {}
        wrong = None
        for partition, future in self.futures.items():
            problem = future.exception()
            if problem is None:
                found[partition] = future.result().offset
            else:
                wrong = wrong or f"partition {partition}: {reason(problem)}"
        return found, wrong


def reason(problem: BaseException | KafkaError) -> str:
    """Return a Kafka error's own words."""
    error = problem.args[0] if isinstance(problem, KafkaException) and problem.args else problem
    return error.str() if isinstance(error, KafkaError) else str(error)


def client_properties(bootstrap: str, properties: Mapping[str, Property]) -> dict[str, Property]:
    """Return the consumer's configuration: the user's properties over the tuned ones, under the fixed ones.

    Raises SettingsError where a property would change what counts rest on.
    """
    for name in ("bootstrap.servers", "metadata.broker.list"):
        if name in properties:
            raise SettingsError(f"kafka property {name}: give the address in the source, kafka://host:port/topic")
    for name, value in FIXED.items():
        if name in properties and str(properties[name]).lower() != str(value).lower():
            raise SettingsError(
                f"kafka property {name}: must stay {str(value).lower()!r}, since exact counts rest on it; remove it"
            )
    return {**TUNED, **properties, **FIXED, "bootstrap.servers": bootstrap}


class KafkaTopic:
    """Asks a cluster about one topic. Every call that waits gives up after `timeout` seconds with a SourceError."""

    def __init__(self, bootstrap: str, topic: str, properties: Mapping[str, Property], timeout: float) -> None:
        """Take the addresses "host:port,…", the topic, librdkafka properties and the time to wait, in seconds.

        Raises SettingsError for a property that is unknown, malformed or not the user's to set.
        """
        self.name = topic
        self.uri = f"kafka://{bootstrap}/{topic}"
        self.consumer_properties = client_properties(bootstrap, properties)
        self._timeout = timeout
        self._trouble: str | None = None
        self._admin = _admin_client(self._admin_properties(), self.uri)

    def _admin_properties(self) -> dict[str, Any]:
        ours = FIXED.keys() | (TUNED.keys() - {"client.id", "log_level", "reconnect.backoff.max.ms"})
        kept = {name: value for name, value in self.consumer_properties.items() if name not in ours}
        # A leader's epoch changes when its broker restarts; librdkafka asks with the one it knows until that is old.
        return {"metadata.max.age.ms": 3_000, **kept, "error_cb": self._on_error}

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # says that, not why
            self._trouble = error.str()

    def trouble(self) -> str | None:
        """Return the newest connection error's words, None when there was none since the last call."""
        self._admin.poll(0)
        found, self._trouble = self._trouble, None
        return found

    def describe(self) -> Described:
        """Return the topic's id and partitions. Raises SourceError where there is no such topic."""
        return described(self._wait(lambda: {self.name: self.ask_description()})[self.name])

    def timestamp_type(self) -> str:
        """Return whose clock stamps the topic's records now: "LogAppendTime" (the broker's) or "CreateTime"."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.name)
        answer = self._wait(lambda: self._admin.describe_configs([resource], request_timeout=self._timeout))
        return str(answer[resource]["message.timestamp.type"].value)

    def offsets(self, edge: Edge, partitions: Sequence[int]) -> dict[int, int]:
        """Return that edge of each partition's log."""
        if not partitions:
            return {}
        answer = self._wait(lambda: self.ask_offsets(edge, partitions, self._timeout).futures)
        return {partition: found.offset for partition, found in answer.items()}

    def ask_description(self) -> "Future[Any]":
        """Ask for the topic's description, without waiting; `described` reads the answer."""
        return self._admin.describe_topics(TopicCollection([self.name]), request_timeout=self._timeout)[self.name]

    def ask_offsets(self, edge: Edge, partitions: Sequence[int], timeout: float) -> Question:
        """Ask for that edge of each partition's log, without waiting; the answer or an error comes within timeout."""
        # The two makers of a spec are the only untyped calls of the admin client.
        spec = OffsetSpec.earliest() if edge == "start" else OffsetSpec.latest()  # type: ignore[no-untyped-call]
        level = IsolationLevel.READ_COMMITTED if edge == "stable" else IsolationLevel.READ_UNCOMMITTED
        asked = self._admin.list_offsets(
            {TopicPartition(self.name, partition): spec for partition in partitions},
            isolation_level=level,
            request_timeout=timeout,
        )
        return Question({at.partition: _real(future) for at, future in asked.items()})

    def ask_commit(self, group: str, offsets: Mapping[int, int], timeout: float) -> "Future[Any]":
        """Ask for those offsets to be kept as the group's, by partition, without waiting; nobody joins the group."""
        places = [TopicPartition(self.name, partition, offset) for partition, offset in offsets.items()]
        wanted = ConsumerGroupTopicPartitions(group, places)
        return self._admin.alter_consumer_group_offsets([wanted], request_timeout=timeout)[group]

    def _wait(self, ask: "Callable[[], Mapping[Key, Future[Value]]]") -> dict[Key, Value]:
        deadline = time.monotonic() + self._timeout
        while True:
            futures = ask()
            while not all(future.done() for future in futures.values()) and time.monotonic() < deadline + 1:
                self._admin.poll(0.02)
            try:
                return {key: future.result(timeout=0) for key, future in futures.items()}
            except (KafkaException, TimeoutError) as error:
                self._give_up_unless_passing(error, deadline)
            time.sleep(0.05)  # a leader that has just been elected answers at the next try

    def _give_up_unless_passing(self, error: Exception, deadline: float) -> None:
        code = error.args[0].code() if isinstance(error, KafkaException) else KafkaError._TIMED_OUT
        missing = code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
        if code in PASSING and not missing and time.monotonic() < deadline:
            return
        self._refuse(code, error, missing=missing)

    def _refuse(self, code: int, error: Exception, *, missing: bool) -> NoReturn:
        if missing:
            raise SourceError(
                f"{self.uri}: the broker has no topic {self.name!r} (or does not let this client see it); create it "
                "with message.timestamp.type=LogAppendTime, or correct the name"
            ) from error
        if code in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}:
            raise SourceError(
                f"{self.uri}: not allowed ({reason(error)}); the client needs Read, Describe and DescribeConfigs "
                "on the topic"
            ) from error
        if code in PASSING:
            why = self.trouble() or reason(error)
            raise SourceError(
                f"{self.uri}: no answer from the brokers within {self._timeout:g} s ({why}); check the address, that a "
                "broker is up, and the security.* and sasl.* properties"
            ) from error
        raise SourceError(f"{self.uri}: {reason(error)}") from error


def _real(asked: "Future[Any]") -> "Future[Any]":
    """Return an answer about an offset, or the error that it should have been.

    Where the connection to one of several brokers breaks, the client answers for its partitions without an error and
    with an offset below zero, which is none.
    """
    answered: Future[Any] = Future()

    def take(done: "Future[Any]") -> None:
        problem = done.exception()
        if problem is None and done.result().offset < 0:
            problem = KafkaException(KafkaError(KafkaError._TRANSPORT))
        if problem is None:
            answered.set_result(done.result())
        else:
            answered.set_exception(problem)

    asked.add_done_callback(take)
    return answered


def described(answer: Any) -> Described:
    """Return what an answer to `ask_description` says."""
    return Described(str(answer.topic_id), tuple(sorted(partition.id for partition in answer.partitions)))


def _admin_client(properties: dict[str, Any], uri: str) -> AdminClient:
    try:
        return AdminClient(properties)
    except KafkaException as error:  # an unknown or malformed property: librdkafka names it
        raise SettingsError(f"{uri}: {reason(error)}") from error
