"""Which contract, plan and plan version hold for an organisation in a period: exactly one, or a failure by name."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from rater.book import Contracts, Plan, PlanVersion, PriceBook, Signed
from schemas.contracts import EVERYONE, Contract, Span
from schemas.period import Period, midnight
from schemas.statements import FailureReason, RatingFailure

S = TypeVar("S")

Trouble = Literal["not_in_force", "overlap", "changes_inside_period"]

_CONTRACT: Final[dict[Trouble, FailureReason]] = {
    "not_in_force": "contract_not_in_force",
    "overlap": "contract_overlap",
    "changes_inside_period": "contract_changes_inside_period",
}
_PRICE: Final[dict[Trouble, FailureReason]] = {
    "not_in_force": "price_not_in_force",
    "overlap": "price_overlap",
    "changes_inside_period": "price_changes_inside_period",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What an organisation is rated by in a period."""

    signed: Signed
    plan: Plan
    version: PlanVersion

    @property
    def contract(self) -> Contract:
        """Return the contract without its hash."""
        return self.signed.contract


def terms(book: PriceBook, contracts: Contracts, org_id: int, period: Period) -> Terms | RatingFailure:
    """Return what holds for an organisation throughout a period.

    An organisation with contracts of its own is rated by these alone: a gap between them is a failure, and never
    filled by everyone's contract.
    """

    def failure(reason: FailureReason, detail: str) -> RatingFailure:
        return RatingFailure(org_id, period, reason, "", detail)

    place = contracts.origin or "the contracts"
    candidates = contracts.by_org.get(org_id) or contracts.by_org.get(EVERYONE, ())
    if not candidates:
        return failure("no_contract", f'no contract in {place}, neither its own nor one for every organisation ("*")')
    signed = _in_force(candidates, lambda found: found.contract, period)
    if not isinstance(signed, Signed):
        told = _told(signed, [found.contract for found in candidates], period)
        names = ", ".join(sorted({found.contract.id for found in candidates}))
        return failure(_CONTRACT[signed], f"contract {names} in {place}: {told}")
    contract = signed.contract
    if contract.book is not None and contract.book != book.name:
        return failure(
            "other_book", f"contract {contract.id} is priced by book {contract.book}, this is book {book.name}"
        )
    plan = book.plans.get(contract.plan)
    if plan is None:
        return failure("unknown_plan", f"contract {contract.id} names plan {contract.plan}, not in book {book.name}")
    if plan.currency != contract.currency:
        return failure(
            "currency_mismatch",
            f"contract {contract.id} is in {contract.currency}, plan {contract.plan} in {plan.currency}",
        )
    version = _in_force(plan.versions, lambda found: found, period)
    if not isinstance(version, PlanVersion):
        return failure(_PRICE[version], f"plan {contract.plan}: {_told(version, plan.versions, period)}")
    fees = {id_ for id_, charge in version.charges.items() if charge.price.per_period}
    lost = sorted(id_ for id_ in contract.included if id_ in fees or id_ not in version.charges)
    if lost:
        return failure(
            "override_matches_nothing",
            f"contract {contract.id} overrides included of {', '.join(lost)}, "
            f"which is no counted charge of plan {contract.plan} {version.dates()}",
        )
    return Terms(signed, plan, version)


def organisations_with_contracts(contracts: Contracts, period: Period) -> Iterator[int]:
    """Yield, in order, the organisations whose own contracts have an instant in common with the period.

    They owe their fees whether they used anything or not.
    """
    for org_id in sorted(org for org in contracts.by_org if org != EVERYONE):
        if any(signed.contract.meets(period) for signed in contracts.by_org[org_id]):
            yield org_id


def _in_force(candidates: Sequence[S], span: Callable[[S], Span], period: Period) -> S | Trouble:
    meeting = sorted((item for item in candidates if span(item).meets(period)), key=lambda item: span(item).since)
    if not meeting:
        return "not_in_force"
    for earlier, later in itertools.pairwise(meeting):
        until = span(earlier).until
        if until is None or until > span(later).since:
            return "overlap"
    return meeting[0] if span(meeting[0]).covers(period) else "changes_inside_period"


def _told(trouble: Trouble, spans: Sequence[Span], period: Period) -> str:
    every = ", ".join(span.dates() for span in sorted(spans, key=lambda span: span.since))
    if trouble == "not_in_force":
        return f"not in force at any time of {period} ({every})"
    meeting = ", ".join(span.dates() for span in sorted(spans, key=lambda span: span.since) if span.meets(period))
    if trouble == "overlap":
        return f"more than one holds at the same time ({meeting})"
    edges = sorted({edge for span in spans for edge in (span.since, span.until) if edge is not None})
    inside = ", ".join(str(edge) for edge in edges if period.start < midnight(edge) < period.end)
    return f"changes inside the period, on {inside} ({meeting}): let versions begin where a period begins"
