"""The last step of the flow: what a tick flushed goes to the store, rows before the progress that covers them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from schemas.errors import TallyError
from schemas.usage import Flush


class Halt(Protocol):
    """How the sink tells that it cannot go on, and learns that it must not."""

    @property
    def failure(self) -> TallyError | None:
        """Return why the run cannot go on; None while it can."""
        ...

    def fail(self, error: TallyError) -> None:
        """Note why the run cannot go on."""
        ...


@dataclass(frozen=True)
class WriteUsage(DynamicSink[tuple[Flush, ...]]):
    """The sink of the flow: one insert of rows and one of progress a worker and tick.

    `write` is the store's, and waits itself while the store is away: meanwhile the worker reads nothing, so memory
    stays bounded and lag grows. `wrote` is told what was written, for whoever watches the run.
    After a failure nothing more is written: later progress would cover rows that never reached the store.
    """

    write: Callable[[Sequence[Flush]], None]
    wrote: Callable[[Sequence[Flush]], None]
    control: Halt

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "UsageWriting":  # noqa: ARG002
        """Return one worker's writing."""
        return UsageWriting(self)


@dataclass(frozen=True)
class UsageWriting(StatelessSinkPartition[tuple[Flush, ...]]):
    """One worker's writing."""

    sink: WriteUsage

    def write_batch(self, items: list[tuple[Flush, ...]]) -> None:
        """Write the flushes, a tick at a time."""
        for flushes in items:
            if self.sink.control.failure is not None:
                return
            try:
                self.sink.write(flushes)
            except TallyError as error:
                self.sink.control.fail(error)
                return
            self.sink.wrote(flushes)
