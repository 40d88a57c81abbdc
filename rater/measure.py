"""Measuring: from the usage of a charge to the quantity that it prices, by the aggregation that it asks for."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, model_validator

from rater.pool import Missing, Pool
from rater.spans import bucket
from schemas.money import steps_in
from schemas.prices import PLACES, STRICT, Conversion, Measure, Needs, Prorated

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
FINE: Final = ONE.scaleb(-PLACES)
_TICK: Final = dt.timedelta(microseconds=1)

Function = Literal[
    "sum", "count", "max", "min", "latest", "unique_count", "average", "weighted_sum", "sum_of_max", "sum_of_latest"
]
QUOTIENTS: Final = frozenset({"average", "weighted_sum"})
"""Functions whose quantity may be a fraction that never ends."""
LEVELS: Final = frozenset({"latest", "weighted_sum"})
"""Functions of a level, which an event sets or changes and which goes on until the next."""
BY_EVENT: Final = frozenset({"min", "latest", "unique_count", "weighted_sum", "sum_of_latest"})
"""Functions that have to see every event."""


class Aggregation(BaseModel):
    """How a period's usage becomes one quantity.

    - sum (of quantities), count (of events), average (sum ÷ count), max and min (largest and smallest quantity of an
      event; 0 of none);
    - latest: the quantity of the last event by event time; sum_of_latest: that of each value, summed;
    - unique_count: how many values there are, whatever repeats;
    - weighted_sum: levels × the part of the period for which each holds, from the level that the account brings;
    - sum_of_max: the largest quantity of each `window` (and, with `by_group`, of each group in it), summed.

    `of: amount` counts the money that events carry in place of their quantity. With `changes` an event's quantity is
    what the level changes by, and not the level.
    """

    model_config = STRICT

    function: Function = "sum"
    of: Literal["quantity", "amount"] = "quantity"
    changes: bool = False
    window: Literal["window", "hour", "day"] = "window"
    by_group: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "Aggregation":
        if self.changes and self.function not in LEVELS:
            raise ValueError(f"changes belongs to a level (latest, weighted_sum), not to {self.function}")
        if self.model_fields_set & {"window", "by_group"} and self.function != "sum_of_max":
            raise ValueError(f"window and by_group belong to sum_of_max, not to {self.function}")
        if self.of == "amount" and self.function not in ("sum", "average"):
            raise ValueError(f"of: amount belongs to sum and average, not to {self.function}")
        return self


def _spelled_out(value: Any) -> Any:
    return {"function": value} if isinstance(value, str) else value


AnyAggregation = Annotated[Aggregation, BeforeValidator(_spelled_out, json_schema_input_type=Aggregation | Function)]
"""An aggregation, or the name of a function alone."""


class Ratio(NamedTuple):
    """An exact quotient; the denominator is above zero. Arithmetic with it happens inside `exact()`."""

    numerator: Decimal
    denominator: Decimal = ONE

    def minus(self, other: "Ratio") -> "Ratio":
        """Return the difference."""
        if self.denominator == other.denominator:
            return Ratio(self.numerator - other.numerator, self.denominator)
        return Ratio(
            self.numerator * other.denominator - other.numerator * self.denominator,
            self.denominator * other.denominator,
        )

    def plus(self, other: "Ratio") -> "Ratio":
        """Return the sum."""
        if self.denominator == other.denominator:
            return Ratio(self.numerator + other.numerator, self.denominator)
        return self.minus(Ratio(-other.numerator, other.denominator))

    def shown(self) -> Decimal:
        """Return the quotient to PLACES digits after the point: itself, wherever it ends by then."""
        if self.denominator == ONE:
            return self.numerator
        return steps_in(self.numerator, FINE * self.denominator, "half_even") * FINE

    def ended(self) -> "Ratio":
        """Return the same quotient over 1 where it ends within PLACES digits."""
        shown = self.shown()
        return Ratio(shown) if shown * self.denominator == self.numerator else self


def aggregate(pool: Pool, by: Aggregation) -> Ratio:
    """Return the quantity of a pool, in counted units. Raises Missing."""
    if by.of == "amount":
        total = money(pool)
        return Ratio(total) if by.function == "sum" else _average(total, pool)
    match by.function:
        case "sum":
            return Ratio(pool.quantity)
        case "count":
            return Ratio(Decimal(pool.number()))
        case "max":
            return Ratio(_largest(pool))
        case "min":
            return Ratio(min((Decimal(event.quantity) for event in pool.every()), default=ZERO))
        case "average":
            return _average(pool.quantity, pool)
        case "latest":
            return Ratio(_latest(pool, changes=by.changes))
        case "unique_count":
            return Ratio(Decimal(len({event.value for event in pool.every() if event.value})))
        case "sum_of_latest":
            return Ratio(sum({event.value: Decimal(event.quantity) for event in pool.every()}.values(), ZERO))
        case "weighted_sum":
            return _weighted(pool, changes=by.changes)
        case "sum_of_max":
            parts = pool.split((by.window, "group") if by.by_group else (by.window,))
            return Ratio(sum((_largest(part) for _, part in parts.values()), ZERO))


def money(pool: Pool) -> Decimal:
    """Return the money that the events of a pool carry. Raises Missing."""
    return sum(_amounts(pool), ZERO)


def measure(pool: Pool, by: Aggregation, convert: Conversion | None, needs: Needs) -> tuple[Measure, Ratio, Decimal]:
    """Return what a model prices, the counted quantity before it was converted, and a denominator. Raises Missing.

    The denominator is of the measure's quantity: above 1 where that is a quotient that does not end.
    """
    counted = aggregate(pool, by)
    if needs == "events":
        values = tuple(converted(value, convert) for value in _values(pool, by))
        return Measure(sum(values, ZERO), len(values), values), counted, ONE
    if needs == "groups":
        groups = {dimensions: converted(quantity, convert) for dimensions, quantity in _groups(pool, by).items()}
        return Measure(sum(groups.values(), ZERO), pool.events, groups=groups), counted, ONE
    units = converted_ratio(counted, convert)
    events = pool.number() if needs == "count" else pool.events
    found = Measure(units.numerator, events, amount=money(pool) if needs == "amount" else ZERO)
    return found, counted, units.denominator


def converted(quantity: Decimal, convert: Conversion | None) -> Decimal:
    """Return priced units of counted ones."""
    return quantity if convert is None else convert.convert(quantity)


def converted_ratio(counted: Ratio, convert: Conversion | None) -> Ratio:
    """Return priced units of a counted quantity that may be a quotient; a rounding makes it end."""
    if counted.denominator == ONE:
        return Ratio(converted(counted.numerator, convert))
    if convert is None:
        return counted
    numerator, denominator = (
        counted.numerator * (convert.multiply or ONE),
        counted.denominator * (convert.divide or ONE),
    )
    if convert.round is None:
        return Ratio(numerator, denominator).ended()
    return Ratio(steps_in(numerator, denominator * convert.round.to, convert.round.mode) * convert.round.to)


def measure_prorated(pool: Pool, convert: Conversion | None, unit: Literal["days", "seconds"]) -> tuple[Measure, Ratio]:
    """Return usage that counts from its event to the end of the pool, and the full quantity. Raises Missing.

    Events change a level: the one that the account brings counts from the pool's start. By days the day of the event
    counts, as the day of any change belongs to what is new. What counts is a part of the anchored period: in a stub of
    it, and until a price changes, no usage counts in full.
    """
    first, last = pool.whole or (pool.start, pool.end)
    whole = _parts_of_time(bucket(first, "day", pool.zone) if unit == "days" else first, last, unit, pool.zone)
    uses: list[Prorated] = []
    for at, quantity in ((pool.start, pool.level), *((event.at, Decimal(event.quantity)) for event in pool.every())):
        rest = _parts_of_time(bucket(at, "day", pool.zone) if unit == "days" else at, pool.end, unit, pool.zone)
        full = converted(quantity, convert)
        if full:
            uses.append(Prorated(full * whole, full * min(rest, whole)))
    counted = sum((use.counted for use in uses), ZERO)
    return Measure(counted, prorated=tuple(uses)), Ratio(counted, whole)


def _parts_of_time(start: dt.datetime, end: dt.datetime, unit: Literal["days", "seconds"], zone: dt.tzinfo) -> Decimal:
    if unit == "days":
        return Decimal((end.astimezone(zone).date() - start.astimezone(zone).date()).days)
    return Decimal((end - start) // _TICK)


def _average(total: Decimal, pool: Pool) -> Ratio:
    count = pool.number()
    return Ratio(total, Decimal(count)).ended() if count else Ratio(total)


def _largest(pool: Pool) -> Decimal:
    if pool.kept:
        return max(Decimal(event.quantity) for event in pool.every())
    if pool.quantity and not pool.maximum:
        raise Missing("needs_parts", "usage is given without its largest quantity")
    return pool.maximum


def _latest(pool: Pool, *, changes: bool) -> Decimal:
    events = pool.every()
    if changes:
        return pool.level + sum((Decimal(event.quantity) for event in events), ZERO)
    return Decimal(events[-1].quantity) if events else pool.level


def _weighted(pool: Pool, *, changes: bool) -> Ratio:
    area, level, since = ZERO, pool.level, pool.start
    for event in pool.every():
        area += level * ((event.at - since) // _TICK)
        level = level + Decimal(event.quantity) if changes else Decimal(event.quantity)
        since = event.at
    area += level * ((pool.end - since) // _TICK)
    return Ratio(area, Decimal(pool.length // _TICK)).ended()


def _amounts(pool: Pool) -> list[Decimal]:
    amounts = [event.amount for event in pool.every()]
    if None in amounts:
        raise Missing("needs_amount", f"{amounts.count(None)} of {len(amounts)} events carry no amount")
    return [amount for amount in amounts if amount is not None]


def _values(pool: Pool, by: Aggregation) -> list[Decimal]:
    return _amounts(pool) if by.of == "amount" else [Decimal(event.quantity) for event in pool.every()]


def _groups(pool: Pool, by: Aggregation) -> dict[str, Decimal]:
    groups: dict[str, Decimal] = {}
    if by.of == "amount":
        for event, amount in zip(pool.every(), _amounts(pool), strict=True):
            groups[event.dimensions] = groups.get(event.dimensions, ZERO) + amount
    else:
        for part in pool.pieces("needs_groups"):
            groups[part.dimensions] = groups.get(part.dimensions, ZERO) + Decimal(part.quantity)
    return dict(sorted(groups.items()))
