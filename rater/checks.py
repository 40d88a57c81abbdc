"""What is wrong with a price book and its contracts beyond what each file shows by itself, found by asking the rater.

Every contract is asked for its terms in every billing period in which something changes: its own bounds, those of the
plan's versions, overrides and phases. What `tally rate` would refuse there is a problem here, with file and line.
"""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from rater.book import Charge, Contracts, Plan, PlanVersion, PriceBook, priced_by
from rater.contract import Contract, Signed
from rater.files import book_and_lines, contracts_and_lines
from rater.fitting import prices_of
from rater.needs import needs_of
from rater.registry import name_in
from rater.strict_yaml import Document
from rater.terms import Terms, periods_beginning_in, terms
from rater.tiers import Tier
from schemas.catalogue import Catalogue
from schemas.contracts import EVERYONE
from schemas.period import Period
from schemas.statements import RatingFailure

Level = Literal["error", "warning"]

NOBODY: Final = 2**63 - 1
"""The organisation that stands for those without a contract of their own."""
OF_VALUES: Final = frozenset({"unique_count", "sum_of_latest"})
"""Functions that tell events apart by an attribute."""
MONTHS_OF_PHASES: Final = 60
PAYING: Final = frozenset({"already_invoiced", "account_credit", "credits"})
"""Adjustments that say how lines are paid, and not what they come to."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem: where (file and line), how bad, and what to do."""

    file: str
    line: int
    level: Level
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'' if self.level == 'error' else 'warning: '}{self.reason}"


def check(
    book: tuple[str, str], contracts: tuple[str, str] | None = None, catalogue: Catalogue | None = None
) -> list[Problem]:
    """Return the problems of a price book, and of contracts under it, each given as its name and its text.

    Raises SettingsError, with a line for each, for what no price book or contracts file can say at all.
    """
    prices, document = book_and_lines(*book)
    found = list(_book(prices, document, catalogue))
    if contracts is not None:
        agreed, document = contracts_and_lines(*contracts)
        found += _contracts(prices, agreed, document, catalogue)
    return sorted(dict.fromkeys(found))


def _book(book: PriceBook, document: Document, catalogue: Catalogue | None) -> Iterator[Problem]:
    for name, plan in book.plans.items():
        for index, version in enumerate(plan.versions):
            place = ("plans", name, "versions", index)
            for level, path, reason in (*_span(plan, version), *_prices(version), *_counted(version, catalogue)):
                yield Problem(book.origin, document.line((*place, *path)), level, f"plan {name}: {reason}")


Found = tuple[Level, tuple[Any, ...], str]


def _span(plan: Plan, version: PlanVersion) -> Iterator[Found]:
    """Yield where a version overlaps the next one, or leaves a gap before it."""
    later = sorted((other for other in plan.versions if other.since > version.since), key=lambda other: other.since)
    twice = [other for other in plan.versions if other.since == version.since and other is not version]
    if twice:
        yield "error", ("from",), f"two versions begin on {version.since}"
    if not later:
        return
    after = later[0]
    if version.until is None or version.until > after.since:
        until = "has no until" if version.until is None else f"holds until {version.until}"
        yield "error", ("from",), f"the version from {version.since} {until}, and the next begins on {after.since}"
    elif version.until < after.since:
        yield "error", ("until",), f"no version holds from {version.until} until {after.since}: usage has no price then"


def _prices(version: PlanVersion) -> Iterator[Found]:
    """Yield what a price says in vain."""
    for id_, charge in version.charges.items():
        tiers = [tier for tier in getattr(charge.price, "tiers", ()) if isinstance(tier, Tier)]
        for number, (low, high) in enumerate(itertools.pairwise(tiers), 1):
            same = low.unit_amount == high.unit_amount and not high.flat_amount and not low.flat_amount
            if same:
                told = f"charge {id_}: tier {number + 1} costs what tier {number} does: the two are one"
                yield "warning", ("charges", id_, "price", "tiers", number), told
        if charge.included is not None and not _costs(charge):
            yield "warning", ("charges", id_, "included"), f"charge {id_}: units are included in a price of nothing"


def _costs(charge: Charge) -> bool:
    """Say whether a lot of usage costs anything; a price that has to see events is taken to."""
    return charge.price.needs != "quantity" or bool(charge.price.owed(Decimal(10) ** 12))


def _counted(version: PlanVersion, catalogue: Catalogue | None) -> Iterator[Found]:
    """Yield categories that the catalogue lacks or that nothing prices, and prices that ask for more than is kept."""
    if catalogue is None:
        return
    rows = catalogue.row_by_name()
    for id_, charge in version.charges.items():
        unknown = sorted(set(charge.counted) - rows.keys())
        if unknown:
            told = f"charge {id_}: {', '.join(unknown)} is no category of the catalogue"
            yield "error", ("charges", id_), told
    unpriced = sorted(rows.keys() - version.known)
    if unpriced:
        told = f"{', '.join(unpriced)}: neither priced nor free, so that any usage of it is a failure"
        yield "warning", (), told
    for id_, told in _unkept(version.charges, catalogue):
        yield "error", ("charges", id_, "price"), told


def _unkept(charges: Mapping[str, Charge], catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield the charges (by id, and in words) that have to see what the catalogue does not ask to be kept."""
    keeps = catalogue.keeps()
    rows = catalogue.row_by_name()
    for id_, charge in charges.items():
        asked = {price.needs for price in prices_of(charge)}
        for category, need in needs_of([charge]).items():
            if need.level != "events" or category not in rows:
                continue
            keep = keeps.get(rows[category])
            if keep is None:
                yield id_, f"charge {id_} has to see every event of {category}: say `keep` in its catalogue entry"
            elif not keep.amount and ("amount" in asked or charge.aggregate.of == "amount"):
                yield id_, f"charge {id_} prices the money that {category} carries: say `keep: {{amount: …}}` of it"
            elif not keep.value and charge.aggregate.function in OF_VALUES:
                told = f"charge {id_} counts by a value of {category}: say `keep: {{value: …}}` of it"
                yield id_, told


def _contracts(
    book: PriceBook, contracts: Contracts, document: Document, catalogue: Catalogue | None
) -> Iterator[Problem]:
    places = {
        (entry["org_id"], entry["id"], str(entry["from"])): ("contracts", index)
        for index, entry in enumerate(document.content["contracts"])
    }

    def problem(contract: Contract, level: Level, part: str, reason: str) -> Problem:
        place = places[contract.org_id, contract.id, str(contract.since)]
        told = f"organisation {contract.org_id}, {reason}"
        return Problem(contracts.origin, document.line((*place, part)), level, told)

    for agreed in contracts.by_org.values():
        for level, contract, reason in _follow(agreed):
            yield problem(contract, level, "from", reason)
        for signed in agreed:
            for part, reason in _never(signed.contract):
                yield problem(signed.contract, "warning", part, reason)
            for part, reason in _refusals(book, contracts, signed, agreed, catalogue):
                yield problem(signed.contract, "error", part, reason)


def _follow(agreed: Sequence[Signed]) -> Iterator[tuple[Level, Contract, str]]:
    """Yield where a contract begins before another of the organisation ends, or leaves a gap after it."""
    until: dt.date | None = None
    before = ""
    for number, contract in enumerate(signed.contract for signed in agreed):
        told = f"contract {contract.id} from {contract.since}"
        if number and (until is None or contract.since < until):
            ends = "has no until" if until is None else f"holds until {until}"
            yield "error", contract, f"{told} begins while another holds: {before} {ends}"
        elif number and until is not None and contract.since > until:
            yield "warning", contract, f"{told}: no contract holds since {until}, and usage in between has no price"
        if not number or (until is not None and (contract.until is None or contract.until > until)):
            until, before = contract.until, contract.id


def _never(contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield what holds at no time of its contract, with its field."""
    for part in ("overrides", "adjustments", "grants"):
        for number, one in enumerate(getattr(contract, part), 1):
            late = one.since is not None and contract.until is not None and one.since >= contract.until
            if late or (one.until is not None and one.until <= contract.since):
                yield (
                    part,
                    f"contract {contract.id} {contract.dates()}: number {number} of its {part} never holds in it",
                )


def _refusals(
    book: PriceBook, contracts: Contracts, signed: Signed, agreed: tuple[Signed, ...], catalogue: Catalogue | None
) -> Iterator[tuple[str, str]]:
    """Yield what rating would refuse in the billing periods in which something of a contract changes, each once.

    With it comes the field of the contract in which it stands.
    """
    contract = signed.contract
    org = NOBODY if contract.org_id == EVERYONE else int(contract.org_id)
    told: set[str] = set()
    for month in _months(_days(book, signed, agreed)):
        for period in periods_beginning_in(contract, month):
            found = terms(book, contracts, org, period)
            problems: list[tuple[str, str, str]]
            if isinstance(found, RatingFailure) and found.reason == "contract_overlap":
                continue  # told of the contracts themselves
            if isinstance(found, RatingFailure):
                problems = [(found.reason, _PARTS.get(found.reason, ""), f"{found.detail} ({found.reason})")]
            else:
                problems = list(_unfitting(found, catalogue))
            for key, part, reason in problems:
                if key not in told:
                    told.add(key)
                    yield part, f"{period}: {reason}"


_PARTS: Final[Mapping[str, str]] = {
    "unknown_plan": "plan",
    "other_book": "book",
    "currency_mismatch": "currency",
    "override_matches_nothing": "overrides",
    "override_ambiguous": "overrides",
    "override_does_not_fit": "overrides",
    "adjustment_matches_nothing": "adjustments",
}
"""The field of a contract that a failure is about."""


def _unfitting(found: Terms, catalogue: Catalogue | None) -> Iterator[tuple[str, str, str]]:
    """Yield (key, field, reason) of what fits by its names, and would be refused when usage is priced."""
    budget = found.contract.budget or found.version.budget
    if found.contract.invoice_thresholds is not None and (told := _too_early(found)):
        yield told, "invoice_thresholds", told
    for segment in found.segments:
        if budget is not None and (wrong := budget.problem(priced_by(segment.charges))):
            yield wrong, "budget", f"{wrong} (budget_does_not_fit)"
        if catalogue is not None and not found.contract.plain:
            for _, told in _unkept(segment.charges, catalogue):
                yield told, "overrides", f"{told} (needs_events)"


def _too_early(found: Terms) -> str:
    """Say where already_invoiced would change what an adjustment after it comes to ('' nowhere)."""
    own = [name_in(type(one), "kind") for charge in found.charges.values() for one in charge.adjustments]
    listed = [name_in(type(one), "kind") for one in (*found.version.adjustments, *found.adjustments)]
    if "already_invoiced" in own:
        after = "of one charge, and so before those of all"
    else:
        late = listed[listed.index("already_invoiced") :] if "already_invoiced" in listed else []
        after = next((f"before {kind}" for kind in late if kind not in PAYING), "")
    if not after:
        return ""
    return (
        f"already_invoiced is listed {after}: what was billed would change what follows, and a period's statements "
        "would not sum to it: list it after them, or leave it out, which lets it come off at the end"
    )


def _days(book: PriceBook, signed: Signed, agreed: tuple[Signed, ...]) -> set[dt.date]:
    """Return the days on which something changes while a contract holds, and the day before each."""
    contract = signed.contract
    days = {contract.since}
    for plan in contract.plans & book.plans.keys():
        days |= {edge for version in book.plans[plan].versions for edge in (version.since, version.until) if edge}
    overrides = [*contract.overrides, *(one for phase in contract.phases for one in phase.overrides)]
    days |= {edge for one in overrides for edge in (one.since, one.until) if edge}
    days |= {edge for one in agreed for edge in (one.contract.since, one.contract.until) if edge}
    days |= _starts_of_phases(contract)
    days |= {day - dt.timedelta(days=1) for day in days}
    return {day for day in days if contract.since <= day and (contract.until is None or day < contract.until)}


def _starts_of_phases(contract: Contract) -> set[dt.date]:
    if not contract.phases:
        return set()
    first = contract.since.year * 12 + contract.since.month - 1
    return {dt.date((first + n) // 12, (first + n) % 12 + 1, 28) for n in range(MONTHS_OF_PHASES)}


def _months(days: Iterable[dt.date]) -> list[Period]:
    """Return the months in which the periods of some days may begin: a year's began up to a year before."""
    months = {day.year * 12 + day.month - 1 - back for day in days for back in (0, 1, 2, 3, 6, 12)}
    return [Period.month(n // 12, n % 12 + 1) for n in sorted(months) if 2000 <= n // 12 <= 2099]
