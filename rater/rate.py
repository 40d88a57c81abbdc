"""Rating: one organisation's usage of a period, priced by its contract and the price book.

A pure function of its arguments: no clock, no I/O, no ambient decimal context, no order of rows or keys.

    terms ──► segments of the period ──► each charge: usage → aggregate → convert → − included → price model → line(s)
          ──► adjustments in their listed order, each a line of its own ──► total = Σ rounded lines

What cannot be priced is a failure beside the statement. A category that has usage rows and is neither priced nor `free`
is one even where its quantity is 0: events of it are being counted, and the book has to say what they cost.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from rater.account import NEW, Account
from rater.adjustments import apply, finish
from rater.book import PriceBook
from rater.budget import with_reserved
from rater.budgeted import Refused, earlier, refused
from rater.charge import Priced
from rater.compiled import compiled
from rater.contract import Contracts
from rater.counted import Counted
from rater.lines import charge_lines
from rater.memory import opening
from rater.pool import Missing
from rater.runs import Off, Run, Trouble, priced_run, runs_of, unpriced, used_in
from rater.sheet import Sheet
from rater.terms import Terms, terms
from schemas.money import exact
from schemas.period import Period, midnight
from schemas.prices import DIGITS, PLACES, NotPriced, Step, plain
from schemas.statements import Line, OrgUsage, Rating, RatingFailure, Statement

LIMIT: Final = Decimal(10) ** (DIGITS - PLACES)
"""Amounts and priced quantities stay below it: what the store's Decimal(38, 18) holds."""

ZERO: Final = Decimal(0)
NOBODY: Final[Mapping[str, int]] = {}


def rate(
    book: PriceBook,
    contracts: Contracts,
    usage: OrgUsage,
    period: Period,
    account: Account = NEW,
    *,
    rank: Mapping[str, int] = NOBODY,
    corrections: Sequence[Line] = (),
) -> Rating:
    """Rate one organisation for one period.

    `account` is what earlier periods left; `rank` the category ids by name, which decide whose turn it is where usage
    of one window draws on one budget; `corrections` are lines of `late_adjustment` that this statement posts. A charge
    that was not used and owes nothing has no line. Without terms there is no statement; with other failures the
    statement holds what could be priced.
    """
    found = terms(book, contracts, usage.org_id, period)
    if isinstance(found, RatingFailure):
        return Rating(usage.org_id, None, (found,))
    sheet = Sheet(
        currency=found.plan.currency,
        period=period,
        effective=found.version.since,
        rounding=found.plan.rounding,
        account=opening(found, account, period),
        grants=with_reserved(found.contract.grants, found.contract.budget or found.version.budget),
        part=found.days,
        zone=found.contract.zone,
    )
    with exact():
        troubles = _rated(found, usage, sheet, rank, corrections)
        failures = [RatingFailure(usage.org_id, period, *trouble) for trouble in troubles]
        total = sheet.total
    if abs(total) >= LIMIT:
        detail = f"the total of {plain(total)} {found.plan.currency} has more than {DIGITS - PLACES} digits"
        failures.append(RatingFailure(usage.org_id, period, "amount_too_large", "", detail))
        return Rating(usage.org_id, None, tuple(failures))
    statement = Statement(
        org_id=usage.org_id,
        contract=found.contract.id,
        plan=found.plan_name,
        period=period,
        currency=found.plan.currency,
        lines=tuple(sheet.lines),
        total=total,
        book=book.name,
        book_revision=book.revision,
        book_hash=book.content_hash,
        contract_hash=found.signed.content_hash,
        snapshot_id=usage.snapshot_id,
        rounding=found.plan.rounding,
    )
    return Rating(usage.org_id, statement, tuple(failures))


def _rated(
    found: Terms, usage: OrgUsage, sheet: Sheet, rank: Mapping[str, int], corrections: Sequence[Line]
) -> list[Trouble]:
    """Write all lines on the sheet, and return what could not be priced."""
    if unsettled := _grants_of_others(found):
        return [unsettled]
    troubles = unpriced(found.segments, usage, sheet.period)
    past = refused(found, usage, sheet, rank)
    if isinstance(past, Trouble):
        return [*troubles, past]
    for id_, charge, fees, counted, used in compiled(found):
        trouble = None
        for line in fees:
            trouble = trouble or _add(sheet, line)
        if counted is not None and trouble is None:
            own = counted.line(usage.categories, past.get((id_, 0), ZERO), sheet.past_budget)
            trouble = None if own is None else _add(sheet, own)
        elif used and trouble is None:
            trouble = _measured(id_, found, usage, sheet, past)
        if trouble is not None:
            troubles.append(trouble)
        elif charge.adjustments:
            apply(charge.adjustments, (id_,), sheet)
    for line in corrections:
        sheet.add(line)
    if found.version.adjustments:
        apply(found.version.adjustments, None, sheet)
    if found.adjustments:
        apply(found.adjustments, None, sheet)
    finish(sheet)
    if sheet.ran:
        troubles += [_overflow(line) for line in sheet.lines if abs(line.amount) >= LIMIT]
    return troubles


def _grants_of_others(found: Terms) -> Trouble | None:
    """Say where an earlier contract of the period has grants: which lines they may still pay has no answer."""
    for segment in found.segments:
        contract = segment.contract
        if contract.id != found.contract.id and contract.grants:
            told = (
                f"contract {contract.id}, which has grants, ends inside the period and {found.contract.id} follows: "
                "give the later one the same id, so that it is an amendment, or let it begin where a period begins"
            )
            return Trouble("contract_changes_inside_period", "", told)
    return None


def _measured(id_: str, found: Terms, usage: OrgUsage, sheet: Sheet, past: Refused) -> Trouble | None:
    runs = runs_of(id_, found.segments)
    refused = [past.get((id_, number), ZERO) for number in range(len(runs))]
    lines: list[Line] = []
    try:
        for number, run in enumerate(runs):
            off = Off(refused[number], earlier(runs, number, refused))
            lines += _lines(id_, run, found, usage, sheet, off, last=run is runs[-1])
    except (Missing, NotPriced) as error:
        category = "+".join(runs[-1].charge.counted)
        return Trouble(error.reason, category, f"charge {id_}: {error}")
    for line in lines:
        if trouble := _add(sheet, line):
            return trouble
    return None


def _lines(id_: str, run: Run, found: Terms, usage: OrgUsage, sheet: Sheet, off: Off, *, last: bool) -> list[Line]:
    charge, period = run.charge, sheet.period
    whole = run.start <= period.start and run.end >= period.end
    if charge.plain and whole:
        line = Counted(id_, charge, run.effective, sheet.step, sheet.rounding).line(
            usage.categories, off.here, sheet.past_budget
        )
        return [] if line is None else [line]
    used_before = sheet.account.used_before.get(id_)
    zone, anchored = found.cycle.zone, found.whole
    bounds = (midnight(anchored.first, zone), midnight(anchored.after, zone)) if charge.prorated else None
    priced = priced_run(run, usage, period, sheet.account.levels, used_before, whole=bounds)
    if (
        usage.categories.keys().isdisjoint(charge.counted)
        and not priced.cost.owed.numerator
        and not priced.cost.short.numerator
    ):
        return []
    uses = used_in(run, usage, period)
    stretch = None if whole else (run.start, run.end)
    if not (off.here or off.before):
        return charge_lines(sheet, id_, charge, uses, priced, run.effective, stretch, last=last)
    billed = priced_run(run, usage, period, sheet.account.levels, None, off)
    lines = charge_lines(sheet, id_, charge, uses, priced._replace(cost=billed.cost), run.effective, stretch, last=last)
    return [_with_refused(lines[0], billed, sheet), *lines[1:]]


def _with_refused(line: Line, billed: Priced, sheet: Sheet) -> Line:
    """Return a line of all that was used in a run, with what of it is not billed."""
    rest = line.quantity - billed.quantity.shown()
    if not rest:
        return line
    return line._replace(steps=(Step(sheet.past_budget, ZERO, rest), *line.steps), refused=rest)


def _add(sheet: Sheet, line: Line) -> Trouble | None:
    if abs(line.amount) < LIMIT and abs(line.quantity) < LIMIT:
        sheet.add(line)
        return None
    return _overflow(line)


def _overflow(line: Line) -> Trouble:
    what = f"{plain(line.quantity)} {line.unit or 'units'} for {plain(line.amount)}" if line.usage else line.amount
    detail = f"{line.kind} {line.charge}: {what} is more than {DIGITS - PLACES} digits before the point"
    return Trouble("amount_too_large", line.categories, detail)
