"""Fees: which parts of which fees fall due in a statement, each a line of its own."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal

from rater.book import Charge, PlanVersion
from rater.contract import Signed
from rater.models.flat import Flat
from rater.proration import WHOLE, Part, Price, Stretch, in_advance, in_arrears
from rater.segments import Segment
from schemas.cycle import Cycle

_DAY = dt.timedelta(days=1)
_YEAR = dt.timedelta(days=366)
"""A fee that ended longer ago is settled: the longest interval is a year."""


def fees(
    through: Sequence[Segment],
    covered: Stretch,
    segments: Callable[[Stretch], Sequence[Segment]],
    earlier: Callable[[Stretch], Iterable[tuple[Signed, PlanVersion]]],
) -> tuple[dict[str, tuple[Part, ...]], dict[str, Charge]]:
    """Return, by charge id, the parts of fees that are due in the days that `through` covers, in order.

    `covered` is how far the contracts reach without a gap, and `segments` gives those of any stretch in it: a year's
    fee asks for more than a month's statement. `earlier` gives the plan versions of a stretch: a fee that they had and
    the plan has no more may still be due, and these fees are returned as charges of their own. A fee of which nothing
    is due has no parts.
    """
    asked = Stretch(through[0].stretch.first, through[-1].stretch.after)
    found: dict[str, tuple[Part, ...]] = {}
    known, ended = _fees(through), dict[str, Charge]()
    for id_, (fee, segment) in _ended(known, asked, covered, segments, earlier).items():
        known[id_] = fee, segment
        ended[id_] = Charge(name=segment.charges[id_].name, price=fee)
    for id_, (fee, segment) in known.items():
        if fee.one_time:
            found[id_] = tuple(_once(id_, through))
            continue
        signed = segment.signed
        cycle = signed.contract.billing.cycle(signed.begins, fee.interval)
        parts: list[Part] = []
        for period in _periods(cycle, asked, covered):
            if fee.in_advance:
                seen = Stretch(max(period.first, asked.first - _DAY), min(period.after, asked.after))
                prices = _prices(id_, seen, asked, through, segments)
                parts += in_advance(cycle, prices, fee.prorate, period.after, asked)
            elif period.after <= asked.after:
                prices = _prices(id_, period, asked, through, segments)
                parts += in_arrears(cycle, prices, fee.prorate)
        found[id_] = tuple(parts)
    return found, {id_: charge for id_, charge in ended.items() if found[id_]}


def _ended(
    known: Collection[str],
    asked: Stretch,
    covered: Stretch,
    segments: Callable[[Stretch], Sequence[Segment]],
    earlier: Callable[[Stretch], Iterable[tuple[Signed, PlanVersion]]],
) -> dict[str, tuple[Flat, Segment]]:
    """Return the fees that have ended before the days asked for and whose periods have not.

    Where a fee's periods are the statements' there is none, and nobody has to know what held so long ago.
    """
    year = Stretch(max(covered.first, asked.first - _YEAR), asked.first)
    begins: dict[str, dt.date] = {}
    for signed, version in earlier(year):
        for id_, charge in version.charges.items():
            fee = _fee(charge)
            if fee is None or fee.one_time or id_ in known:
                continue
            cycle = signed.contract.billing.cycle(signed.begins, fee.interval)
            if signed.contract.reprices:  # it may have said another interval
                begins[id_] = year.first
            elif cycle != signed.cycle:
                begins[id_] = min(begins.get(id_, asked.first), max(covered.first, cycle.whole(asked.first)[0]))
    first = min(begins.values(), default=asked.first)
    if first == asked.first:
        return {}
    found = _fees(segments(Stretch(first, asked.first)))
    return {id_: found[id_] for id_ in begins if id_ in found}


def _fees(through: Sequence[Segment]) -> dict[str, tuple[Flat, Segment]]:
    """Return every fee with the last segment that has it, which says how it is paid."""
    found: dict[str, tuple[Flat, Segment]] = {}
    for segment in through:
        for id_, charge in segment.charges.items():
            fee = _fee(charge)
            if fee is not None:
                found[id_] = fee, segment
    return found


def _fee(charge: Charge | None) -> Flat | None:
    if charge is None:
        return None
    return charge.price if isinstance(charge.price, Flat) else charge.fee


def _once(id_: str, through: Sequence[Segment]) -> list[Part]:
    """Return a one-time fee where the contract begins in the segment; a later price of it finds it paid."""
    found = []
    for segment in through:
        fee, begins = _fee(segment.charges.get(id_)), segment.signed.begins
        if fee is not None and segment.stretch.first <= begins < segment.stretch.after:
            found.append(Part("fee", fee.amount, WHOLE, Stretch(begins, begins + _DAY), "", segment.effective))
    return found


def _periods(cycle: Cycle, asked: Stretch, covered: Stretch) -> list[Stretch]:
    """Return the fee's periods that have a day asked for, as far as the contracts reach."""
    found = []
    first = asked.first
    while first < asked.after:
        whole = Stretch(*cycle.whole(first))
        found.append(whole.common(covered))
        first = whole.after
    return found


def _prices(
    id_: str,
    stretch: Stretch,
    asked: Stretch,
    through: Sequence[Segment],
    segments: Callable[[Stretch], Sequence[Segment]],
) -> list[Price]:
    inside = stretch.first >= asked.first and stretch.after <= asked.after
    prices = []
    for segment in through if inside else segments(stretch):
        days = segment.stretch.common(stretch)
        if days.days:
            free_until = _free_until(id_, segment)
            prices.append(Price(days, _amount(segment.charges.get(id_)), segment.effective, free_until))
    return prices


def _amount(charge: Charge | None) -> Decimal | None:
    fee = _fee(charge)
    return None if fee is None else fee.amount


def _free_until(id_: str, segment: Segment) -> dt.date:
    """Return the day after the trial of a fee, by the contract that holds in the segment."""
    trial = segment.contract.trial
    if trial is None or (trial.free is not None and id_ not in trial.free):
        return dt.date.min
    return trial.end(segment.signed.begins)
