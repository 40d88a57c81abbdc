"""What a plan's prices need to be told of usage: totals, parts of them, or every event.

Totals (quantity, number of events, largest event) are enough for most charges. A budget, and a price that changes
inside a period, need windows only where totals do not settle them: rating then fails with `needs_parts`, and the
organisation is rated again with `BY_WINDOW` of every category.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from rater.book import Charge, PlanVersion
from rater.fitting import counts_events, prices_of

Level = Literal["totals", "parts", "events"]
Span = Literal["period", "day", "hour", "window"]

_LEVELS: Final[tuple[Level, ...]] = ("totals", "parts", "events")
_SPANS: Final[tuple[Span, ...]] = ("period", "day", "hour", "window")


class Need(NamedTuple):
    """What of one category's usage is asked for.

    `parts` are by `span` of UTC, and by grouped attributes where `dimensions` says so. With `events` each is asked for,
    with its attributes, its value and its amount, and no parts.
    """

    level: Level = "totals"
    span: Span = "period"
    dimensions: bool = False

    def joined(self, other: "Need") -> "Need":
        """Return what covers both."""
        return Need(
            max(self.level, other.level, key=_LEVELS.index),
            max(self.span, other.span, key=_SPANS.index),
            self.dimensions or other.dimensions,
        )


TOTALS: Final = Need()
BY_WINDOW: Final = Need("parts", "window")


def needs(version: PlanVersion, zone: str = "UTC") -> dict[str, Need]:
    """Return what a plan version asks for, by category, of customers in a time zone.

    An override of a price may ask for more: see `needs_of`.
    """
    return needs_of(version.charges.values(), zone)


def needs_of(charges: Iterable[Charge], zone: str = "UTC") -> dict[str, Need]:
    """Return what charges ask for, by category, of customers in a time zone."""
    return {category: _need(charge, charge.zone or zone) for charge in charges for category in charge.counted}


def joined(several: Iterable[Mapping[str, Need]]) -> dict[str, Need]:
    """Return what covers the needs of several plan versions."""
    found: dict[str, Need] = {}
    for each in several:
        for category, need in each.items():
            found[category] = need.joined(found.get(category, TOTALS))
    return found


def _need(charge: Charge, zone: str) -> Need:
    each, by = charge.each or [], charge.aggregate
    spans: set[Span] = {span for span in _SPANS if span in each}
    if charge.schedule:
        spans.add("hour")
    if by.function == "sum_of_max":
        spans.add(by.window)
    if zone != "UTC" and spans:
        spans = {"window"}  # an hour of UTC may lie in two of the zone's hours
    span: Span = max(spans, key=_SPANS.index) if spans else "period"
    asked = {price.needs for price in prices_of(charge)}
    dimensions = "groups" in asked or "group" in each or by.by_group
    if asked & {"events", "amount"} or counts_events(charge):
        return Need("events", "period", dimensions)
    return Need("totals" if span == "period" and not dimensions else "parts", span, dimensions)
