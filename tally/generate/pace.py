"""Keeping to a rate: events a second, or as fast as it can."""

import time
from collections.abc import Callable
from typing import Final

STEPS: Final = 20
"""Chunks a second, at least, so that a rate looks even from outside."""


class Pace:
    """Sleeps so that by t seconds after the start no more than rate × t events were made; no rate, no sleep."""

    def __init__(
        self,
        rate: float | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._sleep = sleep
        self._clock = clock
        self._start = clock()

    def chunk(self, most: int) -> int:
        """Return how many events to make at a time."""
        return most if self._rate is None else max(1, min(most, int(self._rate / STEPS)))

    def keep(self, done: int) -> None:
        """Wait until `done` events are due."""
        if self._rate is not None:
            early = done / self._rate - (self._clock() - self._start)
            if early > 0:
                self._sleep(early)
