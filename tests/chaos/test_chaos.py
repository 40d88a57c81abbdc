"""The quick form of the chaos runs: every kind of fault once, some kills, the log truncated; and that it can fail.

The long form is `make chaos`.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dataflows.sources.kafka_topic import KafkaTopic
from tests.chaos.__main__ import bench, go_through
from tests.chaos.defects import DEFECTS
from tests.chaos.points import KEPT_POINTS, POINTS
from tests.chaos.proxy import Trouble
from tests.chaos.rounds import Bench, Totals
from tests.chaos.schedule import FAULTS, PROCESS_TROUBLES, CatchUp, Kill, draw, keeping
from tests.chaos.truncation import truncated
from tests.flow.running import until
from tests.kafka.broker import NoKafka, fetch_jars
from tests.kafka.conftest import no_kafka
from tests.kafka.helpers import create_topic

# Longer than the usual limit: on a busy machine each of a hundred starts takes its time.
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    try:
        fetch_jars()
    except NoKafka as problem:
        no_kafka(problem)
    with bench(tmp_path_factory.mktemp("chaos")) as made:
        yield made


def test_every_fault_and_some_kills(shared: Bench) -> None:
    totals = Totals()
    go_through(shared, draw(1, 12, len(FAULTS), long_pause=2, haste=2), totals)
    assert totals.differences == []
    assert totals.kills.total() >= 12
    assert {kind: totals.faults[kind] for kind in (*FAULTS, *PROCESS_TROUBLES)} == dict.fromkeys(
        (*FAULTS, *PROCESS_TROUBLES), 1
    )
    assert totals.counts.late
    assert totals.counts.events > 1_000


@pytest.mark.slow
def test_a_kill_at_every_named_point(shared: Bench) -> None:
    (plan,) = draw(2, 1, 0, others=0, long_pause=0)
    points = (*POINTS, *KEPT_POINTS)
    steps = [Kill(point, 1 + number % 3) for number, point in enumerate(points)]
    totals = Totals()
    go_through(shared, [keeping(replace(plan, name="points", steps=(*steps, CatchUp())))], totals)
    assert totals.differences == []
    assert not [point for point in points if not totals.kills[point]]


def test_the_log_loses_its_beginning(shared: Bench) -> None:
    assert truncated(shared, shared.folder, Totals()) == []


@pytest.mark.parametrize(
    "defect", [pytest.param(name, marks=[] if name == "no_replay" else pytest.mark.slow) for name in DEFECTS]
)
def test_a_defect_of_the_flow_is_found(shared: Bench, defect: str) -> None:
    (plan,) = draw(3, 1, 0, others=0, long_pause=0)
    steps = (CatchUp(), Kill("before_usage", 2), Kill("before_progress", 2), Kill("before_usage", 2), CatchUp())
    totals = Totals()
    go_through(shared, [replace(plan, name=defect, defect=defect, steps=steps)], totals)
    assert any("usage rows" in line or "dead letters" in line for line in totals.differences), totals.differences


def answers(topic: KafkaTopic) -> tuple[dict[int, int], str | None]:
    question = topic.ask_offsets("high", range(4), 2.0)
    until(lambda: question.done)
    return question.answers()


def test_an_offset_that_no_broker_gave_is_no_offset(shared: Bench) -> None:
    """The client answers without an error for the partitions of a broker whose connection has just broken."""
    name = create_topic(shared.brokers.address, 4)
    topic = KafkaTopic(shared.brokers.for_flows, name, {}, 10)
    proxy = shared.brokers.nodes[1].for_flows
    unanswered = 0
    for after in (0, 150, 300, 600, 900):
        assert topic.offsets("high", range(4)) == dict.fromkeys(range(4), 0)
        proxy.trouble(Trouble("cut", after=after))
        found, wrong = answers(topic)
        proxy.clear()
        assert set(found.values()) <= {0}
        assert len(found) in (2, 4)
        unanswered += wrong is not None
    assert unanswered


def test_the_same_seed_is_the_same_schedule() -> None:
    assert draw(7, 300, 60) == draw(7, 300, 60) != draw(8, 300, 60)
    rounds = draw(7, 300, 60)
    assert sum(plan.kills for plan in rounds) == 300
    assert sum(plan.faults for plan in rounds) == 60
