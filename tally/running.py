"""Running the usage flow in this process: `tally run`, the demo, and tests."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bytewax.run import cli_main

from dataflows.reading import Control
from dataflows.usage import usage_flow
from schemas.errors import TallyError
from schemas.log import LogId
from schemas.progress import Counts, Progress
from schemas.usage import Flush
from sinks.store import Store
from tally.settings import Settings
from tally.wiring import UsageRun, keep_large_buffers, prepare, say


def difference(after: Counts, before: Counts) -> Counts:
    """Return what was counted between two progress rows of one generation."""
    return Counts(
        records=after.records - before.records,
        events=after.events - before.events,
        accepted=after.accepted - before.accepted,
        late=after.late - before.late,
        duplicates=after.duplicates - before.duplicates,
        not_billable=after.not_billable - before.not_billable,
        rejected=after.rejected - before.rejected,
        quantity=after.quantity - before.quantity,
    )


def total(counts: Sequence[Counts]) -> Counts:
    """Return the sum of counts."""
    return Counts(
        records=sum(one.records for one in counts),
        events=sum(one.events for one in counts),
        accepted=sum(one.accepted for one in counts),
        late=sum(one.late for one in counts),
        duplicates=sum(one.duplicates for one in counts),
        not_billable=sum((one.not_billable for one in counts), Counter()),
        rejected=sum((one.rejected for one in counts), Counter()),
        quantity=sum(one.quantity for one in counts),
    )


def as_json(counts: Counts) -> dict[str, Any]:
    """Return counts as plain JSON values."""
    return {
        "records": counts.records,
        "events": counts.events,
        "accepted": counts.accepted,
        "late": counts.late,
        "duplicates": counts.duplicates,
        "not_billable": dict(sorted(counts.not_billable.items())),
        "rejected": dict(sorted(counts.rejected.items())),
        "quantity": counts.quantity,
    }


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
        return total(list(self.counts.values()))


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
            log: difference(progress.counts, self.started[log].counts)
            for log, progress in self.progress.items()
            if log in self.started
        }

    def share_read(self) -> tuple[int, int]:
        """Return how far the finite logs of this run were read and their length altogether, in bytes of offsets."""
        finite = [found for found in self.progress.values() if found.finite and found.log_end is not None]
        return sum(found.next_offset for found in finite), sum(found.log_end or 0 for found in finite)


def run_here(settings: Settings, control: Control, watch: Watch, tell: Callable[[str], None] = say) -> RunSummary:
    """Run the flow in this process until its logs end or `control` is asked to stop; return what it did.

    Raises the TallyError that stopped it. The store is closed in any case.
    """
    run = prepare(settings, control, tell=tell, wrote=watch.wrote)
    try:
        watch.begin(run)
        keep_large_buffers()
        # No recovery store, so an epoch has nothing to coordinate: it may be as long as it likes.
        cli_main(usage_flow(run.parts), epoch_interval=dt.timedelta(seconds=10))
        if control.failure is not None:
            raise RunStopped(control.failure)
        return _summary(run.store, run, watch)
    finally:
        run.store.close()


class RunStopped(Exception):
    """A run that had begun could not go on; `failure` says why."""

    def __init__(self, failure: TallyError) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _summary(store: Store, run: UsageRun, watch: Watch) -> RunSummary:
    finished = sum(planned.finished for planned in run.plan.logs)
    return RunSummary(watch.counts(), finished, store.complete_to())
