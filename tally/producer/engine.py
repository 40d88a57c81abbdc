"""What moves events on: the client, the outbox and the reporter under one lock, and a thread for when nobody calls.

The lock guards everything but the client, which is thread-safe and calls back into queues; nobody waits for the broker
with the lock in hand.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from schemas.controls import HEARTBEAT
from schemas.errors import SettingsError
from tally.producer.client import Client
from tally.producer.outbox import Outbox
from tally.producer.placement import Placement
from tally.producer.reporting import Reporter

SLICE: Final = 0.05
"""Seconds of one wait for answers."""
ASK_AGAIN: Final = 0.5
"""Seconds between two questions about the topics, until they are answered."""
BELIEVE: Final = 5.0
"""Seconds until an answer that there is no such topic is believed: a broker may hear of a new one a moment later."""
PURGED: Final = 10.0
"""Seconds that the client may take to give up its records."""


class Engine:
    """Takes `lock` for everything, except in methods that say otherwise."""

    def __init__(
        self,
        client: Client,
        outbox: Outbox,
        reporter: Reporter | None,
        salted: Mapping[int, int],
        *,
        tick: float,
        report_every: float,
        clock: Callable[[], int],
    ) -> None:
        """Take the parts; `tick`: seconds between two looks of the thread; `clock`: microseconds UTC for reports."""
        self.client = client
        self.outbox = outbox
        self.refusal = ""
        """What stands against sending at all, as of now: there is no such topic, say."""
        self.lock = threading.Lock()
        self._changed = threading.Condition(self.lock)
        self._reporter = reporter
        self._salted = dict(salted)
        self._tick = tick
        self._report_every = report_every
        self._report_at = self._beat_at = self._ask_at = self._refused_at = 0.0
        self._clock = clock
        self._reporting = True
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"usage producer of {client.uri}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing is sent or taken in any more."""
        with self.lock:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def forget(self) -> None:
        """Let go of what a fork has broken, in the child: the thread is the parent's, the lock may be held by it."""
        self.lock = threading.Lock()

    def settle(self) -> None:
        """Take in what the client has answered. The lock is held."""
        self.outbox.settle()
        if self._reporter is not None:
            self._reporter.settle()

    def wait(self, seconds: float, *, push: bool = False) -> None:
        """Wait for answers, for a slice of those seconds, and take them in. The lock is held, but for the wait.

        `push`: do not let the client wait for more to send.
        """
        slice_ = max(0.0, min(SLICE, seconds))
        self.lock.release()
        try:
            if push:
                self.client.push(slice_)
            else:
                self.client.poll(slice_)
        finally:
            self.lock.acquire()
        self.settle()

    def deliver(self, round_: int, deadline: float | None) -> bool:
        """Wait until nothing of that round is on its way; return False when the time is over, or waiting is in vain."""
        with self.lock:
            while True:
                self.wait(0)
                self.outbox.seal()
                if self.outbox.settled(round_):
                    return True
                if left(deadline) <= 0 or (self.refusal and not self.outbox.placed):
                    return False
                self.wait(left(deadline), push=True)

    def report(self, deadline: float | None, *, closing: bool = False) -> str:
        """Report until it has arrived, and return ''; what is wrong where the time is over.

        Where the topics are not known nothing was delivered, and there is nothing to report.
        """
        if self._reporter is None:
            return ""
        with self.lock:
            if not self.client.located:
                return ""
            self._reporting = not closing
            totals, last = self._reporter.totals, closing
            while True:
                if totals.due or last:
                    self._reporter.publish(self._clock(), closing=last)
                    last = False
                waiting = list(totals.open)
                while any(publish.left for publish in waiting) and left(deadline) > 0:
                    self.wait(left(deadline), push=True)
                problem = next((publish.problem for publish in waiting if publish.problem), "")
                if not problem and not any(publish.left for publish in waiting):
                    return ""
                if left(deadline) <= 0:
                    return problem or "no answer yet"
                self._changed.wait(SLICE)

    def abandon(self) -> int:
        """Turn what is not acknowledged into failures; return how many records the client did not even give up."""
        with self.lock:
            self.outbox.abandon()
        self.client.purge()
        until = time.monotonic() + PURGED
        with self.lock:
            while self.outbox.on_their_way and time.monotonic() < until:
                self.wait(SLICE)
            return self.outbox.on_their_way

    def _run(self) -> None:
        while True:
            with self.lock:
                if not self._stopped:
                    self._changed.wait(self._tick)
                if self._stopped:
                    return
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - whoever calls next is told; a thread that died would tell nobody
                self.refusal = f"{self.client.uri}: the producer's thread failed: {error!r}"

    def _look(self) -> None:
        now = time.monotonic()
        if not self.client.located and now >= self._ask_at:
            self._ask_at = now + ASK_AGAIN
            self._locate()
        self.client.poll(0)
        with self.lock:
            self.settle()
            self.outbox.seal(now)
            if self._reporter is not None and self._reporting and self.client.located and now >= self._report_at:
                self._report_at = now + self._report_every
                if now >= self._beat_at:
                    self._reporter.totals.beat()
                if self._reporter.publish(self._clock()) is not None:
                    self._beat_at = now + HEARTBEAT

    def _locate(self) -> None:
        """Ask for the topics' partitions, and put on its way what waited for them."""
        refusal = self.client.locate() or ""
        now = time.monotonic()
        self._refused_at = (self._refused_at or now) if refusal else 0.0
        if now - self._refused_at < BELIEVE:
            refusal = ""
        with self.lock:
            if self.client.located:
                try:
                    placement = Placement(self.client.partitions[self.client.topic], self._salted)
                except SettingsError as error:
                    refusal = f"{self.client.uri}: {error}"
                else:
                    self.outbox.place(placement)
            self.refusal = refusal
            self._changed.notify_all()


def left(deadline: float | None) -> float:
    """Return the seconds until a deadline; a slice where there is none."""
    return SLICE if deadline is None else deadline - time.monotonic()
