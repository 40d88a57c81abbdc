"""How each kind of fault is made, and ended: a context each, by its name in the schedule."""

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from tests.chaos.brokers import Brokers
from tests.chaos.flows import Flows
from tests.chaos.points import Clock
from tests.chaos.proxy import Proxy, Trouble
from tests.chaos.schedule import Fault
from tests.chaos.serving import Serving, SmallDisk

PULSE: Final = 0.35
"""Seconds for which answers to the producer are lost at a time; it gets through in between."""


@dataclass
class Scene:
    """What faults are done to."""

    flows: Flows
    serving: Serving
    store: Proxy
    brokers: Brokers
    clock: Clock
    disk: SmallDisk | None = None

    def met(self) -> int:
        """Return how many connections or requests have met with a trouble of the network so far."""
        nodes = self.brokers.nodes
        return self.store.met + sum(node.for_flows.met + node.for_load.met for node in nodes)


Making = Callable[[Scene, Fault], AbstractContextManager[None]]


@contextmanager
def store_killed(scene: Scene, _: Fault) -> Iterator[None]:
    scene.serving.kill()
    try:
        yield
    finally:
        scene.serving.start()


@contextmanager
def store_struck(scene: Scene, fault: Fault) -> Iterator[None]:
    """Kill the store when an insert has just reached it, so that it dies while it writes."""
    struck = threading.Event()

    def kill() -> None:
        scene.serving.send(signal.SIGKILL)
        struck.set()

    def strike() -> None:
        # The insert itself takes some ten milliseconds.
        threading.Timer(fault.amount * 0.012, kill).start()

    scene.store.trouble(Trouble("strike", about=(fault.about or "usage_windows").encode(), after=2_000, then=strike))
    try:
        yield
        waited = 0.0
        while not struck.is_set() and waited < 5:
            scene.flows.keep(0.1)
            waited += 0.1
    finally:
        scene.store.clear()
        scene.serving.kill()
        scene.serving.start()


def _frozen(send: Callable[[signal.Signals], None]) -> AbstractContextManager[None]:
    @contextmanager
    def frozen() -> Iterator[None]:
        send(signal.SIGSTOP)
        try:
            yield
        finally:
            send(signal.SIGCONT)

    return frozen()


def store_frozen(scene: Scene, _: Fault) -> AbstractContextManager[None]:
    return _frozen(scene.serving.send)


@contextmanager
def _made(proxy: Proxy, trouble: Trouble) -> Iterator[None]:
    proxy.trouble(trouble)
    try:
        yield
    finally:
        proxy.clear()


def _answer(status: str, text: str, code: int | None = None) -> bytes:
    exception = f"X-ClickHouse-Exception-Code: {code}\r\n" if code else ""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{exception}Connection: close\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


ANSWERS: Final = {
    "store answers 500": _answer("500 Internal Server Error", "Code: 49. DB::Exception: oops (LOGICAL_ERROR)", 49),
    "store answers 503": _answer("503 Service Unavailable", "upstream connect error"),
    "store says full": _answer(
        "500 Internal Server Error", "Code: 243. DB::Exception: Cannot reserve 1.00 MiB (NOT_ENOUGH_SPACE)", 243
    ),
}


def store_answers(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Answer requests with an error, all of them or the inserts into one table."""
    return _made(scene.store, Trouble("answer", about=fault.about.encode(), answer=ANSWERS[fault.kind]))


def store_slow(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Let each piece of a request and of its answer take up to a second and a half."""
    return _made(scene.store, Trouble("delay", seconds=0.1 + 1.4 * fault.amount))


def store_refuses(scene: Scene, _: Fault) -> AbstractContextManager[None]:
    return _made(scene.store, Trouble("refuse"))


def store_cuts(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Cut inserts at any byte of their head or their body."""
    after = int(20_000 * fault.amount**3)
    return _made(scene.store, Trouble("cut", after=after, about=(fault.about or "usage_windows").encode()))


def store_loses(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Let inserts be written, and their answers be lost."""
    return _made(scene.store, Trouble("lose", about=fault.about.encode()))


def store_holds(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Hold inserts back, and deliver them late, also those of a process that has died since."""
    return _made(scene.store, Trouble("hold", about=(fault.about or "usage_windows").encode()))


@contextmanager
def store_full(scene: Scene, fault: Fault) -> Iterator[None]:
    """Fill the disk of the store; where none of its own could be mounted, let the store say that it is full."""
    if scene.disk is None or not scene.disk.made:
        with _made(scene.store, Trouble("answer", answer=ANSWERS["store says full"])):
            yield
        return
    scene.disk.fill(leave=int(600_000 * fault.amount))
    try:
        yield
    finally:
        scene.disk.free()


@contextmanager
def broker_killed(scene: Scene, fault: Fault) -> Iterator[None]:
    node = scene.brokers.nodes[fault.node]
    node.kill()
    try:
        yield
    finally:
        node.start()


@contextmanager
def broker_restarted(scene: Scene, fault: Fault) -> Iterator[None]:
    node = scene.brokers.nodes[fault.node]
    node.stop()
    try:
        yield
    finally:
        node.start()


def broker_frozen(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    return _frozen(scene.brokers.nodes[fault.node].send)


def _for_flows(scene: Scene, fault: Fault, trouble: Trouble) -> AbstractContextManager[None]:
    return _made(scene.brokers.nodes[fault.node].for_flows, trouble)


def broker_unreachable(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Let the flows not reach one broker: the partitions that it leads stand still, the others go on."""
    return _for_flows(scene, fault, Trouble("refuse"))


def broker_silent(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    return _for_flows(scene, fault, Trouble("hole"))


def broker_slow(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    return _for_flows(scene, fault, Trouble("delay", seconds=0.05 + 0.6 * fault.amount))


def broker_cuts(scene: Scene, fault: Fault) -> AbstractContextManager[None]:
    """Let each connection end after some hundreds or thousands of bytes."""
    return _for_flows(scene, fault, Trouble("cut", after=200 + int(4_000 * fault.amount)))


@contextmanager
def redelivered(scene: Scene, _: Fault) -> Iterator[None]:
    """Lose the brokers' answers to the producer again and again: what it sends then is written more than once."""
    over = threading.Event()
    trouble = Trouble("lose", after=1_500)  # past what a new connection says first

    def pulses() -> None:
        while not over.wait(PULSE * random.random()):
            for node in scene.brokers.nodes:
                node.for_load.trouble(trouble)
            over.wait(PULSE)
            for node in scene.brokers.nodes:
                node.for_load.clear()

    thread = threading.Thread(target=pulses, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


@contextmanager
def paused(scene: Scene, _: Fault) -> Iterator[None]:
    """Stop a run for longer than its successor needs to take over; then it goes on beside it."""
    old = scene.flows.give_up()
    old.send(signal.SIGSTOP)
    for pid in old.workers():
        scene.flows.signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in old.workers():
            scene.flows.signal(pid, signal.SIGCONT)
        old.send(signal.SIGCONT)


@contextmanager
def zombie(scene: Scene, _: Fault) -> Iterator[None]:
    """Take a run for dead that is not: it goes on writing beside its successor."""
    scene.flows.give_up()
    yield


@contextmanager
def clock_forward(scene: Scene, fault: Fault) -> Iterator[None]:
    scene.clock.step(3 + 86_400 * fault.amount**4)
    yield  # it stays so until the next step


@contextmanager
def clock_back(scene: Scene, fault: Fault) -> Iterator[None]:
    scene.clock.step(-3 - 86_400 * fault.amount**4)
    yield


@contextmanager
def drained(scene: Scene, _: Fault) -> Iterator[None]:
    """End a run in good order, as an operator does."""
    scene.flows.drain()
    yield


MAKING: Final[dict[str, Making]] = {
    "store killed": store_killed,
    "store killed inside an insert": store_struck,
    "store frozen": store_frozen,
    "store slow": store_slow,
    "store refuses": store_refuses,
    "store answers 500": store_answers,
    "store answers 503": store_answers,
    "store says full": store_answers,
    "store disk full": store_full,
    "store cuts inserts": store_cuts,
    "store answers lost": store_loses,
    "store inserts held back": store_holds,
    "broker killed": broker_killed,
    "broker restarted": broker_restarted,
    "broker frozen": broker_frozen,
    "broker unreachable": broker_unreachable,
    "broker silent": broker_silent,
    "broker slow": broker_slow,
    "broker cuts": broker_cuts,
    "messages redelivered": redelivered,
    "paused": paused,
    "zombie": zombie,
    "clock forward": clock_forward,
    "clock back": clock_back,
    "drained": drained,
}

PROXIED: Final = frozenset(
    {
        *("store killed inside an insert", "store slow", "store refuses", *ANSWERS, "store cuts inserts"),
        *("store answers lost", "store inserts held back", "broker unreachable", "broker silent", "broker slow"),
        *("broker cuts", "messages redelivered"),
    }
)
"""Faults that something must meet with, to be counted."""
