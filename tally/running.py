"""Running the usage flow in this process: `tally run`, the demo, and tests."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bytewax.run import cli_main

from dataflows.reading import Control
from dataflows.usage import Parts, usage_flow
from schemas.errors import StoreError, TallyError
from schemas.log import LogId
from schemas.progress import Counts, Progress
from schemas.usage import Flush
from sinks.store import Store
from tally.settings import Settings
from tally.telemetry.logs import Tell, say
from tally.wiring import UsageRun, exit_status, keep_large_buffers, prepare


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did: counts of this run by log, how many logs had been read to their end before, completeness.

    `complete_to` is in microseconds UTC, None where it is not known.
    """

    counts: Mapping[LogId, Counts]
    finished_before: int
    complete_to: int | None

    @property
    def total(self) -> Counts:
        """Return the counts of all logs together."""
        return Counts.total(self.counts.values())


@dataclass
class Watch:
    """Follows a run by what it wrote. `progress` is the last progress of each log that this run took up."""

    started: dict[LogId, Progress] = field(default_factory=dict)
    progress: dict[LogId, Progress] = field(default_factory=dict)
    on_wrote: Callable[["Watch"], None] = lambda _: None

    def begin(self, run: UsageRun) -> None:
        """Take the run's starting points."""
        self.started = {planned.progress.log: planned.progress for planned in run.plan.logs if not planned.finished}
        self.progress = dict(self.started)

    def wrote(self, flushes: Sequence[Flush]) -> None:
        """Take what reached the store."""
        self.progress |= {flush.progress.log: flush.progress for flush in flushes}
        self.on_wrote(self)

    def counts(self) -> dict[LogId, Counts]:
        """Return what this run counted, by log."""
        return {
            log: progress.counts.since(self.started[log].counts)
            for log, progress in self.progress.items()
            if log in self.started
        }

    def share_read(self) -> tuple[int, int]:
        """Return how far the finite logs of this run were read and their length altogether, in bytes of offsets."""
        finite = [found for found in self.progress.values() if found.finite and found.log_end is not None]
        return sum(found.next_offset for found in finite), sum(found.log_end or 0 for found in finite)


def execute(parts: Parts, process_id: int | None = None, addresses: Sequence[str] | None = None) -> None:
    """Let Bytewax run the flow, alone or as one process of a cluster, until it ends."""
    # No recovery store, so an epoch has nothing to coordinate: it may be as long as it likes.
    cli_main(  # type: ignore[no-untyped-call]  # Bytewax gives it no signature
        usage_flow(parts), process_id=process_id, addresses=addresses, epoch_interval=dt.timedelta(seconds=10)
    )


def run_here(settings: Settings, control: Control, watch: Watch, tell: Tell = say) -> RunSummary:
    """Run the flow in this process until its logs end or `control` is asked to stop; return what it did.

    Raises the TallyError that stopped it. The store is closed in any case.
    """
    run = prepare(settings, control, tell=tell, wrote=watch.wrote)
    try:
        watch.begin(run)
        keep_large_buffers()
        execute(run.parts)
        if control.failure is not None:
            raise stopped(control.failure)
        with run.draining.calling():
            return _summary(run.store, run, watch)
    except StoreError as error:
        stopped(error)
        raise
    finally:
        run.close()


def stopped(failure: TallyError) -> TallyError:
    """Return the error that ended a run which had begun, with its exit status."""
    failure.exit_status = exit_status(failure)
    return failure


def _summary(store: Store, run: UsageRun, watch: Watch) -> RunSummary:
    finished = sum(planned.finished for planned in run.plan.logs)
    return RunSummary(watch.counts(), finished, store.complete_to())
