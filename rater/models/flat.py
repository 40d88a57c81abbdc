"""flat: an amount for the period, whatever is used."""

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import model_validator

from schemas.cycle import Divisor, Interval
from schemas.prices import Number, PriceModel, Step


class Flat(PriceModel):
    """The fee of a period; the charge counts no category.

    `interval` is the period that the amount is for, where it is not the contract's. A part of it owes a part of the
    amount: `prorate` says by what, days of the anchored period (the default), a month of 30 days, or seconds; with
    `none` a begun period is owed in full. A fee `in_advance` is owed where its period begins, and a change of its
    price gives back what is left of the old one; any other is owed where its period ends. A `one_time` fee is owed
    once, in full, where the contract begins.
    """

    per_period: ClassVar[bool] = True

    model: Literal["flat"]
    amount: Number
    interval: Interval | None = None
    in_advance: bool = False
    one_time: bool = False
    prorate: Divisor = "days"

    @model_validator(mode="after")
    def _fits(self) -> "Flat":
        if self.one_time and (self.interval is not None or self.in_advance or self.prorate != "days"):
            raise ValueError("a one-time fee has no interval, is never prorated and never in advance: drop these")
        return self

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:  # noqa: ARG002 - the fee is owed whatever is used
        """Return the fee."""
        return (Step("fee", self.amount),)
