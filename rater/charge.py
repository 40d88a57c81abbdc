"""Pricing one charge: its usage in parts, each measured, and priced by what holds for it.

Nothing is rounded here, and everything happens inside `exact()`.
"""

from collections.abc import Collection, Hashable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from rater.book import Charge
from rater.cost import NOTHING, ONE, ZERO, Cost, Measured, cost_of
from rater.custom_unit import CustomUnit
from rater.measure import Ratio, measure, measure_prorated
from rater.options import HOURS, Rates
from rater.pool import Pool
from rater.spans import buckets, name_of
from schemas.prices import Measure, Step, plain


class Priced(NamedTuple):
    """A charge's usage: as counted, in priced units, and what it costs."""

    counted: Ratio
    quantity: Ratio
    cost: Cost


class _Part(NamedTuple):
    """One part of the usage that is priced by itself. `key` is the same for the same part of less of the usage."""

    key: Hashable
    name: str
    usage: Pool
    rates: Rates


def priced(charge: Charge, usage: Pool, earlier: Pool | None = None, used_before: Decimal | None = None) -> Priced:
    """Return what a charge's usage costs. Raises Missing, and NotPriced.

    `earlier` is the beginning of the usage that other prices were asked for: it climbs the tiers and is not charged
    again, rate(all) − rate(earlier). `used_before` is, in priced units, what earlier periods used of cumulative tiers.
    """
    before = {} if earlier is None else {part.key: part for part in _parts(charge, earlier)}
    counted = quantity = owed = short = NOTHING
    steps: list[Step] = []
    short_steps: list[Step] = []
    for part in _parts(charge, usage):
        all_of_it = _measured(charge, part.usage, part.rates)
        found = cost_of(part.rates, all_of_it, used_before or ZERO)
        units = Ratio(all_of_it.measure.quantity, all_of_it.denominator)
        of_this = all_of_it.counted
        less = before.get(part.key)
        if less is not None:
            begun = _measured(charge, less.usage, part.rates)
            begun_units = Ratio(begun.measure.quantity, begun.denominator)
            found = _without(
                found, cost_of(part.rates, begun, used_before or ZERO), begun_units, "at the earlier price"
            )
            of_this, units = of_this.minus(begun.counted), units.minus(begun_units)
        elif used_before is not None:
            nothing = Measured(NOTHING, Measure(ZERO), ONE)
            already = cost_of(part.rates, nothing, used_before)
            found = _without(found, already, Ratio(used_before), "in earlier periods")
        if part.name:  # quotients of parts have no common denominator; what was counted is only told
            of_this = Ratio(of_this.shown())
        counted, quantity = counted.plus(of_this), quantity.plus(units)
        owed, short = owed.plus(found.owed), short.plus(found.short)
        steps += _named(found.steps, part.name)
        short_steps += _named(found.short_steps, part.name)
    cost = Cost(tuple(steps), owed, tuple(short_steps), short)
    return Priced(counted, quantity, cost if charge.custom_unit is None else _worth(cost, charge.custom_unit))


def _worth(cost: Cost, unit: CustomUnit) -> Cost:
    """Return in money what costs so many of a unit."""
    return Cost(
        unit.priced(cost.steps) if cost.steps else (),
        Ratio(cost.owed.numerator * unit.rate, cost.owed.denominator),
        unit.priced(cost.short_steps) if cost.short_steps else (),
        Ratio(cost.short.numerator * unit.rate, cost.short.denominator),
    )


def _parts(charge: Charge, usage: Pool) -> Iterator[_Part]:
    """Yield the parts of a charge's usage in order: one, unless it is priced by parts or by hours of the day."""
    if not charge.each and not charge.schedule:
        yield _Part(None, "", usage, charge.rates)
        return
    found: list[tuple[Hashable, int, str, Pool]] = []
    for number, pool in _by_slot(charge, usage).items():
        slot = str(charge.schedule[number]) if number >= 0 else "other hours" if charge.schedule else ""
        if not charge.each:
            found.append((number, number, slot, pool))
            continue
        for key, (name, part) in pool.split(charge.each).items():
            by_time = {"hour", "window", "event"} & set(charge.each)
            found.append((key, number, name if by_time or not slot else f"{name} {slot}", part))
    found += _unused(charge, usage, {key for key, *_ in found})
    for key, number, name, pool in sorted(found, key=lambda item: (item[0], item[1])):
        yield _Part((key, number), name, pool, _rates(charge, number))


def _unused(charge: Charge, usage: Pool, used: Collection[Hashable]) -> Iterator[tuple[Hashable, int, str, Pool]]:
    """Yield the hours or days without usage that are committed all the same."""
    commitments = [charge.commitment, *(slot.commitment for slot in charge.schedule)]
    if not any(commitment is not None and commitment.unused_parts for commitment in commitments):
        return
    assert charge.each is not None, "unused parts are hours or days"
    (span,) = charge.each
    slots = _slots(charge)
    for begins in buckets(usage.start, usage.end, span, usage.zone):
        number = slots.get(begins.astimezone(usage.zone).hour, -1)
        commitment = _rates(charge, number).commitment
        key = (begins, "")
        if key not in used and commitment is not None and commitment.unused_parts:
            yield key, number, name_of(begins, span, usage.zone), usage.none()


def _slots(charge: Charge) -> dict[int, int]:
    return {hour: number for number, slot in enumerate(charge.schedule) for hour in slot.hours}


def _by_slot(charge: Charge, usage: Pool) -> dict[int, Pool]:
    """Return the usage by the number of the slot of the schedule that it is in; −1 is all other hours."""
    if not charge.schedule:
        return {-1: usage}
    number_of = _slots(charge)
    found = usage.by(lambda at: number_of.get(at.astimezone(usage.zone).hour, -1))
    if not charge.each:  # what a slot owes without usage is owed
        numbers = range(-1 if len(number_of) < HOURS else 0, len(charge.schedule))
        found = {number: found.get(number) or usage.none() for number in numbers}
    return found


def _rates(charge: Charge, number: int) -> Rates:
    if number < 0:
        return charge.rates
    slot = charge.schedule[number]
    commitment = slot.commitment if "commitment" in slot.model_fields_set else charge.commitment
    return Rates(slot.price or charge.price, charge.included, commitment)


def _measured(charge: Charge, usage: Pool, rates: Rates) -> Measured:
    if charge.prorated:
        found, counted = measure_prorated(usage, charge.convert, charge.prorated)
        return Measured(counted, found, counted.denominator)
    found, counted, denominator = measure(usage, charge.aggregate, charge.convert, rates.price.needs)
    return Measured(counted, found, denominator)


def _without(cost: Cost, less: Cost, units: Ratio, when: str) -> Cost:
    owed = less.owed.shown()
    steps = cost.steps
    if owed:
        told = f"less {plain(owed)} for the {plain(units.shown())} used {when}"
        steps = (*steps, Step(f"used {when}", -owed, text=told))
    return cost._replace(steps=steps, owed=cost.owed.minus(less.owed))


def _named(steps: Sequence[Step], name: str) -> Sequence[Step]:
    if not name:
        return steps
    return [step._replace(part=f"{name}, {step.part}" if step.part else name) for step in steps]
