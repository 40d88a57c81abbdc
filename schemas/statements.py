"""What rating takes and gives: usage totals in; statements that explain every amount, and failures by name, out."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from schemas.money import Amount
from schemas.period import Period
from schemas.prices import Step


class CategoryUsage(NamedTuple):
    """The total of one category in a period, and the starts of its first and last usage windows."""

    quantity: int | Decimal
    first_window: dt.datetime | None = None
    last_window: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class OrgUsage:
    """One organisation's totals in a period, by category name.

    `snapshot_id` names exactly the usage rows that were summed: their number and an order-free hash of keys and
    versions.
    """

    org_id: int
    categories: Mapping[str, CategoryUsage]
    snapshot_id: str = ""


FailureReason = Literal[
    "no_contract",
    "contract_not_in_force",
    "contract_overlap",
    "contract_changes_inside_period",
    "other_book",
    "unknown_plan",
    "currency_mismatch",
    "override_matches_nothing",
    "price_not_in_force",
    "price_overlap",
    "price_changes_inside_period",
    "no_price",
    "amount_too_large",
]


class RatingFailure(NamedTuple):
    """Usage that could not be priced: never a silent zero. `category` is '' where the organisation as a whole did."""

    org_id: int
    period: Period
    reason: FailureReason
    category: str
    detail: str

    def __str__(self) -> str:
        category = f", category {self.category}" if self.category else ""
        return f"organisation {self.org_id}, period {self.period}{category}: {self.detail} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what was used, which price made it cost what, step by step.

    `usage` is by category, in counted units, of every category that the charge counts (0 of what was not used);
    `quantity` is their sum in priced units (1 period for a fee); `exact` the sum of the steps' amounts; `amount` is
    `exact` rounded once, to the currency's minor unit. `effective` is the day from which the price version holds.
    `conversion` explains how counted units became priced ones ('' when they are the same).
    """

    charge: str
    name: str
    usage: Mapping[str, CategoryUsage]
    quantity: Decimal
    unit: str
    conversion: str
    steps: tuple[Step, ...]
    exact: Decimal
    amount: Decimal
    effective: dt.date

    @property
    def categories(self) -> str:
        """Return the categories that the line counts, as one name."""
        return "+".join(self.usage)

    @property
    def first_window(self) -> dt.datetime | None:
        """Return the start of the first window with usage; None when nothing was used."""
        return min((use.first_window for use in self.usage.values() if use.first_window), default=None)

    @property
    def last_window(self) -> dt.datetime | None:
        """Return the start of the last window with usage; None when nothing was used."""
        return max((use.last_window for use in self.usage.values() if use.last_window), default=None)

    def explanation(self) -> str:
        """Return the arithmetic as a person would check it: "50,000 included; 12,345 × 0.0011125 = 13.7338125"."""
        return "; ".join(part for part in (self.conversion, *map(str, self.steps)) if part)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one organisation owes for one period under one contract: the sum of its rounded lines."""

    org_id: int
    contract: str
    plan: str
    period: Period
    currency: str
    lines: tuple[Line, ...]
    total: Decimal
    book: str
    book_revision: int
    book_hash: str
    contract_hash: str
    snapshot_id: str

    @property
    def due(self) -> Amount:
        """Return the total as an amount."""
        return Amount(self.total, self.currency)


@dataclass(frozen=True, slots=True)
class Rating:
    """One organisation, rated: a statement of all that could be priced, and what could not.

    With a failure the statement is incomplete: it may be shown beside its failures, and is never stored.
    """

    org_id: int
    statement: Statement | None = None
    failures: tuple[RatingFailure, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Say whether everything used was priced."""
        return self.statement is not None and not self.failures
