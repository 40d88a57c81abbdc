"""Rating work, in this process or in several: from usage to what is kept and what is told of it.

Rating is a pure function, so work can be done anywhere and in any order; what comes back is in the order of the work.
The store is opened by the parent alone (an embedded one can be), which reads usage and writes statements; the others
rate and put statements into the form in which they are written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from rater.book import Contracts, PriceBook
from rater.interim import billed, interim
from rater.levels import levels_after
from rater.memory import remembers
from rater.pool import Missing
from rater.rate import rate
from rater.render import is_provisional
from rater.settling import after_terms
from rater.terms import Terms, terms
from schemas.money import exact
from schemas.period import Period
from schemas.statements import Rating, RatingFailure, Statement
from tally.accounts import to_json
from tally.interims import Interim, interim_row, joined, next_number, with_interims
from tally.packed_rows import Row, packed, unpacked
from tally.processes import NO_USAGE, FlatUsage, answers, flat, started, whole
from tally.statement_rows import statement_row
from tally.work import Work


@dataclass(frozen=True)
class Prices:
    """What rating depends on beside usage: the book, the contracts, and the categories' numbers by name."""

    book: PriceBook
    contracts: Contracts
    rank: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def with_thresholds(self) -> frozenset[str]:
        """Return the ids of the contracts by which usage may be billed before the period ends."""
        every = (signed.contract for agreed in self.contracts.by_org.values() for signed in agreed)
        return frozenset(contract.id for contract in every if contract.invoice_thresholds is not None)


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
    interim: Row | None = None
    """The interim statement that is due; `row` takes it off already."""
    made_with: tuple[Interim, ...] = ()
    """The interim statements that it was made with."""

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
    row = account = early = None
    if stamp is not None and rating.complete:
        early, rating = _due(work, prices, stamp, rating, statement)
        statement = rating.statement or statement
        if rating.complete:
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
        early,
        work.interims,
    )


def _due(work: Work, prices: Prices, stamp: Stamp, rating: Rating, statement: Statement) -> tuple[Row | None, Rating]:
    """Return the interim statement that is due in an open period, and the rating that takes it off."""
    if statement.contract not in prices.with_thresholds or not is_provisional(stamp.complete_to, work.period):
        return None, rating
    found = terms(prices.book, prices.contracts, rating.org_id, work.period)
    thresholds = found.contract.invoice_thresholds if isinstance(found, Terms) else None
    early = None if thresholds is None else interim(statement, thresholds, work.account)
    if thresholds is None or early is None:
        return None, rating
    with exact():
        reached = thresholds.reached(early.total + sum(work.account.invoiced.values(), Decimal(0)))
    number = next_number(work.interims, early.contract, work.period)
    plain = statement_row(early, stamp.vector, stamp.complete_to, stamp.version, stamp.rated_at)
    row = interim_row(plain, number, reached, billed(early))
    account = with_interims(work.account, joined(work.interims, row), early.contract, work.period)
    closing = rate(prices.book, prices.contracts, work.usage, work.period, account, rank=prices.rank)
    return (row, closing) if closing.complete else (None, closing)


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
    with started(processes, _start, prices, stamp) as pool:
        for works in periods:
            for chunk, answer in answers(pool, processes, works, _to_send, _chunk):
                yield from _finished(chunk, answer, prices, stamp, again)


def _finished(
    works: list[Work], answer: "_Answer", prices: Prices, stamp: Stamp | None, again: Callable[[Work], Work]
) -> Iterator[Rated]:
    found, kept, content = answer
    rows: dict[int, Row] = {}
    if stamp is not None and content:
        rows = dict(zip(kept, unpacked(content, [_key(found[place], stamp) for place in kept]), strict=True))
    for place, (work, rated) in enumerate(zip(works, found, strict=True)):
        yield _settled(rated._replace(row=rows.get(place)), work, prices, stamp, again)


def _key(rated: Rated, stamp: Stamp) -> Row:
    """Return what names the row of a rating: `tally.packed_rows.KEY`."""
    return {
        "org_id": rated.org_id,
        "contract": rated.contract,
        "period_start": rated.period.start,
        "period_end": rated.period.end,
        "version": stamp.version,
    }


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


_Sent = list[tuple[Work, FlatUsage]]
_Answer = tuple[list[Rated], list[int], bytes]
"""The ratings of a chunk without their rows; the places of those that have one; these rows as one table."""


def _to_send(works: list[Work]) -> _Sent:
    return [(work._replace(usage=NO_USAGE), flat(work.usage)) for work in works]


def _chunk(sent: _Sent) -> _Answer:
    assert _mine is not None, "a process is told what to rate by before it is given work"
    found = [rate_work(work._replace(usage=whole(usage)), *_mine) for work, usage in sent]
    rows = {place: rated.row for place, rated in enumerate(found) if rated.row is not None}
    told = [rated._replace(row=None, rating=None) for rated in found]
    return told, list(rows), packed(list(rows.values())) if rows else b""
