"""What of a charge does not fit together, in words; asked once, where a price book or an override is read."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rater.measure import BY_EVENT, LEVELS, QUOTIENTS
from rater.options import Commitment
from schemas.money import exact
from schemas.prices import PriceModel

if TYPE_CHECKING:
    from rater.book import Charge

OF_A_FEE: Final = frozenset({"name", "unit", "price", "adjustments", "zone"})
SPANS: Final = frozenset({"hour", "day", "window"})


def misfit(charge: "Charge") -> str:
    """Return the first thing that does not fit; '' where everything does."""
    if charge.price.per_period:
        extra = sorted(name for name in charge.model_fields_set - OF_A_FEE if getattr(charge, name) not in (None, []))
        return f"a fee for the period counts nothing: drop {', '.join(extra)}" if extra else ""
    return next(_misfits(charge), "")


def _misfits(charge: "Charge") -> Iterator[str]:
    if charge.category is not None and charge.categories is not None:
        yield "give category or categories, not both"
    if not charge.counted:
        yield "say which category the price is for"
    if len(set(charge.counted)) != len(charge.counted):
        yield "a category stands twice"
    if charge.aggregate.function in LEVELS and not charge.aggregate.changes and len(charge.counted) > 1:
        yield f"{charge.aggregate.function} is of one level, and so of one category: say changes, or one category"
    yield from _of_parts(charge)
    yield from _of_quotients(charge)
    if charge.cumulative:
        yield from _of_cumulative(charge)
    if charge.prorated:
        yield from _of_prorated(charge)
    for price in prices_of(charge):
        if price.needs != "quantity":
            yield from _of_events(charge, price)


def _of_parts(charge: "Charge") -> Iterator[str]:
    each = set(charge.each or ())
    if len(each & SPANS) > 1 or len(each) != len(charge.each or ()):
        yield "each names one span of time, beside it a group at most"
    if "event" in each and len(each) > 1:
        yield "each event is a part by itself: drop the others"
    if "window" in each and (
        counts_events(charge) or any(price.needs in ("events", "amount") for price in prices_of(charge))
    ):
        yield "events are not told by window: say each hour or day"
    if each and charge.aggregate.function == "weighted_sum":
        yield "a level over the whole period has no parts: drop each, or weighted_sum"
    if any(found is not None and found.unused_parts for found in _commitments(charge)) and (
        charge.each not in (["hour"], ["day"]) or (charge.schedule and charge.each != ["hour"])
    ):
        yield "unused parts are hours, or days where there is no schedule: say each, or drop unused_parts"
    hours: set[int] = set()
    for slot in charge.schedule:
        if hours & slot.hours:
            yield f"the slot {slot} begins before another one ends"
        hours |= slot.hours


def _of_quotients(charge: "Charge") -> Iterator[str]:
    # A quotient is priced at the price scaled by its denominator: there has to be one, and one denominator.
    function = charge.aggregate.function
    rounded = charge.convert is not None and charge.convert.round is not None
    if not (function in QUOTIENTS or charge.prorated) or rounded:
        return
    what = "prorated usage" if charge.prorated else function
    if any(_scaled(price) is None for price in prices_of(charge)):
        yield f"{what} may be a fraction, which this model cannot price: say how to round it, with convert: {{round}}"
    if charge.each and function in QUOTIENTS:
        yield f"{what} of parts may be a fraction in each: say how to round it, with convert: {{round}}"


def _of_cumulative(charge: "Charge") -> Iterator[str]:
    if charge.each or charge.schedule or charge.prorated:
        yield "cumulative tiers count the whole of the usage: drop each, schedule and prorated"
    if charge.aggregate.function not in ("sum", "count"):
        yield f"cumulative tiers count on from period to period, which {charge.aggregate.function} does not"
    if charge.commitment is not None and charge.commitment.true_up:
        yield "a commitment over several periods has no true-up in each: drop true_up"
    if charge.price.needs != "quantity":
        yield f"{_named(charge.price)} needs more than the quantity that earlier periods leave: drop cumulative"


def _of_prorated(charge: "Charge") -> Iterator[str]:
    if not charge.price.prorates:
        yield f"{_named(charge.price)} has no price for a part of the period: drop prorated"
    if charge.each or charge.schedule or charge.commitment or charge.included is not None:
        yield "prorated usage has no parts, included units or commitment: drop each, schedule, included, commitment"
    if charge.aggregate.function != "sum" or charge.aggregate.of != "quantity":
        yield "prorated usage is a sum of quantities: drop aggregate"
    if charge.convert is not None and charge.convert.round is not None:
        yield "prorated usage is not rounded: drop convert: {round}"


def _of_events(charge: "Charge", price: PriceModel) -> Iterator[str]:
    if charge.aggregate.function != "sum":
        yield f"{_named(price)} prices the events themselves: drop aggregate: {charge.aggregate.function}"
    if charge.included is not None:
        yield f"{_named(price)} does not say which of the usage would be the included: drop included"
    if any(found is not None and found.quantity is not None for found in _commitments(charge)):
        yield f"{_named(price)} has no price of a quantity: commit to an amount"


def prices_of(charge: "Charge") -> list[PriceModel]:
    """Return the price of a charge, and those of its schedule."""
    return [charge.price, *(slot.price for slot in charge.schedule if slot.price is not None)]


def counts_events(charge: "Charge") -> bool:
    """Say whether a charge has to see every event, whatever its price."""
    by = charge.aggregate
    return by.function in BY_EVENT or by.of == "amount" or bool(charge.prorated) or "event" in (charge.each or ())


def _commitments(charge: "Charge") -> list[Commitment | None]:
    return [charge.commitment, *(slot.commitment for slot in charge.schedule)]


def _scaled(price: PriceModel) -> PriceModel | None:
    with exact():
        return price.scaled(Decimal(2))


def _named(price: PriceModel) -> str:
    return f"model {getattr(price, 'model', type(price).__name__)}"
