"""Examples that the product answers otherwise on purpose, by id, each with the reason."""

from typing import Final

OTHERWISE: Final[dict[str, str]] = {
    "oracle-lease-nontiered": "the example gives quantities and no prices: those are in its source only",
    "lago-upgrade-may11": (
        "the source takes the whole of what was invoiced off the new fee, although 10 of its 31 days were used; the "
        "product gives back the unused part (13.55 due)"
    ),
}
