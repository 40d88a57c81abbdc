"""One pass of rating over a month: what is to be rated, rated, and kept.

    store, prices, what is asked ──► ratings as they come (kept behind them) ──► the answer: what was counted

A pass streams: nothing is rated before it is asked for, and what was kept up to any moment may stay as it is.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from rater.files import load_book, load_contracts
from rater.memory import remembers
from rater.terms import Terms, terms
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from schemas.period import Period
from schemas.statements import OrgUsage
from sinks.store import Store
from tally.known_before import KnownBefore
from tally.rated import Prices, Rated, Stamp, rate_here, rate_in_processes
from tally.rating import read_known
from tally.rating_answer import Answer
from tally.settings import Settings
from tally.statement_store import StatementStore
from tally.usage_reading import MINUTE
from tally.work import Work, by_window, periods_of, work_by_period

SAMPLES: Final = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pass is to rate: the periods that begin in `month`, of everyone or of one organisation.

    `again`: also what has not changed since it was rated. `whole`: ratings come with their statements, which they do
    only where they are made in this process. `window` is the length of a usage window. `wanted` says of each billing
    period of the month whether it is rated now.
    """

    month: Period
    org: int | None = None
    again: bool = False
    whole: bool = False
    processes: int = 1
    window: dt.timedelta = MINUTE
    wanted: Callable[[Period], bool] = lambda _: True


class _Stopped(Exception):
    """The pass was asked to stop while it looked for what has changed."""


@dataclass(frozen=True, slots=True)
class RatingPass:
    """A pass under way. Whoever iterates over `ratings` drives it: each is kept as it goes by, in batches.

    `answer` counts what went by, and is whole once `ratings` has ended. Where `ratings` is not read to its end nothing
    is half written: a statement is in the store as it was before, or as it is now.
    """

    answer: Answer
    ratings: Iterator[Rated]


def load_prices(settings: Settings) -> Prices:
    """Read the price book, the contracts and the catalogue that the settings name. Raises SettingsError."""
    return Prices(
        load_book(_given(settings, "book", "prices.yaml")),
        load_contracts(_given(settings, "contracts", "contracts.yaml")),
        load_catalogue(settings.catalogue).id_by_name(),
    )


def begin_pass(
    store: Store, prices: Prices, asked: Asked, *, rated_at: int, stopping: Callable[[], bool] = lambda: False
) -> RatingPass:
    """Return a pass over an open store of this version. `rated_at` (microseconds UTC) is kept with what is written.

    How far usage is known is read now, the usage as ratings are asked for. `stopping` is asked for every organisation:
    once it is true no more work is begun, and what was rated until then is kept. Raises StoreError, and SettingsError
    for a book changed under its revision.
    """
    known = read_known(store)
    statements = StatementStore(store, prices.book, known, rated_at=rated_at)
    answer = Answer(asked.month, known, statements.outcome)
    rated = _rated(
        _kept_before_the_next(_periods(store, prices, asked, statements, stopping), statements),
        prices,
        statements.stamp,
        lambda work: by_window(store, work, asked.window),
        1 if asked.whole or asked.org is not None else asked.processes,
    )
    return RatingPass(answer, answer.follow(_kept(rated, statements, prices, asked, stopping)))


def _periods(
    store: Store, prices: Prices, asked: Asked, statements: StatementStore, stopping: Callable[[], bool]
) -> Iterator[Iterator[Work]]:
    """Yield the work of every billing period of the month that is wanted, until the pass is asked to stop."""
    unchanged = None if asked.again or asked.whole or asked.org is not None else _Unchanged(prices, statements)

    def done(period: Period, usage: OrgUsage) -> bool:
        if stopping():
            raise _Stopped
        return unchanged is not None and unchanged(period, usage)

    contracts, month = prices.contracts, asked.month
    found = work_by_period(store, prices.book, contracts, month, asked.org, done=done, window=asked.window)
    for period, works in zip(periods_of(contracts, month, asked.org), found, strict=True):
        if asked.wanted(period):
            yield _until_stopped(works, unchanged)


def _until_stopped(works: Iterator[Work], unchanged: "_Unchanged | None") -> Iterator[Work]:
    try:
        with suppress(_Stopped):
            yield from works
    finally:
        if unchanged is not None:
            unchanged.close()


def _rated(
    periods: Iterable[Iterable[Work]],
    prices: Prices,
    stamp: Stamp,
    again: Callable[[Work], Work],
    processes: int,
) -> Iterator[Rated]:
    if processes == 1:
        return rate_here(chain.from_iterable(periods), prices, stamp, again)
    return rate_in_processes(periods, prices, stamp, again, processes)


def _kept_before_the_next(periods: Iterable[Iterable[Work]], statements: StatementStore) -> Iterator[Iterable[Work]]:
    """Pass periods on, each with what the one before it left in the store: accounts go from period to period."""
    for works in periods:
        yield works
        statements.flush()


class _Unchanged:
    """Says of usage that its statement is in the store already, rated from the same by the same terms."""

    def __init__(self, prices: Prices, statements: StatementStore) -> None:
        self._prices, self._statements = prices, statements
        self._before: tuple[Period, KnownBefore] | None = None

    def __call__(self, period: Period, usage: OrgUsage) -> bool:
        if self._before is None or self._before[0] != period:
            self.close()  # periods come one after the other
            self._before = period, self._statements.known_before(period)
        stored = self._before[1].of(usage.org_id)
        if stored is None or stored[0] != usage.snapshot_id:
            return False
        found = terms(self._prices.book, self._prices.contracts, usage.org_id, period)
        if not isinstance(found, Terms) or remembers(found) or not _one_contract(found):
            return False
        same = stored[1:] == (found.contract.id, found.signed.content_hash)
        self._statements.outcome.unchanged += same
        return same

    def close(self) -> None:
        if self._before is not None:
            self._before[1].close()
            self._before = None


def _one_contract(found: Terms) -> bool:
    """Say whether the hash of the contract names all that is agreed: no earlier version or amendment has a say."""
    contract = found.contract
    return (
        len(found.segments) == 1 and found.signed.begins == contract.since and not (contract.phases or contract.trial)
    )


def _given(settings: Settings, name: str, sample: str) -> Path:
    path: Path | None = getattr(settings, name)
    if path is None:
        raise SettingsError(
            f"no {name} given: name a file with --{name} FILE, TALLY_{name.upper()} or `{name}` in tally.toml "
            f"(a sample to start from is {SAMPLES / sample})"
        )
    return path


def _kept(
    rated: Iterable[Rated], statements: StatementStore, prices: Prices, asked: Asked, stopping: Callable[[], bool]
) -> Iterator[Rated]:
    """Pass ratings on, and keep what became of each."""
    with statements:
        for found in rated:
            statements.keep(found)
            yield found
    if asked.org is None and not stopping():
        statements.settle_absent(prices.contracts, asked.month, asked.wanted)
