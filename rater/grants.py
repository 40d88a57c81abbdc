"""Grants as data: prepaid credit, promotional credit and commits, once or every period, and how they end.

A grant is so much money (`amount`), or so many units of a stated worth (`units`, `rate`), that pays for what its
charges come to. What it costs is another matter: nothing, `invoice_amount`, or `cost_basis` for each unit.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from rater.spreading import quotient
from schemas.contracts import Name, Span
from schemas.money import RoundingMode, exact
from schemas.prices import PLACES, STRICT, Number, Positive

RESERVED: Final = "reserved-pool"
"""The id of the grant that a budget's reserved pool is."""


class Rollover(BaseModel):
    """What a period leaves of a recurring grant goes on: at most `cap` of it, for `periods` periods (null: no end).

    Over the cap, what was granted first is lost first. What was carried on is burned before the period's own part.
    """

    model_config = STRICT

    cap: Number | None = None
    periods: int | None = Field(default=None, ge=1, le=1200)


class Overdraft(BaseModel):
    """A grant may be burned below zero, as far as `limit` (null: without end); the debt is carried on."""

    model_config = STRICT

    limit: Number | None = None


class Recharge(BaseModel):
    """Whenever less than `below` would be left, `amount` more is bought, `discount_percent` cheaper, `limit` times."""

    model_config = STRICT

    amount: Positive
    below: Number = Decimal(0)
    discount_percent: Number = Field(default=Decimal(0), le=100)
    limit: int | None = Field(default=None, ge=1, le=1_000_000)


class Grant(Span):
    """Credit that pays for lines, from midnight of `from` until midnight of `until`.

    A statement can be paid by every grant that holds at some instant of its period. Grants are burned in a total
    order that does not depend on how they are listed: lowest `priority` first, then earliest end, then promotional
    before paid, then oldest, then by id.
    """

    id: Name
    name: str = Field(default="", max_length=200)
    amount: Number | None = None
    units: Positive | None = None
    rate: Positive | None = None
    """What a unit is worth in the contract's currency."""
    unit: str = Field(default="credits", min_length=1, max_length=64)
    priority: int = Field(default=100, ge=0, le=1_000_000)
    source: Literal["paid", "promotional"] = "paid"
    charges: list[Name] | None = Field(default=None, min_length=1)
    """The charges whose lines it may pay for; null: all."""
    invoice_amount: Number | None = None
    """What the customer is invoiced for it, in the period in which it starts; less than its worth is a discount."""
    cost_basis: Number | None = None
    """What the customer is invoiced for each unit."""
    every: Literal["once", "period"] = "once"
    prorated: Literal["days", "seconds"] | None = None
    """Of a period that it does not cover whole, only so much is granted as it covers, by days or by seconds."""
    decimals: int = Field(default=8, ge=0, le=PLACES)
    """The digits to which a prorated grant is rounded."""
    rounding: RoundingMode = "half_away"
    unused: Literal["lose", "refund"] = "lose"
    """What becomes of what is left when it ends: it is lost, or what was paid for it is given back."""
    rollover: Rollover | None = None
    overdraft: Overdraft | None = None
    recharge: Recharge | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Grant":
        if (self.amount is None) == (self.units is None):
            raise ValueError("give amount (money), or units with rate (what one is worth): one of the two")
        if (self.units is None) != (self.rate is None):
            raise ValueError("units and rate belong together: so many units, each worth so much")
        if self.amount == 0 and not (self.recharge or self.overdraft):
            raise ValueError("a grant of nothing pays for nothing: give an amount, or a recharge or an overdraft")
        if self.amount == 0 and self.invoice_amount:
            raise ValueError("a grant of nothing is not invoiced: drop invoice_amount")
        if self.cost_basis is not None and self.invoice_amount is not None:
            raise ValueError("give invoice_amount or cost_basis, not both")
        if self.cost_basis is not None and self.units is None:
            raise ValueError("cost_basis is a price for each unit: give units and rate, or invoice_amount")
        if self.source == "promotional" and (self.invoice_amount or self.cost_basis or self.recharge):
            raise ValueError("a promotional grant costs nothing: drop what it costs, or say source: paid")
        if self.unused == "refund" and self.invoice_amount is None and self.cost_basis is None:
            raise ValueError("unused: refund gives back what was paid: say invoice_amount or cost_basis")
        if self.unused == "refund" and (self.rollover or self.recharge):
            raise ValueError("unused: refund goes with neither rollover nor recharge")
        if self.rollover and self.every == "once":
            raise ValueError("rollover carries a recurring grant on: say every: period, or drop it and give until")
        if self.prorated and self.every == "once":
            raise ValueError("a grant that is given once is given whole: say every: period, or drop prorated")
        if self.overdraft and self.until is not None:
            raise ValueError("an overdraft's debt has no end: drop until")
        if self.overdraft and self.every == "period":
            raise ValueError("an overdraft belongs to a grant that is given once")
        if self.recharge and self.every == "period":
            raise ValueError("a recharge belongs to a grant that is given once")
        return self

    def granted(self, covered: int = 1, whole: int = 1) -> Decimal:
        """Return the money that it is worth when it covers `covered` of `whole` parts of a period."""
        with exact():
            units = self.units if self.units is not None else self.amount
            assert units is not None
            return prorated(units, covered, whole, self.decimals, self.rounding) * (self.rate or Decimal(1))

    @property
    def cost(self) -> Decimal:
        """Return what the customer is invoiced for it, unrounded."""
        with exact():
            if self.cost_basis is not None and self.units is not None:
                return self.units * self.cost_basis
            return self.invoice_amount or Decimal(0)


def _each_once(grants: list[Grant]) -> list[Grant]:
    ids = [grant.id for grant in grants]
    twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
    if twice:
        raise ValueError(
            f"two grants are called {', '.join(twice)}: what is left of one would be taken for the other's"
        )
    if RESERVED in ids:
        raise ValueError(f"the name {RESERVED} is taken by a budget's reserved pool: call the grant otherwise")
    return grants


Grants = Annotated[list[Grant], Field(max_length=1000), AfterValidator(_each_once)]
"""The grants of a contract, in any order, each with an id of its own."""


def prorated(amount: Decimal, covered: int, whole: int, decimals: int, mode: RoundingMode = "half_away") -> Decimal:
    """Return `amount` × covered ÷ whole, rounded once to `decimals` digits; the amount itself where all is covered."""
    if covered == whole:
        return amount
    with exact():
        return quotient(amount * covered, whole, Decimal(1).scaleb(-decimals), mode)
