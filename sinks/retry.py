"""Waiting for a store that is away: which failures may pass, and how long to wait between attempts."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from schemas.errors import StoreUnavailable

T = TypeVar("T")

SLICE: Final = 0.1
"""Seconds of sleep between two looks at `should_stop`, so that a stop signal ends a wait at once."""


def _say_nothing(message: str) -> None:
    del message


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Retrying:
    """Exponential backoff with jitter around calls that raise StoreUnavailable; every other error passes at once.

    Waits grow from `first_wait` to `longest_wait` seconds, each cut by up to half at random so that the workers of a
    cluster do not come back together. After `patience` seconds in all the last error is raised (None: wait for ever;
    0: never wait). `on_wait` gets a message before each wait; `should_stop` ends a wait by raising the error at hand.
    `sleep`, `clock` (monotonic seconds) and `jitter` (uniform in [0, 1)) are values so that tests never wait.
    """

    first_wait: float = 0.2
    longest_wait: float = 10.0
    patience: float | None = 0.0
    on_wait: Callable[[str], None] = _say_nothing
    should_stop: Callable[[], bool] = _never
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = field(default=random.random)

    def run(self, action: Callable[[], T], *, what: str) -> T:
        """Call `action` until it succeeds and return its result. `what` names the work in messages."""
        started = self.clock()
        attempt = 0
        while True:
            try:
                return action()
            except StoreUnavailable as error:
                attempt += 1
                waited = self.clock() - started
                if self.should_stop() or (self.patience is not None and waited >= self.patience):
                    raise
                wait = min(self.longest_wait, self.first_wait * 2 ** min(attempt - 1, 16))
                wait *= 1 - self.jitter() / 2
                self.on_wait(f"{what}: {error}; attempt {attempt}, waiting since {waited:.0f} s, next in {wait:.1f} s")
                if not self._slept(wait):
                    raise

    def _slept(self, seconds: float) -> bool:
        """Sleep in slices; return False when a stop was asked for meanwhile."""
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0:
            if self.should_stop():
                return False
            self.sleep(min(SLICE, left))
        return not self.should_stop()


AT_ONCE: Final = Retrying()
"""Never waits: for commands that a person is waiting for."""
