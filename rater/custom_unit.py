"""Custom units: credits, tokens, points, whose worth in money is stated once and never looked up."""

from decimal import Decimal

from pydantic import BaseModel, Field

from rater.spreading import quotient
from schemas.money import RoundingMode, exact
from schemas.prices import PLACES, STRICT, Positive, Step


class CustomUnit(BaseModel):
    """A unit of account beside money: `rate` is what one of it is worth, in the contract's currency."""

    model_config = STRICT

    unit: str = Field(default="credits", min_length=1, max_length=64)
    rate: Positive

    def worth(self, units: Decimal) -> Decimal:
        """Return the money that units stand for, exactly."""
        with exact():
            return units * self.rate

    def bought(self, money: Decimal, decimals: int = PLACES, mode: RoundingMode = "half_away") -> Decimal:
        """Return the units that an amount of money stands for, rounded once to `decimals` digits."""
        with exact():
            return quotient(money, self.rate, Decimal(1).scaleb(-decimals), mode)

    def priced(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return steps that sum to money, of steps that sum to units: their amounts stand in the unit's place.

        `300 × 1 = 300` in a unit of 0.5 becomes a step of 300 units at 0.5 each. Call it inside `exact()`.
        """
        units = sum((step.amount for step in steps), Decimal(0))
        told = tuple(
            Step(self.unit, Decimal(0), text=f"{step} {self.unit}" if step.amount else str(step)) for step in steps
        )
        return (*told, Step(self.unit, units * self.rate, units, self.rate))
