"""The broker of the test session.

TALLY_TEST_KAFKA=host:port uses that one instead of starting one. Where none can be had the tests skip and say why; with
CI=true or TALLY_REQUIRE_KAFKA=1 that is a failure. Under pytest-xdist each worker starts its own: about 3 s and 350 MB.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from dataflows.sources.kafka import KafkaSource
from tests.kafka.broker import Broker, NoKafka, fetch_jars
from tests.kafka.helpers import SourceMaker

_BROKER = pytest.StashKey[Broker]()


def no_kafka(problem: NoKafka) -> None:
    """Skip the test for want of a broker, or fail it where a broker is required."""
    if os.environ.get("CI") == "true" or os.environ.get("TALLY_REQUIRE_KAFKA") == "1":
        pytest.fail(f"a Kafka broker is required here: {problem}", pytrace=False)
    pytest.skip(f"no Kafka broker: {problem}")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the address of a broker that all tests share: make topics of your own, and never stop it."""
    given = os.environ.get("TALLY_TEST_KAFKA")
    if given:
        return given
    # Kept by the session: a folder of tests that imports this fixture makes another fixture of it, not another broker.
    broker = request.config.stash.get(_BROKER, None)
    if broker is None:
        try:
            broker = Broker(fetch_jars(), tmp_path_factory.mktemp("kafka"))
            broker.start()
        except NoKafka as problem:
            no_kafka(problem)
            raise  # not reached: no_kafka raises
        request.config.stash[_BROKER] = broker
        request.config.add_cleanup(broker.stop)
    return broker.address


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Give a maker of brokers that are the test's own, to be stopped, killed and restarted; settings may be given."""
    brokers: list[Broker] = []

    def make(settings: Mapping[str, str] | None = None) -> Broker:
        folder = tmp_path / f"kafka-{len(brokers)}"
        folder.mkdir()
        try:
            broker = Broker(fetch_jars(), folder, settings)
            brokers.append(broker)
            broker.start()
        except NoKafka as problem:
            no_kafka(problem)
        return broker

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture(params=["fast", "portable"])
def source_of(request: pytest.FixtureRequest) -> SourceMaker:
    """Give KafkaSource with each way of getting records out of the client: one suite judges both."""
    return partial(KafkaSource, route=request.param)
