"""Charges that totals alone decide: most of all lines, and so the ones that have to be quick.

What only the price book and the terms say is worked out once for a charge; what a line says in words is made when
somebody looks. Everything happens inside `exact()`.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from rater.book import Charge
from rater.cost import billable
from rater.line_text import LineText
from rater.runs import UNUSED, bare
from schemas.money import RoundingMode, exact, steps_in
from schemas.prices import Step
from schemas.statements import NOT_SPREAD, CategoryUsage, Line

ZERO: Final = Decimal(0)


class Counted:
    """A `plain` charge under terms: it makes the charge's line of any usage, and says later how the line came about.

    Amounts are rounded to multiples of `step`; `effective` is the day from which the price holds.
    """

    __slots__ = (
        "_charge",
        "_convert",
        "_counted",
        "_effective",
        "_id",
        "_included",
        "_name",
        "_only",
        "_owed_unused",
        "_rounding",
        "_step",
        "_tariff",
        "_text",
        "_unit",
    )

    def __init__(self, id_: str, charge: Charge, effective: date, step: Decimal, rounding: RoundingMode) -> None:
        self._id = id_
        self._charge = charge
        self._effective = effective
        self._step = step
        self._rounding: RoundingMode = rounding
        self._name = charge.name or id_
        self._counted = charge.counted
        self._only = charge.counted[0] if len(charge.counted) == 1 else None
        self._unit = charge.unit if charge.convert is None else charge.convert.unit
        self._convert = None if charge.convert is None else charge.convert.converter()
        self._included = charge.included
        self._tariff = charge.price.tariff()
        self._owed_unused = any(step.amount for step in charge.price.steps(ZERO))
        self._text: LineText | None = None

    def line(self, usage: Mapping[str, CategoryUsage], refused: Decimal = ZERO, past_budget: str = "") -> Line | None:
        """Return the line of totals by category; None where nothing was used and nothing is owed.

        `refused`, in counted units, is used and not billed; `past_budget` says what becomes of it.
        """
        if self._only is not None:
            use = usage.get(self._only)
            if use is None:
                if not self._owed_unused:
                    return None
                use = UNUSED
            elif use.parts or use.kept:
                use = bare(use)
            uses = {self._only: use}
            counted = Decimal(use.quantity)
        else:
            if not self._owed_unused and usage.keys().isdisjoint(self._counted):
                return None
            uses = {category: bare(usage.get(category, UNUSED)) for category in self._counted}
            counted = sum([Decimal(use.quantity) for use in uses.values()], ZERO)
        convert = self._convert
        quantity = counted if convert is None else convert(counted)
        if refused:
            return self._refused(uses, quantity, counted - refused, past_budget)
        billed = quantity if self._included is None else quantity - self._included
        owed = self._tariff(billed if billed > ZERO else ZERO)  # noqa: FURB136 - max() takes twice as long
        amount = steps_in(owed, self._step, self._rounding) * self._step
        return tuple.__new__(
            Line,
            (
                self._id,
                self._name,
                uses,
                quantity,
                self._unit,
                "",
                (),
                owed,
                amount,
                self._effective,
                "charge",
                (),
                NOT_SPREAD,
                ZERO,
                None,
                self,
            ),
        )

    def _refused(self, uses: Mapping[str, CategoryUsage], quantity: Decimal, billed: Decimal, past_budget: str) -> Line:
        units = billed if self._convert is None else self._convert(billed)
        refused = quantity - units
        steps = (Step(past_budget, ZERO, refused), *self._priced(units))
        owed = sum((step.amount for step in steps), ZERO)
        line = Line(
            charge=self._id,
            name=self._name,
            usage=uses,
            quantity=quantity,
            unit=self._unit,
            conversion="",
            steps=steps,
            exact=owed,
            amount=steps_in(owed, self._step, self._rounding) * self._step,
            effective=self._effective,
            refused=refused,
        )
        return line._replace(conversion=self.conversion_of(line))

    def text_of(self, line: Line) -> str | None:
        """Return a line that it made as JSON, without the closing brace; None where there is no short way to it."""
        if self._text is None:
            self._text = LineText(self._id, self._charge, self._unit, self._effective)
        return self._text.of(line)

    def steps_of(self, line: Line) -> tuple[Step, ...]:
        """Return the steps of a line that it made."""
        with exact():
            return self._priced(line.quantity)

    def conversion_of(self, line: Line) -> str:
        """Return the conversion of a line that it made."""
        convert = self._charge.convert
        if convert is None:
            return ""
        with exact():
            counted = sum((Decimal(use.quantity) for use in line.usage.values()), ZERO)
        return convert.explain(counted, line.quantity, self._charge.unit)

    def _priced(self, units: Decimal) -> tuple[Step, ...]:
        billed, steps = billable(units, self._included)
        return (*steps, *self._charge.price.steps(billed))
