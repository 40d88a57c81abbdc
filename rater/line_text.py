"""Lines of counted charges as JSON text, made without the values in between: most of what is kept of a statement.

    charge, terms ──► LineText: every part of the text that no usage changes ──► text(line): the few numbers put in

The text is, byte for byte, that of `rater.render.line_document` in compact JSON. A line that this has no short way for
has none here (None), and goes the long way. A property test holds the two together.
"""

import datetime as dt
import json
from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from rater.book import Charge
from rater.models.graduated import Graduated
from rater.models.per_unit import PerUnit
from rater.shown import instant
from schemas.prices import Conversion, PriceModel, Step, plain
from schemas.statements import MOST_TOLD, CategoryUsage, Line

ZERO: Final = Decimal(0)

Texts = tuple[str, str] | None
"""Steps as JSON objects with commas between, and in words as JSON writes a string; None where there are too many."""


class LineText:
    """The text of the lines of one charge under terms, from the day on from which its price holds."""

    __slots__ = ("_after_steps", "_after_usage", "_conversion", "_head", "_included", "_places", "_price", "_unit")

    def __init__(self, id_: str, charge: Charge, unit: str, effective: dt.date) -> None:
        self._head = f'{{"charge":{quoted(id_)},"quantity":"'
        self._unit = f'","unit":{quoted(unit)},"usage":{{'
        self._places = tuple((category, f'{quoted(category)}:{{"quantity":"') for category in charge.counted)
        self._after_usage = f'}},"price_from":"{effective.isoformat()}","conversion":"'
        self._conversion = None if charge.convert is None else _around(charge.convert, charge.unit)
        self._included = None if not charge.included else _Included.of(charge.included)
        self._price = _texts_of(charge.price)

    def of(self, line: Line) -> str | None:
        """Return a line that the charge made as JSON without its closing brace. Call it inside `exact()`."""
        units = line.quantity
        if units < ZERO:
            return None
        quantity, quantity_told = both(units)
        usage = line.usage
        uses = ",".join([f"{place}{_use(usage[category])}" for category, place in self._places])
        conversion = told = ""
        if self._conversion is not None:
            between, after = self._conversion
            counted = sum([Decimal(use.quantity) for use in usage.values()], ZERO)
            conversion = told = f"{both(counted)[1]}{between}{quantity_told}{after}"
        steps = ""
        if self._included is not None and units:
            steps, words = self._included.texts(units, quantity, quantity_told)
            told = f"{told}; {words}" if told else words
            units = max(units - self._included.quantity, ZERO)
        priced = self._price(units)
        if priced is None:
            return None
        more, words = priced
        if more:
            steps = f"{steps},{more}" if steps else more
        if words:
            told = f"{told}; {words}" if told else words
        return (
            f"{self._head}{quantity}{self._unit}{uses}{self._after_usage}{conversion}"
            f'","steps":[{steps}],"exact":"{both(line.exact)[0]}","explanation":"{told}"'
        )


class _Included(NamedTuple):
    """What is included: the quantity, and the texts where all of it is used or a part of it."""

    quantity: Decimal
    whole: tuple[str, str]
    part: tuple[str, str]

    @classmethod
    def of(cls, quantity: Decimal) -> "_Included":
        what = escaped(f"of {plain(quantity)} included")
        whole = Step("included", ZERO, quantity)
        return cls(quantity, (step_json(whole), escaped(str(whole))), (f'{{"what":"{what}","quantity":"', f" {what}"))

    def texts(self, units: Decimal, number: str, told: str) -> tuple[str, str]:
        """Return the texts of the step that takes included units off."""
        if units >= self.quantity:
            return self.whole
        before, after = self.part
        return f'{before}{number}","price":null,"amount":"0"}}', f"{told}{after}"


def _around(convert: Conversion, unit: str) -> tuple[str, str]:
    """Return what a conversion says between the two quantities and after them."""
    after = f" {convert.unit}".rstrip()
    text = convert.explain(ZERO, ZERO, unit)
    return escaped(text.removeprefix("0").removesuffix(f"0{after}")), escaped(after)


# ---- steps ----


def _texts_of(price: PriceModel) -> Callable[[Decimal], Texts]:
    """Return the function from a quantity (≥ 0) to the texts of its steps."""
    if type(price) is PerUnit:
        return _per_unit(price)
    if type(price) is Graduated and 2 * len(price.tiers) < MOST_TOLD:
        return _graduated(price)
    steps = price.steps

    def texts(quantity: Decimal) -> Texts:
        found = steps(quantity)
        if len(found) >= MOST_TOLD:  # an included quantity may be one step more
            return None
        return ",".join([step_json(step) for step in found]), "; ".join([escaped(str(step)) for step in found])

    return texts


def _per_unit(price: PerUnit) -> Callable[[Decimal], Texts]:
    unit_amount = price.unit_amount
    priced, told = _at(unit_amount)

    def texts(quantity: Decimal) -> Texts:
        if not quantity:
            return "", ""
        number, words = both(quantity)
        amount, amount_told = both(quantity * unit_amount)
        return f'{{"what":"","quantity":"{number}{priced}{amount}"}}', f"{words}{told}{amount_told}"

    return texts


class _Rung(NamedTuple):
    """A tier: the bound before it, its price, and the texts of the tiers below, of its price and of its fee."""

    bottom: Decimal
    unit_amount: Decimal
    below: str
    below_told: str
    priced: str
    told: str
    fee: str
    fee_told: str


def _graduated(price: Graduated) -> Callable[[Decimal], Texts]:
    """Return the texts by the tier that is reached: of the tiers below it they are always the same."""
    bounds = [tier.up_to for tier in price.tiers if tier.up_to is not None]
    rungs: list[_Rung] = []
    for tier, bottom in zip(price.tiers, [ZERO, *bounds], strict=True):
        below = price.steps(bottom) if bottom else ()
        fee = (Step("tier fee", tier.flat_amount),) if tier.flat_amount else ()
        rungs.append(
            _Rung(
                bottom,
                tier.unit_amount,
                "".join(f"{step_json(step)}," for step in below),
                "".join(f"{escaped(str(step))}; " for step in below),
                *_at(tier.unit_amount),
                "".join(f",{step_json(step)}" for step in fee),
                "".join(f"; {escaped(str(step))}" for step in fee),
            )
        )

    def texts(quantity: Decimal) -> Texts:
        rung = rungs[bisect_left(bounds, quantity)]
        bottom, unit_amount, below, below_told, priced, told, fee, fee_told = rung
        part = quantity - bottom
        if not part:  # nothing was used: only the first tier is entered
            return fee.removeprefix(","), fee_told.removeprefix("; ")
        number, words = both(part)
        amount, amount_told = both(part * unit_amount)
        return (
            f'{below}{{"what":"","quantity":"{number}{priced}{amount}"}}{fee}',
            f"{below_told}{words}{told}{amount_told}{fee_told}",
        )

    return texts


def _at(unit_amount: Decimal) -> tuple[str, str]:
    number, told = both(unit_amount)
    return f'","price":"{number}","amount":"', f" × {told} = "


def step_json(step: Step) -> str:
    """Return a step as `rater.render` has it, in compact JSON."""
    quantity = "null" if step.quantity is None else f'"{both(step.quantity)[0]}"'
    price = "null" if step.price is None else f'"{both(step.price)[0]}"'
    part = f',"part":{quoted(step.part)}' if step.part else ""
    text = f',"text":{quoted(step.text)}' if step.text else ""
    amount = both(step.amount)[0]
    return f'{{"what":{quoted(step.what)},"quantity":{quantity},"price":{price},"amount":"{amount}"{part}{text}}}'


# ---- values ----

quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
"""A string as JSON."""


def escaped(text: str) -> str:
    """Return what stands between the quotes; JSON escapes character by character, so that parts may be put together."""
    return quoted(text)[1:-1]


def both(value: Decimal) -> tuple[str, str]:
    """Return a decimal without and with separators: as `_number` of `rater.render` and as `plain` write it."""
    told = f"{value:,f}"
    if "." in told:
        told = told.rstrip("0").rstrip(".")
    return told.replace(",", ""), told


def _use(use: CategoryUsage) -> str:
    quantity, first, last = use.quantity, use.first_window, use.last_window
    number = str(quantity) if type(quantity) is int else both(Decimal(quantity))[0]
    return f'{number}","first_window":{_window(first)},"last_window":{_window(last)}}}'


def _window(when: dt.datetime | None) -> str:
    if when is None:
        return "null"
    # Of another zone's two hours with the same name, Python says that they are equal: only UTC is looked up.
    return _utc(when) if when.tzinfo is dt.UTC else f'"{instant(when)}"'


@lru_cache(maxsize=1 << 16)
def _utc(when: dt.datetime) -> str:
    return f'"{instant(when)}"'
