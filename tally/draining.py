"""How a run that was asked to stop ends when its store is away: it waits a little for the last flush, then gives up.

Nothing is lost by giving up: what was not written is read again by the next run, from the progress that was.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dataflows.reading import Control
from schemas.errors import StoreUnavailable, TallyError
from schemas.usage import Flush
from tally.telemetry.logs import fail

GRACE: Final = 10.0
"""Seconds from the request to stop for which a store that is away is still waited for."""
HUNG: Final = 2.0
"""Seconds more for a call that neither returns nor fails, such as to a server that was frozen."""
LOOK_EVERY: Final = 0.1


def leave(error: TallyError) -> None:
    """End the process at once, with its message: the flow's thread is in a call that does not come back."""
    fail(error)
    os._exit(1)


class Draining:
    """Ends waits for the store: GRACE seconds after the run was asked to stop, at once where it has failed.

    `watch_calls`: a single call may hang (a server's; the embedded engine is in this process), and is given up as well.
    """

    def __init__(
        self,
        control: Control,
        *,
        watch_calls: bool = False,
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[TallyError], None] = leave,
    ) -> None:
        self._control = control
        self._watch_calls = watch_calls
        self._grace = grace
        self._clock = clock
        self._leave = leave
        self._stop_at: float | None = None
        self._called_at: float | None = None
        control.on_stop = self._begin
        if control.stop_requested:  # while the run was being prepared
            self._begin()

    def over(self) -> bool:
        """Say whether a wait for the store is to end with the error at hand."""
        if self._control.failure is not None:
            return True
        return self._stop_at is not None and self._clock() - self._stop_at >= self._grace

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Watch what is done inside for a call of the store that does not come back."""
        self._called_at = self._clock()
        try:
            yield
        finally:
            self._called_at = None

    def writing(self, write: Callable[[Sequence[Flush]], None]) -> Callable[[Sequence[Flush]], None]:
        """Return the store's write, watched so."""

        def watched(flushes: Sequence[Flush]) -> None:
            with self.calling():
                write(flushes)

        return watched

    def hung(self) -> bool:
        """Say whether a call has been under way for GRACE + HUNG seconds since the run was asked to stop."""
        called, stop = self._called_at, self._stop_at
        if called is None or stop is None:
            return False
        return self._clock() - max(called, stop) >= self._grace + HUNG

    def _begin(self) -> None:
        if self._stop_at is None:
            self._stop_at = self._clock()
            if self._watch_calls:
                threading.Thread(target=self._look, name="draining", daemon=True).start()

    def _look(self) -> None:
        while not self.hung():
            time.sleep(LOOK_EVERY)
        self._leave(
            StoreUnavailable(
                f"the store has not answered for {self._grace + HUNG:.0f} s since the run was asked to stop. "
                "Nothing that was counted is lost: run it again to go on"
            )
        )
