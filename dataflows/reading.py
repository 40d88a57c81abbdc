"""The first step of the flow: a worker reads its share of the partition logs, a batch an item.

Items of one log come in this order: Opened (its progress, with the mark from which a replay starts), then its batches.
A Tick comes whenever it is time to flush, and as the last item of all.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from dataflows.plan import Plan, PlannedLog
from dataflows.sources.base import LogEnd, Reader, Source
from schemas.errors import SettingsError, TallyError
from schemas.log import LogId, RecordBatch
from schemas.progress import Progress


class Opened(NamedTuple):
    """A log is about to be read from its progress' mark on. `broker_clock`: its records carry a broker's timestamps."""

    progress: Progress
    broker_clock: bool


class Tick(NamedTuple):
    """It is time to flush one worker's `logs`. `ends` is the newest sight of each log's end."""

    logs: tuple[LogId, ...]
    ends: Mapping[LogId, LogEnd]


Item = Opened | RecordBatch | Tick


class Control:
    """How a run is told to stop, and how its steps tell that it cannot go on.

    An error that passed through Bytewax would come out as a panic with a stack of its own; so a step notes a TallyError
    here and the stream ends. Nothing may be written after a failure: later progress would cover what was not written.
    """

    def __init__(self, on_failure: Callable[[TallyError], None] | None = None) -> None:
        """`on_failure` is told of the first failure: a process of a cluster must not wait for the others to end."""
        self.claimed = False
        self.stop_requested = False
        self.on_stop: Callable[[], None] | None = None
        self.failure: TallyError | None = None
        self._on_failure = on_failure

    @property
    def stopping(self) -> bool:
        """Say whether the run is to end, by request or after a failure."""
        return self.stop_requested or self.failure is not None

    def request_stop(self) -> None:
        """Ask the run to flush and end; may be called from a signal handler. `on_stop` is told."""
        self.stop_requested = True
        if self.on_stop is not None:
            self.on_stop()

    def fail(self, error: TallyError) -> None:
        """Note why the run cannot go on; the first reason counts."""
        if self.failure is None:
            self.failure = error
            if self._on_failure is not None:
                self._on_failure(error)


@dataclass(frozen=True, slots=True)
class Pace:
    """When to flush: every `flush_interval` microseconds of `clock`, which never goes back and decides nothing else."""

    clock: Callable[[], int]
    flush_interval: int = 1_000_000


@dataclass(frozen=True)
class ReadLogs(DynamicSource[Item]):
    """The source of the flow: each worker reads its share of the plan.

    `announce` writes down the progress of all logs of the plan, before this worker reads anything: readers of the store
    know of every partition from the first moment, also of those whose worker has not started yet.
    """

    plan: Plan
    pace: Pace
    control: Control
    announce: Callable[[], None]

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "LogReading":  # noqa: ARG002
        """Return the reading of one worker's share."""
        if self.control.claimed:
            # Not raised: Bytewax would panic.
            self.control.fail(
                SettingsError("worker threads (-w) share one decoder and one store: use processes (-i, -a)")
            )
        self.control.claimed = True
        return LogReading(self.plan.share(worker_index, worker_count), self.pace, self.control, self.announce)


@dataclass
class LogReading(StatelessSourcePartition[Item]):
    """One worker's reading of its logs. Nothing is opened before Bytewax first asks for items."""

    logs: tuple[PlannedLog, ...]
    pace: Pace
    control: Control
    announce: Callable[[], None]
    _readers: list[Reader] = field(default_factory=list)
    _waiting: dict[LogId, Opened] = field(default_factory=dict)
    _started: bool = False
    _ended: bool = False
    _flushed_at: int = 0

    def next_batch(self) -> list[Item]:
        """Return the next items; [] when there is nothing now. Raises StopIteration at the end."""
        if self._ended or self.control.failure is not None:
            raise StopIteration
        try:
            return list(self._next_items())
        except TallyError as error:
            self.control.fail(error)
            raise StopIteration from error

    def close(self) -> None:
        """Release what the readers hold."""
        for reader in self._readers:
            reader.close()

    def _next_items(self) -> Iterator[Item]:
        if not self._started:
            self._started = True
            yield from self._open()
        if not self.control.stopping:
            for reader in self._readers:
                for batch in reader.poll():
                    if batch.log in self._waiting:
                        yield self._waiting.pop(batch.log)
                    yield batch
        self._ended = self.control.stopping or all(reader.exhausted for reader in self._readers)
        now = self.pace.clock()
        if self._ended or now - self._flushed_at >= self.pace.flush_interval:
            self._flushed_at = now
            ends = {log: end for reader in self._readers for log, end in reader.ends().items()}
            yield Tick(tuple(planned.progress.log for planned in self.logs), ends)

    def _open(self) -> Iterator[Item]:
        self.announce()
        self._flushed_at = self.pace.clock()
        by_source: dict[int, tuple[Source, dict[LogId, int]]] = {}
        for planned in self.logs:
            if planned.finished:
                continue
            opened = Opened(planned.progress, planned.source.broker_clock)
            if planned.listed.finite:
                # A meter is made when its file's turn comes: a folder may hold many thousands.
                self._waiting[planned.progress.log] = opened
            else:
                yield opened
            _, starts = by_source.setdefault(id(planned.source), (planned.source, {}))
            starts[planned.progress.log] = planned.progress.mark.warm_offset
        for source, starts in by_source.values():
            self._readers.append(source.open(starts))
