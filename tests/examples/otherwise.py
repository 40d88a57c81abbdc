"""Examples that the product answers otherwise on purpose, by id, each with the reason."""

from typing import Final

OTHERWISE: Final[dict[str, str]] = {
    "oracle-lease-nontiered": "the example gives quantities and no prices: those are in its source only",
}
