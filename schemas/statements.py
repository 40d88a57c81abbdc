"""What rating takes and gives: usage totals in; statements that explain every amount, and failures by name, out."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, Protocol

from schemas.money import Amount, RoundingMode, exact
from schemas.period import Period
from schemas.prices import Step, plain


class UsagePart(NamedTuple):
    """A slice of one category's usage: a span of time from `start` on, and one combination of grouped attributes.

    How long the span is (a window, an hour, a day) is what the charge asked for. `dimensions` is canonical JSON of the
    attributes, '' where nothing is grouped. `first_window` and `last_window` are the starts of the windows in which
    usage was found; None: the span is a window.
    """

    start: dt.datetime
    quantity: int | Decimal
    events: int = 0
    max_quantity: int | Decimal = 0
    dimensions: str = ""
    first_window: dt.datetime | None = None
    last_window: dt.datetime | None = None


class KeptEvent(NamedTuple):
    """One event, kept because a price or an aggregation asks for each; they stand in event-time order, then position.

    `value` is the attribute that is counted once (unique counts), `amount` the money that the event carries.
    """

    at: dt.datetime
    quantity: int | Decimal
    value: str = ""
    amount: Decimal | None = None
    dimensions: str = ""


class CategoryUsage(NamedTuple):
    """The total of one category in a period, and the starts of its first and last usage windows.

    `parts` and `kept` are there for categories whose charges ask for them (`rater.needs`); `quantity` is their sum.
    """

    quantity: int | Decimal
    first_window: dt.datetime | None = None
    last_window: dt.datetime | None = None
    events: int = 0
    max_quantity: int | Decimal = 0
    parts: tuple[UsagePart, ...] = ()
    kept: tuple[KeptEvent, ...] = ()


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
    "not_a_billing_period",
    "override_matches_nothing",
    "override_ambiguous",
    "override_does_not_fit",
    "price_not_in_force",
    "price_overlap",
    "price_changes_inside_period",
    "no_price",
    "needs_events",
    "needs_parts",
    "needs_groups",
    "needs_amount",
    "needs_account",
    "no_rule",
    "adjustment_matches_nothing",
    "budget_does_not_fit",
    "amount_too_large",
]

LineKind = Literal[
    "charge",
    "true_up",
    "cap",
    "discount",
    "credit",
    "commit",
    "prepaid",
    "already_invoiced",
    "fee",
    "refund",
    "adjustment",
]
"""What a line is: a price, or one adjustment of the lines before it."""


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


MOST_TOLD: Final = 50
"""Steps that an explanation tells one by one: a month of hours has more, which all stand in the line's steps."""


class Working(Protocol):
    """What can say, whenever it is asked, how a line came about: most lines are never asked."""

    def steps_of(self, line: "Line") -> tuple[Step, ...]:
        """Return the steps of a line that it made."""

    def conversion_of(self, line: "Line") -> str:
        """Return the conversion of a line that it made."""


NOT_SPREAD: Final[Mapping[str, Decimal]] = {}


class _Line(NamedTuple):
    """The fields of a line, as they were given."""

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
    kind: LineKind = "charge"
    applies_to: tuple[str, ...] = ()
    spread: Mapping[str, Decimal] = NOT_SPREAD
    refused: Decimal = Decimal(0)
    part_of_period: tuple[dt.datetime, dt.datetime] | None = None
    working: Working | None = None


class Line(_Line):
    """One line: what was used, which price made it cost what, step by step.

    `usage` is by category, in counted units, of every category that the charge counts (0 of what was not used);
    `quantity` is their sum in priced units (1 period for a fee); `exact` the sum of the steps' amounts; `amount` is
    `exact` rounded once, to the currency's minor unit. `effective` is the day from which the price version holds.
    `conversion` explains how counted units became priced ones ('' when they are the same).

    A line of another `kind` adjusts the lines of the charges that `applies_to` names; `spread` says how much of it
    falls on each of them (by charge id, summing to `amount`) where it was spread. `refused` is what was used and not
    billed, in priced units. `part_of_period` is [start, end) where the line is for a part of the period only.

    With a `working`, steps and conversion are made from the rest of the line whenever they are looked at. A line made
    so is equal to one that was given them.
    """

    __slots__ = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps whose amounts sum to `exact`."""
        return super().steps if self.working is None else self.working.steps_of(self)

    @property
    def conversion(self) -> str:
        """Return how counted units became priced ones."""
        return super().conversion if self.working is None else self.working.conversion_of(self)

    def worked_out(self) -> "Line":
        """Return the line with its steps and conversion in it, for who looks at them more than once."""
        if self.working is None:
            return self
        return super()._replace(steps=self.steps, conversion=self.conversion, working=None)

    def _replace(self, **changes: Any) -> "Line":
        return super(Line, self.worked_out())._replace(**changes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line) and tuple.__eq__(self.worked_out(), other.worked_out())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self.worked_out())

    def __repr__(self) -> str:
        return _Line.__repr__(self.worked_out())

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self.worked_out())

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
        steps = self.steps
        shown, rest = steps[:MOST_TOLD], steps[MOST_TOLD:]
        told = [self.conversion, *map(str, shown)]
        if rest:
            with exact():
                told.append(f"and {len(rest):,} more steps: {plain(sum((step.amount for step in rest), Decimal(0)))}")
        return "; ".join(part for part in told if part)


class Statement(NamedTuple):
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
    rounding: RoundingMode = "half_away"
    """How its lines were rounded."""

    @property
    def due(self) -> Amount:
        """Return the total as an amount."""
        return Amount(self.total, self.currency)


class Rating(NamedTuple):
    """One organisation, rated: a statement of all that could be priced, and what could not.

    With a failure the statement is incomplete: it may be shown beside its failures, and is never stored.
    """

    org_id: int
    statement: Statement | None = None
    failures: tuple[RatingFailure, ...] = ()

    @property
    def complete(self) -> bool:
        """Say whether everything used was priced."""
        return self.statement is not None and not self.failures
