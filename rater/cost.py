"""What measured usage costs: what is included comes off, the model prices the rest, a commitment has its say.

An amount is an exact quotient; the steps that explain it are shown to 18 digits where the quotient does not end.
Everything happens inside `exact()`.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from rater.measure import Ratio
from rater.options import Commitment, Rates
from schemas.prices import Measure, Step, plain

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
NOTHING: Final = Ratio(ZERO)


class Measured(NamedTuple):
    """Usage as counted, and as a model prices it: the measure, over a denominator where it is a quotient."""

    counted: Ratio
    measure: Measure
    denominator: Decimal


class Cost(NamedTuple):
    """What usage costs, and what is short of its commitment, each with the steps that sum to it."""

    steps: tuple[Step, ...] = ()
    owed: Ratio = NOTHING
    short_steps: tuple[Step, ...] = ()
    short: Ratio = NOTHING


def cost_of(rates: Rates, found: Measured, used_before: Decimal) -> Cost:
    """Return what measured usage costs, after what was used before. Raises NotPriced."""
    given, denominator = found.measure, found.denominator
    if denominator == ONE:
        total = given._replace(quantity=given.quantity + used_before) if used_before else given
        return _plain_cost(rates, total)
    # The numerator, at the price scaled by the denominator, costs the denominator times what the quotient does.
    price = rates.price.scaled(denominator)
    assert price is not None, "a charge of quotients has a price that scales"
    scaled = Rates(
        price,
        None if rates.included is None else rates.included * denominator,
        None if rates.commitment is None else rates.commitment.scaled(denominator),
    )
    exactly = _plain_cost(scaled, given._replace(quantity=given.quantity + used_before * denominator))
    if given.prorated:
        steps = tuple(_divided(step, denominator) for step in exactly.steps)
        return Cost(steps, Ratio(exactly.owed.numerator, denominator))
    shown = Ratio(given.quantity, denominator).shown() + used_before
    told = _plain_cost(rates, Measure(shown))
    return Cost(
        told.steps,
        Ratio(exactly.owed.numerator, denominator),
        told.short_steps,
        Ratio(exactly.short.numerator, denominator),
    )


def _divided(step: Step, denominator: Decimal) -> Step:
    quantity = None if step.quantity is None else Ratio(step.quantity, denominator).shown()
    return step._replace(amount=Ratio(step.amount, denominator).shown(), quantity=quantity, text="")


def _plain_cost(rates: Rates, given: Measure) -> Cost:
    units, steps = billable(given.quantity, rates.included)
    if units != given.quantity:  # of usage that counts as nothing, or is included in part, the order says nothing
        given = given._replace(quantity=units, prorated=())
    found = (*steps, *rates.price.price(given))
    owed = sum((step.amount for step in found), ZERO)
    if rates.commitment is None:
        return Cost(found, Ratio(owed))
    return _committed(rates, rates.commitment, units, found, owed)


def billable(units: Decimal, included: Decimal | None) -> tuple[Decimal, list[Step]]:
    """Return the units that a model prices, and the steps of those that it does not.

    Included units come off first, and the model's tiers count what is left. A negative quantity (corrections may
    exceed what was used) counts as zero.
    """
    steps: list[Step] = []
    if units < 0:
        steps.append(Step("is negative and counts as 0", ZERO, units))
        units = ZERO
    if included and units:
        taken = min(units, included)
        what = "included" if taken == included else f"of {plain(included)} included"
        steps.append(Step(what, ZERO, taken))
        units -= taken
    return units, steps


def _committed(rates: Rates, commitment: Commitment, units: Decimal, steps: tuple[Step, ...], owed: Decimal) -> Cost:
    """Return a cost with what is more for usage past the commitment, and what is short of it."""
    if commitment.quantity is not None:
        within = owed if units <= commitment.quantity else _amount(rates, commitment.quantity)
        promised = owed if units >= commitment.quantity else _amount(rates, commitment.quantity)
    else:
        assert commitment.amount is not None
        within, promised = min(owed, commitment.amount), max(owed, commitment.amount)
    past, factor = owed - within, commitment.overage_factor
    more = past * (factor - 1)
    if more:
        told = f"{plain(past)} of it past the commitment of {commitment}, × {plain(factor)}: {plain(more)} more"
        steps = (*steps, Step("past the commitment", more, text=told))
    short = promised - owed
    if not commitment.true_up or short <= 0:
        return Cost(steps, Ratio(owed + more))
    told = f"commitment {commitment}, short of it by {plain(short)}"
    return Cost(steps, Ratio(owed + more), (Step("short of the commitment", short, text=told),), Ratio(short))


def _amount(rates: Rates, units: Decimal) -> Decimal:
    return sum((step.amount for step in rates.price.steps(units)), ZERO)
