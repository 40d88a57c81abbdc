"""Rating: one organisation's usage of a period, priced by its contract and the price book.

A pure function of its arguments: no clock, no I/O, no ambient decimal context, no order of rows or keys.

A line is

    Σ usage of the charge's categories → conversion → − included → price model → rounded once

and the statement's total is the sum of its rounded lines. What cannot be priced is a failure beside the statement. A
category that has usage rows and is neither priced nor `free` is one even where its quantity is 0: events of it are
being counted, and the book has to say what they cost.
"""

from decimal import Decimal
from typing import Final

from rater.book import Charge, Contracts, PriceBook
from rater.terms import Terms, terms
from schemas.money import MINOR_STEPS, exact, steps_in
from schemas.period import Period
from schemas.prices import DIGITS, PLACES, Step, plain
from schemas.statements import CategoryUsage, Line, OrgUsage, Rating, RatingFailure, Statement

LIMIT: Final = Decimal(10) ** (DIGITS - PLACES)
"""Amounts and priced quantities stay below it: what the store's Decimal(38, 18) holds."""

ZERO: Final = Decimal(0)
UNUSED: Final = CategoryUsage(0)


def rate(book: PriceBook, contracts: Contracts, usage: OrgUsage, period: Period) -> Rating:
    """Rate one organisation for one period.

    A charge that was not used and owes nothing has no line. Without terms there is no statement; with other failures
    the statement holds what could be priced.
    """
    found = terms(book, contracts, usage.org_id, period)
    if isinstance(found, RatingFailure):
        return Rating(usage.org_id, None, (found,))
    failures = _unpriced(found, usage, period)
    lines: list[Line] = []
    with exact():
        for id_, charge in found.version.charges.items():
            if usage.categories.keys().isdisjoint(charge.counted) and not _owed_unused(charge):
                continue
            line = _line(id_, charge, found, usage)
            if _fits(line.amount, line.quantity):
                lines.append(line)
            else:
                failures.append(_too_large(usage.org_id, period, line))
        total = sum((line.amount for line in lines), ZERO)
    if not _fits(total):
        detail = f"the total of {plain(total)} {found.plan.currency} has more than {DIGITS - PLACES} digits"
        return Rating(
            usage.org_id, None, (*failures, RatingFailure(usage.org_id, period, "amount_too_large", "", detail))
        )
    statement = Statement(
        org_id=usage.org_id,
        contract=found.contract.id,
        plan=found.contract.plan,
        period=period,
        currency=found.plan.currency,
        lines=tuple(lines),
        total=total,
        book=book.name,
        book_revision=book.revision,
        book_hash=book.content_hash,
        contract_hash=found.signed.content_hash,
        snapshot_id=usage.snapshot_id,
    )
    return Rating(usage.org_id, statement, tuple(failures))


def priced_units(charge: Charge, counted: int | Decimal) -> Decimal:
    """Return a charge's priced units of counted ones. Call it inside `exact()`."""
    return charge.convert.convert(Decimal(counted)) if charge.convert is not None else Decimal(counted)


def steps_of(charge: Charge, units: Decimal, included: Decimal | None) -> tuple[Step, ...]:
    """Return how `units` (priced units) come to cost what they cost. Call it inside `exact()`.

    Included units come off first, and the model's tiers count what is left. A negative quantity (corrections may
    exceed what was used) counts as zero.
    """
    if charge.price.per_period:
        return tuple(charge.price.steps(ZERO))
    steps: list[Step] = []
    if units < 0:
        steps.append(Step("is negative and counts as 0", ZERO, units))
        units = ZERO
    if included and units:
        taken = min(units, included)
        what = "included" if taken == included else f"of {plain(included)} included"
        steps.append(Step(what, ZERO, taken))
        units -= taken
    return (*steps, *charge.price.steps(units))


def _owed_unused(charge: Charge) -> bool:
    """Say whether a charge costs something without any usage: a fee, or the fee of a first tier."""
    return any(step.amount for step in charge.price.steps(ZERO))


def _line(id_: str, charge: Charge, found: Terms, usage: OrgUsage) -> Line:
    used = {category: usage.categories.get(category, UNUSED) for category in charge.counted}
    if charge.price.per_period:
        quantity, unit, conversion = Decimal(1), "period", ""
    else:
        counted = sum((Decimal(use.quantity) for use in used.values()), ZERO)
        quantity, unit, conversion = priced_units(charge, counted), charge.unit, ""
        if charge.convert is not None:
            unit = charge.convert.unit
            conversion = charge.convert.explain(counted, quantity, charge.unit)
    steps = steps_of(charge, quantity, found.contract.included.get(id_, charge.included))
    owed = sum((step.amount for step in steps), ZERO)
    step = MINOR_STEPS[found.plan.currency]
    return Line(
        charge=id_,
        name=charge.name or id_,
        usage=used,
        quantity=quantity,
        unit=unit,
        conversion=conversion,
        steps=steps,
        exact=owed,
        amount=steps_in(owed, step, found.plan.rounding) * step,
        effective=found.version.since,
    )


def _unpriced(found: Terms, usage: OrgUsage, period: Period) -> list[RatingFailure]:
    unpriced = usage.categories.keys() - found.version.known
    where = f"plan {found.contract.plan} {found.version.dates()} neither prices it nor lists it as free"
    return [
        RatingFailure(
            usage.org_id,
            period,
            "no_price",
            category,
            f"{plain(Decimal(usage.categories[category].quantity))} were used, but {where}",
        )
        for category in sorted(unpriced)
    ]


def _fits(*numbers: Decimal) -> bool:
    return all(abs(number) < LIMIT for number in numbers)


def _too_large(org_id: int, period: Period, line: Line) -> RatingFailure:
    detail = (
        f"charge {line.charge}: {plain(line.quantity)} {line.unit or 'units'} for {plain(line.amount)} is more than "
        f"{DIGITS - PLACES} digits before the point"
    )
    return RatingFailure(org_id, period, "amount_too_large", line.categories, detail)
