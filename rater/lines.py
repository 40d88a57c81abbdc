"""Lines: what a charge costs, rounded once, with all that explains it."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from rater.book import Charge
from rater.charge import Priced
from rater.measure import Ratio
from rater.proration import Part, shown
from rater.sheet import Sheet
from schemas.money import RoundingMode, steps_in
from schemas.prices import Step, plain
from schemas.statements import CategoryUsage, Line

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

Stretch = tuple[dt.datetime, dt.datetime] | None
"""[start, end) of a line that is for a part of the period only."""


def priced_units(charge: Charge, counted: Decimal) -> Decimal:
    """Return a charge's priced units of counted ones. Call it inside `exact()`."""
    return charge.convert.convert(counted) if charge.convert is not None else counted


def charge_lines(
    sheet: Sheet,
    id_: str,
    charge: Charge,
    usage: Mapping[str, CategoryUsage],
    found: Priced,
    effective: dt.date,
    stretch: Stretch = None,
    *,
    last: bool = True,
) -> list[Line]:
    """Return the line of any charge, and that of what is short of its commitment, which is settled at the `last`."""
    quantity = found.quantity.shown()
    unit, conversion = charge.unit, ""
    if charge.convert is not None:
        unit = charge.convert.unit
        conversion = charge.convert.explain(found.counted.shown(), quantity, charge.unit)
    if measured := _measured(charge, stretch):
        told = f"{measured}: {plain(found.counted.shown())} {charge.unit}".rstrip()
        conversion = f"{told}; {conversion}" if conversion else told
    amount = _rounded(found.cost.owed, sheet)
    line = Line(
        charge=id_,
        name=charge.name or id_,
        usage=usage,
        quantity=quantity,
        unit=unit,
        conversion=conversion,
        steps=found.cost.steps,
        exact=found.cost.owed.shown(),
        amount=amount,
        effective=effective,
        part_of_period=stretch,
    )
    if not last or not found.cost.short.numerator:
        return [line]
    # Rounded together with the charge: the two come to the commitment, to the last digit.
    together = _rounded(found.cost.owed.plus(found.cost.short), sheet)
    short = Line(
        charge=id_,
        name=f"{charge.name or id_}, true-up to the commitment",
        usage={},
        quantity=ZERO,
        unit="",
        conversion="",
        steps=found.cost.short_steps,
        exact=found.cost.short.shown(),
        amount=together - amount,
        effective=effective,
        kind="true_up",
        applies_to=(id_,),
        part_of_period=stretch,
    )
    return [line, short]


_MEASURED: Final = {
    "count": "events",
    "max": "largest",
    "min": "smallest",
    "latest": "last level",
    "unique_count": "different values",
    "average": "average",
    "weighted_sum": "level, weighted by time",
    "sum_of_max": "largest of each part, summed",
    "sum_of_latest": "last of each value, summed",
}


def _measured(charge: Charge, stretch: Stretch) -> str:
    """Return in words how usage became the quantity that is priced; '' where that is its sum."""
    if charge.prorated:
        return "counted for the rest of the period" if stretch is None else "counted for these days of the period"
    return _MEASURED.get(charge.aggregate.function, "")


def fee_line(id_: str, name: str, part: Part, step: Decimal, rounding: RoundingMode, stretch: Stretch) -> Line:
    """Return the line of a fee, or of a part of one; what is given back of one is negative."""
    exact = shown(part.numerator, part.denominator)
    word = "fee" if part.kind == "fee" else "unused fee"
    told = f"{word} {plain(part.amount)}, {part.told}: {plain(exact)}" if part.told else ""
    return Line(
        charge=id_,
        name=name,
        usage={},
        quantity=ONE,
        unit="period",
        conversion="",
        steps=(Step(word, exact, text=told),),
        exact=exact,
        amount=part.rounded(step, rounding),
        effective=part.effective,
        part_of_period=stretch,
    )


def _rounded(amount: Ratio, sheet: Sheet) -> Decimal:
    return steps_in(amount.numerator, sheet.step * amount.denominator, sheet.rounding) * sheet.step
