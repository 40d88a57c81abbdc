"""A Kafka topic as a source: its partitions are the logs, the broker's timestamps the clock.

    source = KafkaSource("127.0.0.1:9092", "usage", properties={"security.protocol": "SSL"})
    reader = source.open({listed.log: listed.log_start for listed in source.list_logs()})
    while not reader.exhausted:
        for batch in reader.poll(): ...

Guaranteed: committed records only, each once and in order from the start offset on; a topic of another id, lost
offsets, an unreadable record or an untrusted clock is a SourceError, never a gap. Not guaranteed: anything after
a clean deletion of records that were not read yet, which is an error, not a recovery.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from dataflows.sources.base import ListedLog, wall_clock
from dataflows.sources.kafka_commits import GroupCommits
from dataflows.sources.kafka_consume import ConsumeFetcher
from dataflows.sources.kafka_ends import EndWatcher
from dataflows.sources.kafka_fast import FastFetcher, FastUnavailable
from dataflows.sources.kafka_reader import Fetcher, KafkaReader
from dataflows.sources.kafka_topic import Described, KafkaTopic, Property
from schemas.errors import SourceError
from schemas.log import LogId

Route = Literal["auto", "fast", "portable"]
"""How records get out of the client: directly (kafka_fast), by consume() (kafka_consume), or the first that works."""


def say_nothing(message: str) -> None:
    """Take a message and drop it."""
    del message


class KafkaSource:
    """The partitions of one topic (a Source of dataflows.sources.base)."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        trust_producer_time: bool = False,
        properties: Mapping[str, Property] | None = None,
        batch_bytes: int = 4 << 20,
        batch_messages: int = 65_536,
        until_end: bool = False,
        route: Route = "auto",
        timeout: float = 10.0,
        clock: Callable[[], int] = wall_clock,
        on_wait: Callable[[str], None] = say_nothing,
    ) -> None:
        """Take "host:port[,host:port…]" and a topic; nothing is asked of the broker yet.

        `properties`: librdkafka's, for TLS, SASL and tuning. `batch_bytes` and `batch_messages` bound what one poll
        returns, about. `until_end`: readers stop at the ends seen when they are opened. `route`: for
        tests and comparisons. `timeout`: seconds that a
        broker may take to answer here. `clock`: the wall clock in microseconds, for when an end was seen. `on_wait`
        takes a message while a broker or partition is away. Raises SettingsError for a property that cannot be.
        """
        self._topic = KafkaTopic(bootstrap, topic, properties or {}, timeout)
        self._trust = trust_producer_time
        self._batch_bytes = batch_bytes
        self._batch_messages = batch_messages
        self._until_end = until_end
        self._route = route
        self._listed: Described | None = None
        self._clock = clock
        self._on_wait = on_wait

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return self._topic.name

    @property
    def broker_clock(self) -> bool:
        """Say that records carry timestamps which the meter may take for its clock."""
        return True

    def list_logs(self) -> Sequence[ListedLog]:
        """Return the topic's partitions by number; `log_end` is the high watermark, open transactions included.

        Raises SourceError within about `timeout` seconds a question: no such topic, no broker, producer timestamps
        that are not trusted.
        """
        topic = self._listed = self._topic.describe()
        self._check_timestamps()
        starts = self._topic.offsets("start", topic.partitions)
        ends = self._topic.offsets("high", topic.partitions)
        identity = {"uri": self._topic.uri, "topic_id": topic.topic_id}
        return [
            ListedLog(
                log=LogId(self._topic.name, str(partition)),
                log_start=starts[partition],
                log_end=ends[partition],
                finite=False,
                partitions=len(topic.partitions),
                identity=dict(identity),
            )
            for partition in topic.partitions
        ]

    def open(self, starts: Mapping[LogId, int]) -> KafkaReader:
        """Return a reader over one consumer for those partitions, each from its offset on.

        Raises SourceError as list_logs does. An offset that the log does not have is found when it is read.
        """
        # What was listed, not what there is by now: the watcher then notices what changed in between.
        known = self._listed or self._topic.describe()
        by_partition = {self._partition(log): offset for log, offset in starts.items()}
        unknown = sorted(by_partition.keys() - set(known.partitions))
        if unknown:
            raise SourceError(f"{self._topic.uri}: the topic has no partition {unknown[0]}")
        partitions = sorted(by_partition)
        # Up to the last stable offset: what an open transaction holds cannot be read, and is not waited for.
        stops = self._topic.offsets("stable", partitions) if self._until_end else None
        watcher = EndWatcher(self._topic, known, partitions, growth_matters=not self._until_end)
        return KafkaReader(
            self._topic,
            self._fetcher(by_partition),
            watcher,
            by_partition,
            stops,
            trust_producer_time=self._trust,
            batch_bytes=self._batch_bytes,
            batch_messages=self._batch_messages,
            clock=self._clock,
            on_wait=self._on_wait,
        )

    def commits(self, group: str, on_trouble: Callable[[str], None]) -> GroupCommits:
        """Return what commits the topic's offsets under a group's name; `on_trouble` takes a message where it fails."""
        return GroupCommits(self._topic, group, on_trouble)

    def _fetcher(self, starts: Mapping[int, int]) -> Fetcher:
        if self._route != "portable":
            try:
                return FastFetcher(self._topic.consumer_properties, self._topic.name, starts, self._batch_messages)
            except FastUnavailable:
                if self._route == "fast":
                    raise
        return ConsumeFetcher(self._topic.consumer_properties, self._topic.name, starts)

    def _partition(self, log: LogId) -> int:
        if log.topic != self._topic.name or not log.partition.isdecimal():
            raise SourceError(f"{self._topic.uri}: {log} is no partition of this topic")
        return int(log.partition)

    def _check_timestamps(self) -> None:
        if self._trust:
            return
        kind = self._topic.timestamp_type()
        if kind != "LogAppendTime":
            raise SourceError(
                f"{self._topic.uri}: the topic's records carry their producers' time (message.timestamp.type={kind}), "
                "which a wrong producer clock would make the meter's. Set the topic's message.timestamp.type to "
                "LogAppendTime (kafka-configs.sh --alter --entity-type topics --entity-name "
                f"{self._topic.name} --add-config message.timestamp.type=LogAppendTime), or trust_producer_time=true "
                "where every producer's clock is right"
            )
