"""Two real brokers, each with a direct listener and two behind proxies: one for the flows and one for the producer.

Topics are not replicated: with one broker away its partitions are unreachable, and the others go on.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from confluent_kafka import KafkaException

from tests.chaos.proxy import Network, Proxy, low_port
from tests.kafka.broker import Broker

T = TypeVar("T")

DEADLINE: Final = 60.0


def patiently(ask: Callable[[], T]) -> T:
    """Ask the brokers until they answer: shortly after a restart a client is told of partitions that nobody leads."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return ask()
        except (KafkaException, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class ProxiedBroker(Broker):
    """A broker that sends clients on to the listener through which they came, so that a proxy stays between them."""

    def __init__(self, jars: Path, folder: Path, network: Network, controller: Broker | None = None) -> None:
        """Take the other broker as `controller`; without one this is the controller itself."""
        super().__init__(jars, folder)
        flow, load = low_port(), low_port()
        self.for_flows: Proxy = network.proxy(to=flow)
        self.for_load: Proxy = network.proxy(to=load)
        more = f"FLOW://127.0.0.1:{flow},LOAD://127.0.0.1:{load}"
        advertised = f"FLOW://{self.for_flows.address},LOAD://{self.for_load.address}"
        settings = self._settings
        if controller is not None:
            theirs = controller._settings
            settings |= {
                "process.roles": "broker",
                "node.id": "2",
                "controller.quorum.voters": theirs["controller.quorum.voters"],
                "listeners": f"PLAINTEXT://{self.address}",
            }
        settings["listeners"] += f",{more}"
        settings["advertised.listeners"] += f",{advertised}"
        settings["listener.security.protocol.map"] += ",FLOW:PLAINTEXT,LOAD:PLAINTEXT"
        # Each broker logs what is loaded; a killed one has to look through its newest segment when it comes back.
        settings["log.segment.bytes"] = str(4 << 20)
        settings["inter.broker.listener.name"] = "PLAINTEXT"

    def send(self, number: signal.Signals) -> None:
        """Send the broker's process a signal."""
        assert self.pid is not None
        os.kill(self.pid, number)


class Brokers:
    """The two of them. `addresses` are direct; `for_flows` and `for_load` go through the proxies."""

    def __init__(self, jars: Path, folder: Path, network: Network) -> None:
        for name in ("kafka-1", "kafka-2"):
            (folder / name).mkdir(parents=True)
        first = ProxiedBroker(jars, folder / "kafka-1", network)
        self.nodes = (first, ProxiedBroker(jars, folder / "kafka-2", network, first))

    def start(self) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:  # the JVMs take their time
            list(pool.map(ProxiedBroker.start, self.nodes))

    def stop(self) -> None:
        for node in reversed(self.nodes):
            with suppress(OSError):
                node.kill()

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)

    @property
    def for_flows(self) -> str:
        return ",".join(node.for_flows.address for node in self.nodes)

    @property
    def for_load(self) -> str:
        return ",".join(node.for_load.address for node in self.nodes)
