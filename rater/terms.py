"""Which contract, plan and price versions hold for an organisation in a period: every instant by one, or a failure."""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rater.adjustments import AnyAdjustment
from rater.billing import (
    billing_periods,
    chains,
    end_of,
    periods_beginning_in,
    start_of,
    uncovered,
)
from rater.book import Charge, Plan, PlanVersion, PriceBook
from rater.contract import Contract, Contracts, Signed
from rater.fees import fees
from rater.memo import Memo
from rater.proration import Part, Stretch
from rater.segments import NoTerms, Segment, dates_of, segments, versions_of
from schemas.contracts import EVERYONE
from schemas.cycle import Cycle
from schemas.period import Period, midnight
from schemas.statements import RatingFailure

__all__ = [
    "Terms",
    "billing_periods",
    "periods_beginning_in",
    "terms",
    "uncovered",
]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an organisation is rated by in a period.

    `segments` cover the period in order; one is the usual case. Contract, plan and version are those of the last,
    which the statement is named by. `cycle` is that of the statements, `whole` the anchored period that the billed
    `stretch` of days is, or is a stub of. `fees` are the parts of fees that are due, by charge id; those of `ended` are
    of charges that no segment has any more.
    """

    segments: tuple[Segment, ...]
    cycle: Cycle
    whole: Stretch
    stretch: Stretch
    fees: Mapping[str, tuple[Part, ...]]
    ended: Mapping[str, Charge]

    @property
    def signed(self) -> Signed:
        """Return the last segment's contract with its hash."""
        return self.segments[-1].signed

    @property
    def contract(self) -> Contract:
        """Return the last segment's contract without its hash."""
        return self.segments[-1].signed.contract

    @property
    def plan(self) -> Plan:
        """Return the last segment's plan."""
        return self.segments[-1].plan

    @property
    def plan_name(self) -> str:
        """Return the name of the last segment's plan."""
        return self.segments[-1].plan_name

    @property
    def version(self) -> PlanVersion:
        """Return the last segment's plan version."""
        return self.segments[-1].version

    @property
    def charges(self) -> Mapping[str, Charge]:
        """Return the last segment's effective charges, by id."""
        return self.segments[-1].charges

    @property
    def adjustments(self) -> Sequence[AnyAdjustment]:
        """Return the adjustments of the contract, or of its phase, as they are listed; the plan's are the version's."""
        phase = self.segments[-1].phase
        own = None if phase is None else phase.adjustments
        return self.contract.adjustments if own is None else own

    @property
    def days(self) -> tuple[int, int]:
        """Return how many days are billed, and how many the anchored period has: the same but for a stub."""
        return self.stretch.days, self.whole.days


_TERMS: Final[Memo[Terms | NoTerms]] = Memo()


def terms(book: PriceBook, contracts: Contracts, org_id: int, period: Period) -> Terms | RatingFailure:
    """Return what holds for an organisation throughout a period.

    The period is one of `billing_periods`, or a calendar month that is one. An organisation with contracts of its own
    is rated by these alone: a gap between them is a failure, and never filled by everyone's contract.
    """
    candidates = contracts.by_org.get(org_id) or contracts.by_org.get(EVERYONE, ())
    place = contracts.origin or "the contracts"
    if not candidates:
        detail = f'no contract in {place}, neither its own nor one for every organisation ("*")'
        return RatingFailure(org_id, period, "no_contract", "", detail)
    if len(candidates) == 1 and candidates[0].contract.plain and candidates[0].contract.org_id != EVERYONE:
        found = _plain_terms(book, candidates[0], period, place)
    else:
        found = _TERMS.get((book, candidates), (period, place), lambda: _terms(book, candidates, period, place))
    return RatingFailure(org_id, period, found.reason, "", found.detail) if isinstance(found, NoTerms) else found


_PLAIN: Final[Memo[Terms | NoTerms]] = Memo()
_FAR: Final = dt.timedelta(days=2 * 366)
"""No bound of a contract that is so far away decides anything: the longest interval is a year."""


def _plain_terms(book: PriceBook, signed: Signed, period: Period, place: str) -> Terms | NoTerms:
    """Return the terms of a contract that takes its plan as it is: worked out once for all that are alike."""
    contract = signed.contract
    since, until = contract.since, contract.until
    start, end = period.start.date(), period.end.date()
    bounds = since if since > start - _FAR else None, until if until is not None and until < end + _FAR else None
    if start_of(signed) > period.start or period.end > end_of(signed) or contract.retroactive:
        return _terms(book, (signed,), period, place)
    # Fees of an interval of their own are anchored in the month, or on the weekday, on which the contract began.
    anchored = (contract.billing, signed.begins.month, signed.begins.weekday(), *bounds)
    alike = (contract.plan, contract.currency, contract.book, signed.cycle, anchored, period)
    found = _PLAIN.get((book,), alike, lambda: _terms(book, (signed,), period, place))
    if isinstance(found, NoTerms):  # its words name the contract
        return _terms(book, (signed,), period, place)
    own = tuple(segment.under(signed) for segment in found.segments)
    try:
        _matches(own)
    except NoTerms as trouble:
        return trouble.with_traceback(None)
    return Terms(own, found.cycle, found.whole, found.stretch, found.fees, found.ended)


def _terms(book: PriceBook, candidates: Sequence[Signed], period: Period, place: str) -> Terms | NoTerms:
    try:
        chain = _chain(candidates, period, place)
        cycle = chain[0].cycle
        stretch = Stretch(cycle.day_of(period.start), cycle.day_of(period.end))
        whole = Stretch(*cycle.whole(stretch.first))
        covered = Stretch(chain[0].contract.since, chain[-1].contract.until or dt.date.max)
        bounds = midnight(stretch.first, cycle.zone), midnight(stretch.after, cycle.zone)
        if bounds != (period.start, period.end) or stretch.after > whole.after:
            name = f"the billing period from {whole.first} to before {whole.after}, {cycle.zone}"
            detail = f"contract {chain[0].contract.id} in {place}: {period} is no part of {name}"
            raise NoTerms("not_a_billing_period", detail)
        found = segments(book, chain, stretch)
        if found[-1].contract.retroactive:
            found = _repriced(found)
        _matches(found)
        due, ended = fees(
            found,
            covered,
            lambda asked: segments(book, chain, asked),
            lambda asked: versions_of(book, chain, asked),
        )
        return Terms(tuple(found), cycle, whole, stretch, due, ended)
    except NoTerms as trouble:
        return trouble.with_traceback(None)


def _repriced(found: Sequence[Segment]) -> list[Segment]:
    """Return what holds at the end for the period as a whole; a trial that ends in it stays one."""
    trial = list(itertools.takewhile(lambda segment: segment.trial, found[:-1]))
    first, last = found[len(trial)], found[-1]
    return [*trial, last.throughout(Stretch(first.stretch.first, last.stretch.after))]


def _matches(found: Sequence[Segment]) -> None:
    """Raise NoTerms where the contract's adjustments, grants or budget name a charge that no segment has."""
    contract, last = found[-1].contract, found[-1]
    adjustments = contract.adjustments if last.phase is None else last.phase.adjustments or contract.adjustments
    if not (adjustments or contract.grants or contract.budget):
        return
    known = frozenset[str]().union(*(segment.charges for segment in found))
    lost = {
        "an adjustment": [id_ for adjustment in adjustments for id_ in adjustment.lost(known)],
        "a grant": [id_ for grant in contract.grants for id_ in grant.charges or () if id_ not in known],
        "a budget": [] if contract.budget is None else sorted(contract.budget.names() - known),
    }
    for what, ids in lost.items():
        if ids:
            told = f"contract {contract.id} has {what} of {', '.join(ids)}, which is no charge of plan {last.plan_name}"
            raise NoTerms("adjustment_matches_nothing", f"{told} {last.version.dates()}")


def _chain(candidates: Sequence[Signed], period: Period, place: str) -> tuple[Signed, ...]:
    """Return the chain of contracts that covers a period. Raises NoTerms."""
    meeting = [signed for signed in candidates if signed.contract.meets(period, signed.contract.zone)]
    spans = [signed.contract for signed in meeting or candidates]
    names = ", ".join(sorted({span.id for span in (signed.contract for signed in candidates)}))
    where = f"contract {names} in {place}"
    if not meeting:
        told = f"not in force at any time of {period} ({dates_of(spans)})"
        raise NoTerms("contract_not_in_force", f"{where}: {told}")
    for earlier, later in itertools.pairwise(sorted(meeting, key=start_of)):
        if end_of(earlier) > start_of(later):
            told = f"more than one holds at the same time ({dates_of(spans)})"
            raise NoTerms("contract_overlap", f"{where}: {told}")
    for chain in chains(candidates):
        if start_of(chain[0]) <= period.start and period.end <= end_of(chain[-1]):
            return chain
    edges = sorted({edge for span in spans for edge in (span.since, span.until) if edge is not None})
    zone = spans[0].zone
    inside = ", ".join(str(edge) for edge in edges if period.start < midnight(edge, zone) < period.end)
    told = f"begins, ends or is billed otherwise inside the period, on {inside} ({dates_of(spans)})"
    advice = "rate its billing periods, or let contracts follow each other"
    raise NoTerms("contract_changes_inside_period", f"{where}: {told}: {advice}")
