"""What the reader makes of what a client gives, without a broker: errors that no healthy broker will show."""

from collections.abc import Sequence

import numpy as np
import pytest
from confluent_kafka import KafkaError

from dataflows.sources.kafka_ends import EndWatcher
from dataflows.sources.kafka_reader import KafkaReader, Notice, Piece
from dataflows.sources.kafka_topic import Described, KafkaTopic
from schemas.errors import SourceError
from schemas.log import LogId

LOG = LogId("t", "0")


class Script:
    """A Fetcher that gives what it was told to, a drain at a time."""

    def __init__(self, *drains: tuple[Sequence[Piece], Sequence[Notice]]) -> None:
        self.drains = list(drains)
        self.asked: list[int] = []
        self.resting: list[int] = []

    def drain(self, most: int, timeout: float) -> tuple[Sequence[Piece], Sequence[Notice]]:
        assert timeout < 0.1
        self.asked.append(most)
        return self.drains.pop(0) if self.drains else ((), ())

    def rest(self, partition: int) -> None:
        self.resting.append(partition)

    def close(self) -> None:
        self.drains.clear()


def piece(
    offsets: Sequence[int], *, size: int = 1, stamp: int = 1_700_000_000_000, not_broker: int | None = None
) -> Piece:
    count = len(offsets)
    ends = np.arange(1, count + 1, dtype=np.int64) * size
    return Piece(0, b"x" * size * count, ends, np.array(offsets, np.int64), np.full(count, stamp, np.int64), not_broker)


def notice(code: int, offset: int = 0, partition: int = 0) -> Notice:
    return Notice(partition, offset, code, f"code {code}")


def reader(script: Script, *, start: int = 0, stop: int | None = None, trust: bool = False) -> KafkaReader:
    topic = KafkaTopic("127.0.0.1:1", "t", {}, timeout=0.2)
    return KafkaReader(
        topic,
        script,
        EndWatcher(topic, Described("id", (0,)), ()),
        {0: start},
        None if stop is None else {0: stop},
        trust_producer_time=trust,
        batch_bytes=1_000_000,
        batch_messages=100_000,
        clock=lambda: 0,
        on_wait=lambda _: None,
    )


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._BAD_MSG,  # a checksum that does not fit: the client skips the whole message set
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,  # a codec that this build lacks
        KafkaError.UNKNOWN,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._FATAL,
    ],
)
def test_what_cannot_be_read_stops_the_reader(code: int) -> None:
    with pytest.raises(SourceError, match=rf"t: partition 0, offset 7: code {code}"):
        reader(Script(([], [notice(code, offset=7)]))).poll()


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._ALL_BROKERS_DOWN])
@pytest.mark.parametrize("partition", [0, -1])
def test_what_waiting_mends_is_waited_for(code: int, partition: int) -> None:
    under_test = reader(Script(([], [notice(code, partition=partition)]), ([piece([0])], [])))
    assert under_test.poll() == []
    assert [len(batch) for batch in under_test.poll()] == [1]


def test_an_error_without_a_partition_that_waiting_does_not_mend_stops_the_reader() -> None:
    with pytest.raises(SourceError, match=f"code {KafkaError._FATAL}"):
        reader(Script(([], [notice(KafkaError._FATAL, partition=-1)]))).poll()


def test_records_and_an_end_in_one_drain_make_one_batch() -> None:
    script = Script(
        ([piece([0, 1])], [notice(KafkaError._PARTITION_EOF, 4)]), ([], [notice(KafkaError._PARTITION_EOF, 4)])
    )
    under_test = reader(script)
    (batch,) = under_test.poll()
    assert (len(batch), batch.next_offset) == (2, 4)
    assert under_test.poll() == []  # the same end again moves nothing


def test_an_offset_that_comes_twice_or_backwards_is_never_passed_on() -> None:
    for offsets in ([1, 1], [2, 1]):
        with pytest.raises(AssertionError, match="out of order"):
            reader(Script(([piece(offsets)], []))).poll()
    under_test = reader(Script(([piece([0, 1])], []), ([piece([1, 2])], [])))
    under_test.poll()
    with pytest.raises(AssertionError, match="came twice"):
        under_test.poll()


@pytest.mark.parametrize(
    ("offsets", "stop", "kept"),
    [([0, 1, 2], 2, 2), ([0, 1, 2], 3, 3), ([0, 5], 3, 1), ([7], 3, 0), ([3, 4], 3, 0)],
)
def test_a_stop_cuts_within_a_drain(offsets: list[int], stop: int, kept: int) -> None:
    script = Script(([piece(offsets, size=3)], []), ([piece([20])], [notice(KafkaError._PARTITION_EOF, 30)]))
    under_test = reader(script, stop=stop)
    (batch,) = under_test.poll()
    assert batch.offsets.tolist() == offsets[:kept]
    assert (len(batch.data), batch.next_offset) == (3 * kept, stop)
    assert batch.starts.tolist() == [3 * row for row in range(kept)]
    assert under_test.exhausted
    assert script.resting == [0]
    assert under_test.poll() == []  # what the client had at hand already


def test_an_end_short_of_the_stop_is_not_the_stop() -> None:
    script = Script(([], [notice(KafkaError._PARTITION_EOF, 3)]), ([], [notice(KafkaError._PARTITION_EOF, 9)]))
    under_test = reader(script, stop=5)
    assert [batch.next_offset for batch in under_test.poll()] == [3]
    assert not under_test.exhausted
    assert [batch.next_offset for batch in under_test.poll()] == [5]
    assert under_test.exhausted


def test_a_stamp_that_a_producer_left_out_does_not_move_the_clock() -> None:
    (batch,) = reader(Script(([piece([0], stamp=-1, not_broker=0)], [])), trust=True).poll()
    assert batch.timestamps is not None
    assert batch.timestamps.tolist() == [0]


def test_large_records_are_asked_for_few_at_a_time() -> None:
    script = Script(([piece([0, 1], size=400_000)], []), ([piece([2], size=10)], []), ([], []))
    under_test = reader(script)
    for _ in range(3):
        under_test.poll()
    assert script.asked[0] > 900
    assert script.asked[1] == 2
    assert 2 < script.asked[2] < 10
