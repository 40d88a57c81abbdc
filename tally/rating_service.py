"""A rater that stays: one pass after the other, never two at once, over the billing periods that may change.

    files (read anew when they changed) ──► due months ──► a pass each ──► one line ──► wait, and again

A pass that fails by name is told, counted, and followed by the next. A store that is away is waited for, and what the
pass has not written is rated again: rating twice changes nothing. A stop ends the pass after the batch under way.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from dataflows.reading import Control
from schemas.errors import SettingsError, StoreError, StoreUnavailable, TallyError
from schemas.period import Period
from schemas.statements import RatingFailure
from sinks.retry import Retrying
from sinks.store import Store, open_store
from sinks.url import EmbeddedUrl, parse_url
from tally.draining import Draining
from tally.price_files import PriceFiles
from tally.rated import Prices, Rated
from tally.rating_answer import TOLD_FAILURES, Answer
from tally.rating_months import DuePeriods
from tally.rating_pass import Asked, begin_pass
from tally.running import stopped
from tally.settings import Settings
from tally.telemetry import logs
from tally.telemetry.logs import Tell, say
from tally.telemetry.rater import MICROSECONDS, PassCounts, RaterWatch, Result

LOOK_EVERY: Final = 0.2
"""Seconds of sleep between two looks at whether to stop."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When passes begin: every `every` seconds, the next at once where one took longer. Clocks and sleep are values.

    `clock` is monotonic seconds, `wall` microseconds UTC: it says which periods have begun, and dates what is written.
    """

    every: float
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], int] = lambda: time.time_ns() // 1_000
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class PassReport:
    """One pass, for whoever looks on: its months in order, each with its answer; `why` where it failed.

    A month in which a pass failed is not among them: what of it was kept is counted by the pass that does not fail.
    """

    number: int
    began: int
    result: Result = "rated"
    seconds: float = 0.0
    months: list[Answer] = field(default_factory=list)
    why: str = ""

    @property
    def failures(self) -> int:
        """Return how much could not be priced."""
        return sum(answer.failures for answer in self.months)

    def counts(self) -> PassCounts:
        """Return what telemetry counts of it."""
        return counts_of(self.months, self.seconds)


def counts_of(months: Sequence[Answer], seconds: float) -> PassCounts:
    """Return what telemetry counts of a pass over some months."""
    kept: Counter[str] = Counter()
    for answer in months:
        kept.update(answer.about()["kept"])
    last = months[-1].known.complete_to if months else None
    return PassCounts(
        seconds,
        sum(answer.statements for answer in months),
        sum(answer.lines for answer in months),
        None if last is None else (last - _EPOCH) // _MICROSECOND,
        kept,
        {answer.period.name: answer.reasons.copy() for answer in months},
    )


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


class RatingService:
    """Rates until it is asked to stop: what is due by the clock, or one month alone."""

    def __init__(
        self,
        settings: Settings,
        asked: Asked,
        schedule: Schedule,
        control: Control,
        watch: RaterWatch,
        *,
        fixed: bool = False,
        show: Callable[[PassReport], None],
        progress_every: float = 10.0,
        tell: Tell = say,
    ) -> None:
        """`asked.month` is what is rated where `fixed` says so; else the clock says which. `show` takes each pass."""
        self._settings = settings
        self._asked = asked
        self._schedule = schedule
        self._control = control
        self._watch = watch
        self._fixed = fixed
        self._show = show
        self._progress_every = progress_every
        self._tell = tell
        self._files = PriceFiles(settings)
        self._due = DuePeriods()
        self._draining = Draining(control, watch_calls=not isinstance(parse_url(settings.store), EmbeddedUrl))
        self._failed: dict[str, set[str]] = {}
        """What was told of each month: what stays as it is, is not told again."""
        self._number = 0
        self._patience = None if settings.store_patience is None else settings.store_patience / MICROSECONDS
        self._retrying = Retrying(
            patience=self._patience,
            on_wait=self._waiting,
            should_stop=self._stopping,
            sleep=schedule.sleep,
            clock=schedule.clock,
        )

    def run(self) -> None:
        """Rate, until the control is asked to stop.

        Raises SettingsError or StoreError where it cannot begin, and StoreUnavailable once a store has been away for
        longer than the settings say: whatever else happens to a pass does not end the run.
        """
        self._files.read()
        try:
            self._retrying.run(self._look_at_the_store, what="opening")
            while not self._stopping():
                began = self._schedule.clock()
                self._pass()
                self._rest(began + self._schedule.every)
        except StoreUnavailable as error:
            if not self._control.stopping:
                raise stopped(error) from None
            self._tell("stopped while the store was away: what was not written is rated by the next run")

    def _look_at_the_store(self) -> None:
        with self._draining.calling(), open_store(self._settings.store, create=False) as store:
            store.check_version()

    def _pass(self) -> None:
        """Make one pass, and tell what became of it. Raises StoreUnavailable when there is no more waiting for it."""
        self._number += 1
        report = PassReport(self._number, self._schedule.wall())
        began = self._schedule.clock()
        self._watch.began()
        try:
            # A pass may go well for longer than anybody waits for a store: only the time that it is away counts.
            beginning_anew = replace(self._retrying, patience=None, should_stop=self._given_up)
            beginning_anew.run(partial(self._rate, report, self._files.read()), what="rating")
        except StoreUnavailable:
            raise
        except TallyError as error:
            report.result, report.why = _reason(error), str(error)
            self._tell(
                f"pass {report.number} has failed, and nothing more is rated until the next: {error}"
                + ("; the prices before are not used in their place" if report.result == "prices" else ""),
                level="warning",
            )
        report.seconds = self._schedule.clock() - began
        self._watch.ended(report.result, report.counts(), why=report.why, months=self._due.months)
        self._show(report)

    def _rate(self, report: PassReport, prices: Prices) -> None:
        """Rate every month that is due; begun anew, whole, where the store went away under it."""
        if report.months:  # what they said is told of this beginning, or of none
            report.months.clear()
            self._due.forget()
        with ExitStack() as opened:
            with self._draining.calling():
                store = opened.enter_context(open_store(self._settings.store, create=False))
                store.check_version()
            store.retrying = self._retrying
            store.inserted = self._watch.inserted
            for asked in self._months(report, prices, store):
                answer = self._month(report, store, prices, asked)
                if self._control.stopping:
                    report.result = "stopped"
                    return
                if not self._fixed:
                    self._due.rated(asked.month, answer.known.complete_to)
                if answer.outcome.later or answer.outcome.overtaken:
                    self._due.forget()
        report.result = "incomplete" if report.failures else "rated"

    def _months(self, report: PassReport, prices: Prices, store: Store) -> Iterator[Asked]:
        if self._fixed:
            yield self._asked
            return
        now = _EPOCH + report.began * _MICROSECOND
        with self._draining.calling():
            known = store.complete_to()
        complete_to = None if known is None else _EPOCH + known * _MICROSECOND
        for month in self._due.begin(now, prices.contracts, complete_to):
            yield replace(self._asked, month=month, wanted=self._due.wanted)

    def _month(self, report: PassReport, store: Store, prices: Prices, asked: Asked) -> Answer:
        with self._draining.calling():
            going = begin_pass(store, prices, asked, rated_at=report.began, stopping=self._stopping)
        failed: set[str] = set()
        going.answer.on_failure = partial(self._failure, asked.month, failed)
        told = self._schedule.clock()
        while (rated := self._next(going.ratings)) is not None:
            now = self._schedule.clock()
            if now - told >= self._progress_every:
                told = now
                _progress(report, going.answer, rated)
        report.months.append(going.answer)
        if not self._control.stopping:
            self._failed[asked.month.name] = failed
        return going.answer

    def _next(self, ratings: Iterator[Rated]) -> Rated | None:
        """Return the next rating; a call of the store that does not come back is given up some time after a stop."""
        self._watch.beat()
        with self._draining.calling():
            rated = next(ratings, None)
        self._watch.answered()
        return rated

    def _failure(self, month: Period, failed: set[str], failure: RatingFailure) -> None:
        said = str(failure)
        if len(failed) < TOLD_FAILURES:
            failed.add(said)
            if said not in self._failed.get(month.name, ()):
                self._tell(said, level="warning")

    def _rest(self, until: float) -> None:
        while not self._stopping() and (left := until - self._schedule.clock()) > 0:
            self._schedule.sleep(min(LOOK_EVERY, left))

    def _stopping(self) -> bool:
        self._watch.beat()
        return self._control.stopping

    def _given_up(self) -> bool:
        return self._stopping() or (self._patience is not None and self._watch.away_for() > self._patience)

    def _waiting(self, message: str) -> None:
        self._watch.waiting(message)
        self._tell(message, level="warning")


def _reason(error: TallyError) -> Result:
    if isinstance(error, SettingsError):
        return "prices"
    return "store" if isinstance(error, StoreError) else "rating"


def _progress(report: PassReport, answer: Answer, rated: Rated) -> None:
    line = f"pass {report.number}: {answer.period}: {answer.statements:,} rated, at organisation {rated.org_id}"
    fields: dict[str, Any] = {
        "pass": report.number,
        "month": answer.period.name,
        "rated": answer.statements,
        "org_id": rated.org_id,
    }
    logs.progress(line, fields)
