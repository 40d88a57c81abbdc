"""Segments: the parts of a stretch of days through which nothing changes in what an organisation is rated by."""

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rater.book import Charge, Plan, PlanVersion, PriceBook
from rater.contract import Contract, Phase, Signed
from rater.memo import Memo
from rater.overrides import Misfit, Ranked, effective, nothing_included
from rater.proration import Stretch
from schemas.contracts import Span
from schemas.cycle import Cycle
from schemas.period import midnight
from schemas.statements import FailureReason

S = TypeVar("S", bound=Span)


class NoTerms(Exception):
    """Why an organisation cannot be rated: a failure on its way to the function that returns it."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Segment:
    """Days through which one contract, plan version, phase and set of overrides hold.

    `charges` are the effective ones, by id. `plan_name` is the phase's where it names one. `trial` says that the days
    are of a trial which frees charges by name (the fees of any trial are a matter of `rater.fees`).
    """

    stretch: Stretch
    signed: Signed
    plan: Plan
    plan_name: str
    version: PlanVersion
    charges: Mapping[str, Charge]
    phase: Phase | None
    trial: bool

    @property
    def contract(self) -> Contract:
        """Return the contract without its hash."""
        return self.signed.contract

    @property
    def effective(self) -> dt.date:
        """Return the day from which the price version holds."""
        return self.version.since

    @property
    def start(self) -> dt.datetime:
        """Return the instant at which the segment begins."""
        return midnight(self.stretch.first, self.contract.zone)

    @property
    def end(self) -> dt.datetime:
        """Return the instant before which the segment ends."""
        return midnight(self.stretch.after, self.contract.zone)

    def under(self, signed: Signed) -> "Segment":
        """Return the segment under another contract with the same terms."""
        return Segment(
            self.stretch, signed, self.plan, self.plan_name, self.version, self.charges, self.phase, self.trial
        )

    def throughout(self, stretch: Stretch) -> "Segment":
        """Return the segment as if nothing had been otherwise in a longer stretch of days."""
        return replace(self, stretch=stretch)


def segments(book: PriceBook, chain: Sequence[Signed], stretch: Stretch) -> list[Segment]:
    """Return the segments of a stretch of days that a chain of contracts covers. Raises NoTerms."""
    found: list[Segment] = []
    for signed in chain:
        contract = signed.contract
        for piece in _cut(signed, within(contract, stretch)):
            phase = _phase(signed, piece.first)
            plan_name = (phase.plan if phase is not None else None) or contract.plan
            plan = _plan(book, contract, plan_name)
            for version in _in_force(plan.versions, piece, plan_name):
                days = within(version, piece)
                trial = _on_trial(signed, days.first)
                charges = _charges(version, signed, plan_name, phase, days.first, trial=trial)
                segment = Segment(days, signed, plan, plan_name, version, charges, phase, trial)
                if found and _same(found[-1], segment):
                    segment = segment.throughout(Stretch(found.pop().stretch.first, days.after))
                found.append(segment)
    return found


def versions_of(book: PriceBook, chain: Sequence[Signed], stretch: Stretch) -> Iterator[tuple[Signed, PlanVersion]]:
    """Yield the versions, with a day in a stretch, of the plans of a chain's contracts, each with its contract."""
    for signed in chain:
        days = within(signed.contract, stretch)
        if days.days:
            for name in sorted(signed.contract.plans & book.plans.keys()):
                yield from ((signed, version) for version in book.plans[name].versions if within(version, days).days)


def within(span: Span, stretch: Stretch) -> Stretch:
    """Return the days of a stretch that lie in a span."""
    return Stretch(
        max(span.since, stretch.first), stretch.after if span.until is None else min(span.until, stretch.after)
    )


def dates_of(spans: Sequence[Span]) -> str:
    """Return spans for a message, in order."""
    return ", ".join(span.dates() for span in sorted(spans, key=lambda span: span.since))


def _cut(signed: Signed, stretch: Stretch) -> Iterator[Stretch]:
    """Yield the pieces of a stretch between the days on which the contract itself says that something changes."""
    if not stretch.days:
        return
    contract = signed.contract
    edges = contract.changes(signed.begins)
    if contract.phases:
        cycle = contract.billing.cycle(signed.begins)
        edges.update(_bounds(cycle, stretch))
    inside = sorted(edge for edge in edges if stretch.first < edge < stretch.after)
    for first, after in itertools.pairwise([stretch.first, *inside, stretch.after]):
        yield Stretch(first, after)


def _bounds(cycle: Cycle, stretch: Stretch) -> Iterator[dt.date]:
    after = cycle.whole(stretch.first)[1]
    while after < stretch.after:
        yield after
        after = cycle.whole(after)[1]


def _phase(signed: Signed, day: dt.date) -> Phase | None:
    contract = signed.contract
    if not contract.phases:
        return None
    cycle = contract.billing.cycle(signed.begins)
    number = contract.phase(cycle.index(day) - cycle.index(signed.begins))
    return None if number is None else contract.phases[number]


def _on_trial(signed: Signed, day: dt.date) -> bool:
    trial = signed.contract.trial
    return trial is not None and trial.free is not None and day < trial.end(signed.begins)


def _plan(book: PriceBook, contract: Contract, name: str) -> Plan:
    if contract.book is not None and contract.book != book.name:
        raise NoTerms(
            "other_book", f"contract {contract.id} is priced by book {contract.book}, this is book {book.name}"
        )
    plan = book.plans.get(name)
    if plan is None:
        raise NoTerms("unknown_plan", f"contract {contract.id} names plan {name}, not in book {book.name}")
    if plan.currency != contract.currency:
        detail = f"contract {contract.id} is in {contract.currency}, plan {name} in {plan.currency}"
        raise NoTerms("currency_mismatch", detail)
    return plan


def _in_force(versions: Sequence[PlanVersion], piece: Stretch, plan: str) -> list[PlanVersion]:
    """Return the versions that hold in turn, through every day of a piece. Raises NoTerms."""
    meeting = sorted((version for version in versions if within(version, piece).days), key=lambda found: found.since)
    if not meeting:
        days = f"{piece.first} to {piece.after - dt.timedelta(days=1)}"
        raise NoTerms("price_not_in_force", f"plan {plan}: not in force on any day of {days} ({dates_of(versions)})")
    for earlier, later in itertools.pairwise(meeting):
        if earlier.until is None or earlier.until > later.since:
            detail = f"plan {plan}: more than one holds at the same time ({dates_of(meeting)})"
            raise NoTerms("price_overlap", detail)
    covered = [(within(version, piece).first, within(version, piece).after) for version in meeting]
    edges = [piece.first, *itertools.chain(*covered), piece.after]
    gaps = [f"from {end} until {start}" for end, start in zip(edges[::2], edges[1::2], strict=True) if end != start]
    if gaps:
        detail = (
            f"plan {plan}: no version holds {', '.join(gaps)} ({dates_of(meeting)}): let versions follow each other"
        )
        raise NoTerms("price_changes_inside_period", detail)
    return meeting


_EFFECTIVE: Final[Memo[dict[str, Charge] | Misfit]] = Memo()


def _charges(
    version: PlanVersion, signed: Signed, plan: str, phase: Phase | None, day: dt.date, *, trial: bool
) -> Mapping[str, Charge]:
    contract = signed.contract
    number = -1 if phase is None else contract.phases.index(phase)
    ranked = list(_ranked(contract, plan, phase, day))
    included = {**contract.included, **({} if phase is None else phase.included)}
    lost = nothing_included(version, list(included))
    if lost:
        detail = f"contract {contract.id} overrides included of {', '.join(lost)}, which is no counted charge"
        raise NoTerms("override_matches_nothing", f"{detail} of plan {plan} {version.dates()}")
    if not ranked and not trial:
        return version.charges
    holding = (plan, number, trial, tuple(id(item.override) for item in ranked))
    found = _EFFECTIVE.get(
        (version, contract), holding, lambda: effective(version, contract, plan, ranked, trial=trial)
    )
    if isinstance(found, Misfit):
        raise NoTerms(found.reason, found.detail)
    return found


def _ranked(contract: Contract, plan: str, phase: Phase | None, day: dt.date) -> Iterator[Ranked]:
    """Yield the overrides that hold on a day; those of another plan of the contract wait for its phase."""
    for narrow, source in ((0, contract), (2, phase)):
        if source is not None:
            if source.included:
                yield from (Ranked(override, narrow) for override in source.including)
            for override in source.overrides:
                waits = override.plan != plan and override.plan in contract.plans
                if override.on(day) and not waits:
                    yield Ranked(override, narrow + override.dated)


def _same(one: Segment, other: Segment) -> bool:
    return (
        one.signed is other.signed
        and one.version is other.version
        and one.phase is other.phase
        and one.trial == other.trial
        and (one.charges is other.charges or one.charges == other.charges)
    )
