"""Runs: the stretches of a period through which one charge is priced alike, and the usage that falls into each."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from rater.book import Charge
from rater.charge import Priced, priced
from rater.pool import Missing, Pool, pool
from rater.segments import Segment
from schemas.period import Period
from schemas.prices import plain
from schemas.statements import CategoryUsage, FailureReason, OrgUsage

ZERO = Decimal(0)
UNUSED = CategoryUsage(0)


class Run(NamedTuple):
    """A charge from an instant until another; `since` is when it began, at whatever price, `zone` the customer's."""

    charge: Charge
    since: dt.datetime
    start: dt.datetime
    end: dt.datetime
    effective: dt.date
    zone: str


class Off(NamedTuple):
    """Counted units that are used and not billed, in a run and in the earlier ones that it goes on from."""

    here: Decimal = ZERO
    before: Decimal = ZERO


ALL_BILLED: Final = Off()


class Trouble(NamedTuple):
    """Why a category's usage has no price."""

    reason: FailureReason
    category: str
    detail: str


def runs_of(id_: str, segments: tuple[Segment, ...]) -> list[Run]:
    """Return the runs of a charge in order, with no gap between those of one `since`."""
    runs: list[Run] = []
    for segment in segments:
        charge = segment.charges.get(id_)
        if charge is None or charge.price.per_period:
            continue
        before = runs[-1] if runs and runs[-1].end == segment.start else None
        if before is not None and (before.charge is charge or before.charge == charge):
            runs[-1] = before._replace(end=segment.end, effective=segment.effective)
        else:
            since = segment.start if before is None else before.since
            runs.append(Run(charge, since, segment.start, segment.end, segment.effective, segment.contract.zone))
    return runs


def priced_run(
    run: Run,
    usage: OrgUsage,
    period: Period,
    levels: Mapping[str, Decimal],
    used_before: Decimal | None,
    off: Off = ALL_BILLED,
    whole: tuple[dt.datetime, dt.datetime] | None = None,
) -> Priced:
    """Return what the usage of a run costs. Raises Missing, and NotPriced.

    Earlier runs of the same charge have climbed the tiers already: this one is charged for what it adds. What is `off`
    neither costs anything nor climbs; the charge's total alone decides what the rest costs. `whole` is the anchored
    period, where the period is a stub of one.
    """
    uses = [usage.categories.get(category, UNUSED) for category in run.charge.counted]
    level = sum((levels.get(category, ZERO) for category in run.charge.counted), ZERO)
    zone = ZoneInfo(run.charge.zone or run.zone)
    of_period = pool(uses, period.start, period.end, level, zone, whole)
    if run.since > period.start and level:
        raise Missing("needs_account", "the level at which a price that begins inside the period finds it is not known")
    upto = of_period.since(run.since).until(run.end)
    earlier = of_period.since(run.since).until(run.start) if run.start > run.since else None
    if off.here or off.before:
        upto = upto.only(upto.quantity - off.here - off.before)
        earlier = None if earlier is None else earlier.only(earlier.quantity - off.before)
    return priced(run.charge, upto, earlier, used_before if run.charge.cumulative else None)


def used_in(run: Run, usage: OrgUsage, period: Period) -> dict[str, CategoryUsage]:
    """Return the totals of a run, by category. Raises Missing."""
    found = {}
    for category in run.charge.counted:
        use = usage.categories.get(category, UNUSED)
        if run.start <= period.start and run.end >= period.end:
            found[category] = bare(use)
        else:
            found[category] = _between(use, period, run.start, run.end).total()
    return found


def bare(use: CategoryUsage) -> CategoryUsage:
    """Return a category's totals without the parts and events that they are made of."""
    return use._replace(parts=(), kept=()) if use.parts or use.kept else use


def unpriced(segments: tuple[Segment, ...], usage: OrgUsage, period: Period) -> list[Trouble]:
    """Return the categories of which usage lies in a segment that neither prices it nor lists it as free."""
    troubles: list[Trouble] = []
    if len(segments) == 1 and segments[0].version.known.issuperset(usage.categories):
        return troubles
    for category in sorted(usage.categories):
        silent = [segment for segment in segments if category not in segment.version.known]
        for segment in silent:
            use = usage.categories[category]
            if len(silent) < len(segments):
                try:
                    found = _between(use, period, segment.start, segment.end)
                except Missing as missing:
                    troubles.append(Trouble(missing.reason, category, str(missing)))
                    break
                if not (found.quantity or found.events):
                    continue
                use = found.total()
            where = f"plan {segment.plan_name} {segment.version.dates()} neither prices it nor lists it as free"
            told = f"{plain(Decimal(use.quantity))} were used, but {where}"
            troubles.append(Trouble("no_price", category, told))
            break
    return troubles


def _between(use: CategoryUsage, period: Period, start: dt.datetime, end: dt.datetime) -> Pool:
    return pool([use], period.start, period.end).since(start).until(end)
