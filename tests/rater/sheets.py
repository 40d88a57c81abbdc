"""Short constructors: a sheet with lines of so much, and adjustments run on it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from rater.adjustment import Adjustment
from rater.adjustments import AnyAdjustment, apply, finish
from rater.grants import Grant
from rater.sheet import Sheet
from schemas.money import MINOR_STEPS, exact, steps_in
from schemas.period import Period
from schemas.prices import plain
from schemas.statements import CategoryUsage, Line, Statement

NOVEMBER = Period.month(2026, 11)
DAY = dt.date(2026, 11, 1)
ADJUSTMENT: TypeAdapter[Adjustment] = TypeAdapter(AnyAdjustment)


def charged(charge: str, amount: Decimal, *, step: Decimal = Decimal("0.01"), used: int | None = None) -> Line:
    """A charge's line of an exact amount; with `used` it is a line of usage, without it a fee."""
    with exact():
        rounded = steps_in(amount, step, "half_away") * step
    usage = {} if used is None else {charge: CategoryUsage(used)}
    return Line(charge, charge, usage, Decimal(used or 1), "", "", (), amount, rounded, DAY)


def sheet(amounts: Mapping[str, Decimal | int | str], **changes: Any) -> Sheet:
    """A sheet with a line for each amount."""
    made = Sheet("USD", changes.pop("period", NOVEMBER), DAY, **changes)
    with exact():
        for charge, amount in amounts.items():
            made.add(charged(charge, Decimal(amount), step=MINOR_STEPS[made.currency], used=1))
    return made


def adjustment(**fields: Any) -> Adjustment:
    """An adjustment, as a price book writes it."""
    return ADJUSTMENT.validate_python(fields)


def adjusted(made: Sheet, *listed: Mapping[str, Any], scope: Sequence[str] | None = None, end: bool = False) -> Sheet:
    """The sheet with adjustments run on it; with `end`, also what nobody listed."""
    apply([adjustment(**fields) for fields in listed], scope, made)
    if end:
        finish(made)
    return made


def grant(id_: str = "grant", amount: int | str | Decimal | None = None, **fields: Any) -> Grant:
    """A grant from the start of time, of `amount` of money where no units are given."""
    worth = {} if amount is None else {"amount": str(amount)}
    return Grant.model_validate({"id": id_, "from": "2020-01-01", **worth, **fields})


def statement(made: Sheet) -> Statement:
    """The statement that a sheet becomes."""
    with exact():
        total = made.total
    return Statement(1, "c", "p", made.period, made.currency, tuple(made.lines), total, "b", 1, "", "", "")


def month(number: int) -> Period:
    """A month of 2026 and after: 1 is January 2026."""
    return Period.month(2026 + (number - 1) // 12, (number - 1) % 12 + 1)


def told(made: Sheet | Statement) -> list[str]:
    """What the lines are and come to, as in `credit -4`."""
    return [f"{line.kind} {plain(line.amount)}" for line in made.lines]
