"""Effective charges: those of a plan version as a contract's overrides, phase and trial leave them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from pydantic import ValidationError

from rater.contract import Contract, Override
from rater.multiplied import multiplied
from schemas.statements import FailureReason

if TYPE_CHECKING:
    from rater.book import Charge, PlanVersion

ZERO: Final = Decimal(0)
About = Literal["included", "commitment", "price"]


class Misfit(NamedTuple):
    """Why a contract's overrides cannot be applied."""

    reason: FailureReason
    detail: str


class Ranked(NamedTuple):
    """An override that holds, with how narrow it is in time: 1 with dates, 2 in a phase, 3 with both."""

    override: Override
    narrow: int


def effective(
    version: "PlanVersion", contract: Contract, plan: str, ranked: Sequence[Ranked], *, trial: bool
) -> "dict[str, Charge] | Misfit":
    """Return a plan version's charges, by id, under the overrides that hold.

    Of those that match a charge the most specific wins: by charge before category before model before plan, and then
    by time. In a `trial` its charges cost nothing, fees apart: they owe nothing for the trial's days.
    """
    charges = dict(version.charges)
    matched: set[int] = set()
    for id_, charge in version.charges.items():
        matching = [item for item in ranked if _matches(item.override, id_, charge, plan)]
        if not matching:
            continue
        matched.update(id(item.override) for item in matching)
        try:
            for about in _ABOUT:
                charges[id_] = _changed(charges[id_], _most_specific(matching, about), about)
        except ValidationError as error:
            told = "; ".join(_told(item) for item in error.errors(include_url=False)[:3])
            return Misfit("override_does_not_fit", f"contract {contract.id} overrides charge {id_} of {plan}: {told}")
        except _AmbiguousError as error:
            one, other = error.args
            return Misfit(
                "override_ambiguous",
                f"contract {contract.id}: two overrides of charge {id_} of plan {plan} are equally specific "
                f"({one.scope()}; {other.scope()})",
            )
    lost = [item.override.scope() for item in ranked if id(item.override) not in matched]
    if lost:
        what = "no charge that this could change"
        return _nothing(contract, version, plan, f"overrides {'; '.join(lost)}, which is {what}")
    free = contract.trial.free if trial and contract.trial is not None and contract.trial.free is not None else []
    unknown = sorted(set(free) - charges.keys())
    if unknown:
        return _nothing(contract, version, plan, f"has a trial of {', '.join(unknown)}, which is no charge")
    for id_ in free:
        if not charges[id_].price.per_period:
            charges[id_] = _multiplied(charges[id_], ZERO, fee=False)
    return charges


def nothing_included(version: "PlanVersion", included: Sequence[str]) -> list[str]:
    """Return those of the charge ids that are no counted charge, of which nothing can be included."""
    fees = {id_ for id_, charge in version.charges.items() if charge.price.per_period}
    return sorted(id_ for id_ in included if id_ in fees or id_ not in version.charges)


# What is included comes first: a price that is multiplied stands in no price book, and would not be judged as one.
_ABOUT: Final[tuple[About, ...]] = get_args(About)


class _AmbiguousError(Exception):
    """Two overrides, equally specific about the same charge."""


def _nothing(contract: Contract, version: "PlanVersion", plan: str, told: str) -> Misfit:
    return Misfit("override_matches_nothing", f"contract {contract.id} {told} of plan {plan} {version.dates()}")


def _matches(override: Override, id_: str, charge: "Charge", plan: str) -> bool:
    # A contract may have an override for each of many charges: the charge is asked first, the price's fields last.
    return (
        override.charge in (None, id_)
        and (override.category is None or override.category in charge.counted)
        and override.model in (None, getattr(charge.price, "model", None))
        and override.plan in (None, plan)
        and (override.prices or not charge.price.per_period)  # of a fee nothing can be included
        and (override.tiers is None or "tiers" in type(charge.price).model_fields)
        and (override.change is None or override.change.keys() <= type(charge.price).model_fields.keys())
    )


def _most_specific(matching: Sequence[Ranked], about: About) -> Override | None:
    speaking = [item for item in matching if _speaks(item.override, about)]
    if not speaking:
        return None
    best = max(map(_specific, speaking))
    found = [item.override for item in speaking if _specific(item) == best]
    if len(found) > 1:
        raise _AmbiguousError(*found[:2])
    return found[0]


def _speaks(override: Override, about: About) -> bool:
    return override.prices if about == "price" else getattr(override, about) is not None


def _specific(item: Ranked) -> tuple[bool, bool, bool, bool, int]:
    override = item.override
    return (
        override.charge is not None,
        override.category is not None,
        override.model is not None,
        override.plan is not None,
        item.narrow,
    )


def _changed(charge: "Charge", override: Override | None, about: About) -> "Charge":
    """Return the charge with what an override says about it. Raises ValidationError where that is no charge."""
    if override is None:
        return charge
    if about != "price":
        return _again(charge, **{about: getattr(override, about)})
    if override.multiply is not None:
        return _multiplied(charge, override.multiply)
    if override.price is not None:
        return _again(charge, price=override.price)
    change = override.change or {"tiers": override.tiers}
    kept = {name: getattr(charge.price, name) for name in charge.price.model_fields_set}
    return _again(charge, price=type(charge.price).model_validate({**kept, **change}))


def _multiplied(charge: "Charge", factor: Decimal, *, fee: bool = True) -> "Charge":
    """Return the charge at so many times its price, at any hour of its schedule, and its `fee` where that is meant."""
    price = multiplied(charge.price, factor)
    schedule = [
        slot if slot.price is None else slot.model_copy(update={"price": multiplied(slot.price, factor)})
        for slot in charge.schedule
    ]
    beside = multiplied(charge.fee, factor) if fee and charge.fee is not None else charge.fee
    copied = charge.model_copy(update={"price": price, "schedule": schedule, "fee": beside})
    for name in copied.__dict__.keys() - type(charge).model_fields.keys():  # what was worked out of the old price
        del copied.__dict__[name]
    return copied


def _again(charge: "Charge", **changes: Any) -> "Charge":
    """Return a charge with other fields, validated as a whole: its fields have to fit each other."""
    kept = {name: getattr(charge, name) for name in charge.model_fields_set}
    return type(charge).model_validate({**kept, **changes})


def _told(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    return (f"{place}: " if place else "") + str(item["msg"]).removeprefix("Value error, ")
