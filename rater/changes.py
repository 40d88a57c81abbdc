"""What one price book changes of another, price by price."""

from collections.abc import Mapping
from typing import Any

from rater.book import PriceBook


def differences(old: PriceBook, new: PriceBook) -> list[tuple[str, str, str]]:
    """Return what a price book changes: the place, and what stood and stands there ('' where there is nothing)."""
    before, after = _flat(_plain(old)), _flat(_plain(new))
    places = dict.fromkeys((*before, *after))
    return [
        (place, before.get(place, ""), after.get(place, ""))
        for place in places
        if before.get(place, "") != after.get(place, "")
    ]


def _plain(book: PriceBook) -> Mapping[str, Any]:
    return {
        name: {
            "currency": plan.currency,
            "rounding": plan.rounding,
            "versions": {
                f"from {version.since}": version.model_dump(mode="json", by_alias=True, exclude_defaults=True)
                for version in sorted(plan.versions, key=lambda version: version.since)
            },
        }
        for name, plan in book.plans.items()
    }


def _flat(value: Any, place: str = "") -> dict[str, str]:
    """Return every leaf by its place, as in `business.versions.from 2026-01-01.charges.errors.price.unit_amount`."""
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = [(str(number), item) for number, item in enumerate(value, 1)]
    else:
        return {place: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}
    return {
        key: leaf for name, item in items for key, leaf in _flat(item, f"{place}.{name}" if place else name).items()
    }
