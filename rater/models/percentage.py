"""percentage: a share of the value of every event, with a fixed part, limits for each event, and an allowance."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, model_validator

from schemas.prices import Measure, Needs, Number, PriceModel, Step, plain

ZERO: Final = Decimal(0)
SHOWN: Final = 20
"""Up to so many events are steps of their own; more are summed by what was done to them."""


class _Charged(NamedTuple):
    """One event: the value that is charged, what it costs, and why so ("" is the percentage and the fixed part)."""

    value: Decimal
    amount: Decimal
    why: Literal["", "free", "minimum", "maximum"]


class Percentage(PriceModel):
    """Σ over the events of clamp(value × percent ÷ 100 + fixed_per_event), between the two limits for an event.

    The first `free_events` events cost nothing, as long as their values sum to no more than `free_total`: the allowance
    ends when either is passed. Of the event that passes `free_total` the rest is charged. Values that sum to zero owe
    nothing, whatever is fixed.
    """

    model: Literal["percentage"]
    percent: Number
    fixed_per_event: Number = ZERO
    per_event_minimum: Number | None = None
    per_event_maximum: Number | None = None
    free_events: Annotated[int, Field(ge=0)] | None = None
    free_total: Number | None = None

    @model_validator(mode="after")
    def _limits(self) -> "Percentage":
        low, high = self.per_event_minimum, self.per_event_maximum
        if low is not None and high is not None and low > high:
            raise ValueError(f"per_event_minimum {plain(low)} is above per_event_maximum {plain(high)}")
        return self

    @property
    def needs(self) -> Needs:
        """Return whether every event is asked for, or their number or their sum is enough."""
        if self.free_events is not None or self.per_event_minimum is not None or self.per_event_maximum is not None:
            return "events"
        if self.fixed_per_event:
            return "events" if self.free_total is not None else "count"
        return "quantity"

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the steps of one value, as if it were one event."""
        return self.price(Measure(quantity, 1, (quantity,)))

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return the steps of the events, in their order."""
        if not measure.quantity:
            return ()
        if self.needs != "events":
            return self._of_sums(measure)
        charged = list(self._charged(measure.values))
        if len(charged) <= SHOWN:
            return tuple(self._step(found) for found in charged)
        return tuple(self._summed(charged))

    def _of_sums(self, measure: Measure) -> tuple[Step, ...]:
        free = min(measure.quantity, self.free_total or ZERO)
        steps = [Step("free", ZERO, free)] if free else []
        if rest := measure.quantity - free:
            rate = self.percent.scaleb(-2)
            steps.append(Step("", rest * rate, rest, rate))
        if self.fixed_per_event:
            count = Decimal(measure.events)
            steps.append(Step("events", count * self.fixed_per_event, count, self.fixed_per_event))
        return tuple(steps)

    def _charged(self, values: Sequence[Decimal]) -> Iterator[_Charged]:
        free = self.free_events is not None or self.free_total is not None
        before = ZERO
        for number, value in enumerate(values, 1):
            if free and self.free_events is not None and number > self.free_events:
                free = False
            left = value
            if free and self.free_total is not None and before + value > self.free_total:
                free, left = False, before + value - self.free_total
            before += value
            yield _Charged(value, ZERO, "free") if free else self._clamped(left)

    def _clamped(self, value: Decimal) -> _Charged:
        amount = value * self.percent.scaleb(-2) + self.fixed_per_event
        if self.per_event_minimum is not None and amount < self.per_event_minimum:
            return _Charged(value, self.per_event_minimum, "minimum")
        if self.per_event_maximum is not None and amount > self.per_event_maximum:
            return _Charged(value, self.per_event_maximum, "maximum")
        return _Charged(value, amount, "")

    def _step(self, found: _Charged) -> Step:
        if found.why == "free":
            return Step("free", ZERO, found.value)
        told = f"{plain(found.value)} × {plain(self.percent)} %"
        if self.fixed_per_event:
            told += f" + {plain(self.fixed_per_event)}"
        told += f", {found.why} {plain(found.amount)}" if found.why else f" = {plain(found.amount)}"
        return Step("", found.amount, found.value, text=told)

    def _summed(self, charged: Sequence[_Charged]) -> Iterator[Step]:
        for why in ("free", "", "minimum", "maximum"):
            these = [found for found in charged if found.why == why]
            if not these:
                continue
            count, value = Decimal(len(these)), sum((found.value for found in these), ZERO)
            amount = sum((found.amount for found in these), ZERO)
            if why == "free":
                yield Step(f"free ({plain(count)} events)", ZERO, value)
            elif why:
                yield Step(f"events at the {why}", amount, count, these[0].amount)
            else:
                told = f"{plain(value)} × {plain(self.percent)} %"
                if self.fixed_per_event:
                    told += f" + {plain(count)} events × {plain(self.fixed_per_event)}"
                yield Step("", amount, value, text=f"{told} = {plain(amount)}")
