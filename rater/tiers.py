"""Tiers: the ladder that graduated, volume and other models climb."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from schemas.prices import STRICT, Number, Positive, plain

MAX_TIERS: Final = 1000


class Bounded(BaseModel):
    """One step of a ladder: from just above the step before to `up_to` (inclusive; null in the last: no end)."""

    model_config = STRICT

    up_to: Positive | None = None


class Tier(Bounded):
    """One tier: the price of a unit in it, and a fee for reaching it."""

    unit_amount: Number = Decimal(0)
    flat_amount: Number = Decimal(0)


B = TypeVar("B", bound=Bounded)


def climbs(tiers: tuple[B, ...]) -> tuple[B, ...]:
    """Return the tiers when they rise, and the last alone is open. Raises PydanticCustomError otherwise."""
    before = Decimal(0)
    for index, tier in enumerate(tiers):
        last = index == len(tiers) - 1
        at = {"at": (index, "up_to")}
        if tier.up_to is None and not last:
            raise PydanticCustomError("tier", "only the last tier has no up_to: the tiers below are never reached", at)
        if tier.up_to is not None and last:
            raise PydanticCustomError("tier", "the last tier needs up_to: null, or usage above it has no price", at)
        if tier.up_to is not None and tier.up_to <= before:
            raise PydanticCustomError(
                "tier",
                "up_to {bound} is not above the tier before, which reaches {before}",
                {**at, "bound": plain(tier.up_to), "before": plain(before)},
            )
        before = tier.up_to or before
    return tiers


LADDER: Final = Field(min_length=1, max_length=MAX_TIERS, strict=False)
"""What a list of tiers is in a document: YAML and JSON have lists, a frozen model a tuple."""

Ladder = Annotated[tuple[Tier, ...], LADDER, AfterValidator(climbs)]
"""At least one tier, rising; the last is open, so that no quantity is without a price."""


def reached(tiers: Sequence[Tier], quantity: Decimal) -> Tier:
    """Return the tier that a quantity reaches."""
    return next(tier for tier in tiers if tier.up_to is None or quantity <= tier.up_to)


def scaled(tiers: Sequence[Tier], factor: Decimal) -> tuple[Tier, ...]:
    """Return the tiers of `factor` times as large quantities and amounts. Call it inside `exact()`."""
    return tuple(
        tier.model_copy(
            update={
                "up_to": None if tier.up_to is None else tier.up_to * factor,
                "flat_amount": tier.flat_amount * factor,
            }
        )
        for tier in tiers
    )
