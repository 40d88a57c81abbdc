"""Levels: what a period leaves for the next one, of categories whose events say or change a level."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from rater.book import Charge
from rater.pool import pool
from schemas.money import exact
from schemas.period import Period
from schemas.statements import OrgUsage


def levels_after(
    charges: Iterable[Charge], usage: OrgUsage, period: Period, before: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return the level at the period's end of every category that is counted by its level, or had one before.

    `before` is the account's `levels` at its start. Raises Missing where the events are not given.
    """
    levels = dict(before)
    with exact():
        for charge in charges:
            if not charge.by_level:
                continue
            for category in charge.counted:
                use = usage.categories.get(category)
                if use is None:
                    continue
                events = pool([use], period.start, period.end).every()
                if charge.prorated or charge.aggregate.changes:
                    changes = sum((Decimal(event.quantity) for event in events), Decimal(0))
                    levels[category] = levels.get(category, Decimal(0)) + changes
                elif events:
                    levels[category] = Decimal(events[-1].quantity)
    return levels
