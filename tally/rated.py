"""Rating work, in this process or in several: from usage to what is kept and what is told of it.

Rating is a pure function, so work can be done anywhere and in any order; what comes back is in the order of the work.
The store is opened by the parent alone (an embedded one can be), which reads usage and writes statements; the others
rate and put statements into the form in which they are written.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, Final, NamedTuple

from rater.book import Contracts, PriceBook
from rater.levels import levels_after
from rater.memory import remembers
from rater.pool import Missing
from rater.rate import rate
from rater.settling import after_terms
from rater.terms import Terms, terms
from schemas.period import Period
from schemas.statements import Rating, RatingFailure
from tally.accounts import to_json
from tally.statement_rows import Row, statement_row
from tally.work import Work

CHUNK: Final = 250
"""Organisations that are handed to a process at a time."""
AHEAD: Final = 4
"""Chunks a process that wait for it, so that none waits for work, and memory stays bounded."""


@dataclass(frozen=True)
class Prices:
    """What rating depends on beside usage: the book, the contracts, and the categories' numbers by name."""

    book: PriceBook
    contracts: Contracts
    rank: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stamp:
    """What is kept beside a statement of where it came from: see `tally.statement_rows`."""

    vector: str
    complete_to: Any
    version: int
    rated_at: int


class Rated(NamedTuple):
    """One organisation's rating, as it is told and as it is kept.

    `row` and `account` are None where nothing is kept: the rating is not complete, or there is no account. `rating` is
    None where it was made elsewhere.
    """

    org_id: int
    period: Period
    contract: str
    plan: str
    lines: int
    total: Decimal
    currency: str
    failures: tuple[RatingFailure, ...]
    row: Row | None
    account: str | None
    rating: Rating | None

    @property
    def complete(self) -> bool:
        """Say whether everything used was priced."""
        return bool(self.contract) and not self.failures


def rate_work(work: Work, prices: Prices, stamp: Stamp | None = None) -> Rated:
    """Rate one organisation. Without a `stamp` nothing is made ready to be kept."""
    if work.failure is not None:
        rating = Rating(work.usage.org_id, None, (work.failure,))
    else:
        rating = rate(prices.book, prices.contracts, work.usage, work.period, work.account, rank=prices.rank)
    statement = rating.statement
    if statement is None:
        return Rated(rating.org_id, work.period, "", "", 0, Decimal(0), "", rating.failures, None, None, rating)
    row = account = None
    if stamp is not None and rating.complete:
        row = statement_row(statement, stamp.vector, stamp.complete_to, stamp.version, stamp.rated_at)
        account = _account(work, prices, rating)
    return Rated(
        rating.org_id,
        work.period,
        statement.contract,
        statement.plan,
        len(statement.lines),
        statement.total,
        statement.currency,
        rating.failures,
        row,
        account,
        rating,
    )


def _account(work: Work, prices: Prices, rating: Rating) -> str | None:
    found = terms(prices.book, prices.contracts, rating.org_id, work.period)
    if not isinstance(found, Terms) or rating.statement is None or not remembers(found):
        return None
    try:
        levels = levels_after(found.charges.values(), work.usage, work.period, work.account.levels)
    except Missing:  # the events were not given, and so the statement has failed by that name
        return None
    return to_json(after_terms(found, work.account, rating.statement, levels=levels))


def rate_here(
    works: Iterable[Work], prices: Prices, stamp: Stamp | None, again: Callable[[Work], Work]
) -> Iterator[Rated]:
    """Rate in this process. `again` reads usage by window for what totals do not settle."""
    for work in works:
        yield _settled(rate_work(work, prices, stamp), work, prices, stamp, again)


def rate_in_processes(
    periods: Iterable[Iterable[Work]],
    prices: Prices,
    stamp: Stamp | None,
    again: Callable[[Work], Work],
    processes: int,
) -> Iterator[Rated]:
    """Rate in several processes, and yield in the order of the work. What comes back has no `rating`.

    A period is finished before the next is begun, which may need what it leaves.
    """
    # Not forked: the embedded engine's threads would not come along.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, (prices, stamp)) as pool:
        for works in periods:
            waiting: deque[tuple[list[Work], Future[list[Rated]]]] = deque()
            chunks = iter(works)
            while chunk := list(islice(chunks, CHUNK)):
                waiting.append((chunk, pool.submit(_chunk, chunk)))
                if len(waiting) >= processes * AHEAD:
                    yield from _finished(*waiting.popleft(), prices, stamp, again)
            while waiting:
                yield from _finished(*waiting.popleft(), prices, stamp, again)


def _finished(
    works: list[Work], future: Future[list[Rated]], prices: Prices, stamp: Stamp | None, again: Callable[[Work], Work]
) -> Iterator[Rated]:
    for work, rated in zip(works, future.result(), strict=True):
        yield _settled(rated, work, prices, stamp, again)


def _settled(rated: Rated, work: Work, prices: Prices, stamp: Stamp | None, again: Callable[[Work], Work]) -> Rated:
    """Rate once more, by window, where that is all that is missing."""
    if any(failure.reason == "needs_parts" for failure in rated.failures):
        return rate_work(again(work), prices, stamp)
    return rated


_mine: tuple[Prices, Stamp | None] | None = None
"""What this process rates by, where it is one of several."""


def _start(prices: Prices, stamp: Stamp | None) -> None:
    global _mine  # noqa: PLW0603 - the one argument of a process that is the same for all its work
    _mine = prices, stamp


def _chunk(works: list[Work]) -> list[Rated]:
    assert _mine is not None, "a process is told what to rate by before it is given work"
    return [rate_work(work, *_mine)._replace(rating=None) for work in works]
