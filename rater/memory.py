"""Whether a contract remembers: what an earlier period left decides what a later one costs."""

from rater.terms import Terms


def remembers(found: Terms) -> bool:
    """Say whether rating the next period needs to know what this one leaves: credit, tiers that go on, levels."""
    charges = [charge for segment in found.segments for charge in segment.charges.values()]
    adjustments = [*found.version.adjustments, *found.adjustments]
    adjustments += [adjustment for charge in charges for adjustment in charge.adjustments]
    return (
        bool(found.contract.grants)
        or any(getattr(adjustment, "kind", "") == "account_credit" for adjustment in adjustments)
        or any(charge.cumulative or charge.by_level for charge in charges)
    )
