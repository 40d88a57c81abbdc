"""Commits for lag tools, against a cluster that answers when the test says so: never waited for, never piled up."""

from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from dataflows.sources.kafka_commits import INTERVAL, LAST_COMMIT, PATIENCE, GroupCommits
from dataflows.sources.kafka_topic import KafkaTopic


class Cluster:
    """Stands for the topic's cluster: keeps what was asked, and answers when told to."""

    uri = "kafka://b:9092/usage"

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[dict[int, int]] = []
        self.answers: list[Future[Any]] = []
        self.said: list[str] = []
        self.commits = GroupCommits(cast(KafkaTopic, self), "tally-usage", self.said.append, lambda: self.now)

    def ask_commit(self, group: str, offsets: dict[int, int], timeout: float) -> "Future[Any]":
        assert (group, timeout > 0) == ("tally-usage", True)
        self.asked.append(dict(offsets))
        self.answers.append(Future())
        return self.answers[-1]

    def succeed(self) -> None:
        places = [TopicPartition("usage", partition) for partition in self.asked[-1]]
        self.answers[-1].set_result(ConsumerGroupTopicPartitions("tally-usage", places))

    def fail(self, code: int) -> None:
        self.answers[-1].set_exception(KafkaException(KafkaError(code)))

    def later(self, seconds: float, offsets: dict[int, int]) -> None:
        self.now += seconds
        self.commits.offer(offsets)


def test_one_request_at_a_time_and_the_newest_offsets_in_the_next() -> None:
    cluster = Cluster()
    cluster.commits.offer({0: 5})
    for offset in range(6, 100):  # no answer yet, however long that takes
        cluster.later(1.0, {0: offset, 1: offset * 2})
    assert cluster.asked == [{0: 5}]
    cluster.succeed()
    cluster.later(0.0, {0: 100})
    assert cluster.asked == [{0: 5}, {0: 100, 1: 198}]
    assert cluster.said == []


def test_no_more_often_than_the_interval() -> None:
    cluster = Cluster()
    for offset in range(1, 513):
        cluster.later(INTERVAL / 128, {0: offset})
        if not cluster.answers[-1].done():
            cluster.succeed()
    assert cluster.asked == [{0: 1}, {0: 129}, {0: 257}, {0: 385}]


def test_a_refusal_is_said_at_once_and_once_until_it_works_again() -> None:
    cluster = Cluster()
    for _ in range(3):
        cluster.later(2.0, {0: 1})
        cluster.fail(KafkaError.GROUP_AUTHORIZATION_FAILED)
    cluster.later(2.0, {0: 1})
    assert len(cluster.said) == 1
    assert "kafka://b:9092/usage: offsets are not committed as consumer group 'tally-usage'" in cluster.said[0]
    cluster.succeed()
    cluster.later(2.0, {0: 1})
    cluster.fail(KafkaError.GROUP_AUTHORIZATION_FAILED)
    cluster.later(2.0, {0: 1})
    assert len(cluster.said) == 2


def test_a_broker_that_restarts_is_not_worth_a_message() -> None:
    cluster = Cluster()
    cluster.commits.offer({0: 1})
    began = cluster.now
    while cluster.now - began < PATIENCE:
        assert cluster.said == []
        cluster.fail(KafkaError._TIMED_OUT)
        cluster.later(5.0, {0: 1})
    cluster.fail(KafkaError._TIMED_OUT)
    cluster.later(5.0, {0: 1})
    assert len(cluster.said) == 1


def test_an_offset_that_is_refused_alone_is_said() -> None:
    cluster = Cluster()
    cluster.commits.offer({0: 1})
    cluster.answers[-1].set_result(type("Found", (), {"topic_partitions": [_Refused()]})())
    cluster.later(2.0, {0: 2})
    assert "too large" in cluster.said[0].lower()


class _Refused:
    error = KafkaError(KafkaError.OFFSET_METADATA_TOO_LARGE)


def test_the_last_offsets_are_committed_as_the_run_ends() -> None:
    cluster = Cluster()
    cluster.commits.offer({0: 1})
    cluster.succeed()
    cluster.later(0.0, {0: 2})
    ask = cluster.ask_commit

    def answer(group: str, offsets: dict[int, int], timeout: float) -> "Future[Any]":
        found = ask(group, offsets, timeout)
        cluster.succeed()
        return found

    cluster.ask_commit = answer  # type: ignore[method-assign]
    cluster.commits.close()
    assert cluster.asked == [{0: 1}, {0: 2}]
    cluster.commits.close()
    assert cluster.asked == [{0: 1}, {0: 2}]


def test_a_broker_that_is_away_holds_up_the_end_no_longer_than_it_may() -> None:
    cluster = Cluster()
    cluster.commits.offer({0: 1})
    waited: list[float | None] = []

    class Silent(Future[Any]):
        def exception(self, timeout: float | None = None) -> BaseException | None:
            waited.append(timeout)
            raise TimeoutError

    cluster.commits._answer = Silent()
    cluster.commits.close()
    assert waited == [LAST_COMMIT]
