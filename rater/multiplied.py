"""A price times a factor, whatever its model: what a contract agrees as `multiply`."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar, Final

from rater.memo import Memo
from rater.models.flat import Flat
from schemas.money import exact
from schemas.prices import Measure, Needs, PriceModel, Step, plain

ONE: Final = Decimal(1)


class Multiplied(PriceModel):
    """Another price, whose every amount counts `factor` times. It stands in no price book: contracts make it."""

    base: PriceModel
    factor: Decimal

    @property
    def needs(self) -> Needs:
        """Return what the price that is multiplied needs."""
        return self.base.needs

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the steps of the price, multiplied."""
        return self._times(self.base.steps(quantity))

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return the steps of the price, multiplied."""
        return self._times(self.base.price(measure))

    def tariff(self) -> Callable[[Decimal], Decimal]:
        """Return that of the price, multiplied."""
        factor = self.factor
        amount = _TARIFFS.get((self.base,), None, self.base.tariff)
        return lambda quantity: amount(quantity) * factor

    def scaled(self, factor: Decimal) -> PriceModel | None:
        """Return the same multiple of the price scaled; None where that has none."""
        base = self.base.scaled(factor)
        return None if base is None else self.model_copy(update={"base": base})

    def _times(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(self._step(step) for step in steps)

    def _step(self, step: Step) -> Step:
        if not step.amount:  # what is included or free stays so
            return step
        amount = step.amount * self.factor
        told = f"{step._replace(part='')} × {plain(self.factor)} = {plain(amount)}"
        price = None if step.price is None else step.price * self.factor
        return step._replace(amount=amount, price=price, text=told)


class _MultipliedProrated(Multiplied):
    prorates: ClassVar[bool] = True


def multiplied(price: PriceModel, factor: Decimal) -> PriceModel:
    """Return the price whose every amount is `factor` times that of another, exactly."""
    return price if factor == ONE else _MADE.get((price,), factor, lambda: _multiplied(price, factor))


# Contracts by the thousand agree on the same discount of the same prices, or on discounts of their own of them.
_MADE: Final[Memo[PriceModel]] = Memo()
_TARIFFS: Final[Memo[Callable[[Decimal], Decimal]]] = Memo()


def _multiplied(price: PriceModel, factor: Decimal) -> PriceModel:
    if isinstance(price, Flat):
        with exact():
            return price.model_copy(update={"amount": price.amount * factor})
    return (_MultipliedProrated if price.prorates else Multiplied)(base=price, factor=factor)
