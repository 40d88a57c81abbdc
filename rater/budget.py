"""Pay-as-you-go budgets as data: what may be spent past what is reserved."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from pydantic import BaseModel, Field, model_validator

from rater.grants import RESERVED, Grant
from schemas.contracts import Name
from schemas.prices import STRICT, Number

NEVER_FALLING: Final = frozenset({"per_unit", "graduated", "package"})
"""Models by which more usage never costs less: a budget can ask them for the most that fits."""


class ReservedPool(BaseModel):
    """Money paid in advance that the usage of several charges draws on first, whichever comes first."""

    model_config = STRICT

    amount: Number
    charges: list[Name] = Field(min_length=1)


class Budget(BaseModel):
    """What may be spent past what is reserved. Charges that it does not name draw on no pool and are never refused.

    `amount` is the pool that `charges` (null: all) share; null is a pool without end. `by_charge` gives a charge a
    budget of its own instead. `overage_units` limits the priced units past the included ones. `reserved` is money
    paid in advance, which is used before the pool.
    """

    model_config = STRICT

    amount: Number | None = None
    charges: list[Name] | None = Field(default=None, min_length=1)
    by_charge: dict[Name, Number] = Field(default_factory=dict)
    overage_units: dict[Name, Number] = Field(default_factory=dict)
    reserved: ReservedPool | None = None
    past: Literal["refuse", "true_forward"] = "refuse"

    @model_validator(mode="after")
    def _fits(self) -> "Budget":
        both = sorted(set(self.by_charge) & set(self.reserved.charges)) if self.reserved else []
        if both:
            raise ValueError(f"{', '.join(both)} draws on the reserved pool and has a budget of its own: choose one")
        twice = sorted(set(self.by_charge) & set(self.charges or ()))
        if twice:
            raise ValueError(f"{', '.join(twice)} shares the pool and has a budget of its own: choose one")
        return self

    def names(self) -> frozenset[str]:
        """Return every charge that it names."""
        pool = self.reserved.charges if self.reserved else ()
        return frozenset(self.charges or ()).union(self.by_charge, self.overage_units, pool)

    def problem(self, models: Mapping[str, str]) -> str:
        """Return why it cannot hold for counted charges, given as price model by charge id; '' where it can."""
        lost = sorted(self.names() - models.keys())
        if lost:
            return f"the budget names {', '.join(lost)}, which is no counted charge"
        falling = sorted(id_ for id_ in self.limited(models) if models[id_] not in NEVER_FALLING)
        if falling:
            told = ", ".join(f"{id_} ({models[id_]})" for id_ in falling)
            may = ", ".join(sorted(NEVER_FALLING))
            return f"a budget needs prices by which more usage never costs less ({may}), unlike {told}"
        return ""

    def limited(self, charges: Iterable[str]) -> list[str]:
        """Return those of the charges whose usage it may refuse."""
        return [id_ for id_ in charges if self.charges is None or id_ in self.names()]

    def grant(self) -> Grant | None:
        """Return the reserved pool as the grant that pays for it on the statement, anew in every period."""
        if self.reserved is None or not self.reserved.amount:
            return None
        pool = {"amount": self.reserved.amount, "charges": self.reserved.charges, "priority": 0, "every": "period"}
        return Grant.model_validate({"id": RESERVED, "name": "Reserved pool", "from": "2000-01-01", **pool})


def with_reserved(grants: Iterable[Grant], budget: Budget | None) -> tuple[Grant, ...]:
    """Return a contract's grants, and its budget's reserved pool: what pays for lines, and what `after` has to know."""
    pool = budget.grant() if budget is not None else None
    return (*grants, pool) if pool is not None else tuple(grants)
