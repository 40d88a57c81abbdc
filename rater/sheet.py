"""The sheet: a statement in the making, on which adjustments read what charges come to and write lines of their own.

What a charge comes to so far is its **net**: its lines, plus what falls on it of every line that was spread. A line
that is not spread (a true-up, a fee) is itself something that later adjustments may lower, under its own id. Nets are
kept twice: rounded, which is what is billed and what adjustments compute on, and unrounded (to 18 digits), which
explains. All arithmetic happens inside `exact()`; a sheet belongs to one call of rating.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from rater.account import NEW, Account, Balance
from rater.grants import Grant
from rater.spreading import in_order, pro_rata, quotient
from schemas.money import MINOR_STEPS, RoundingMode
from schemas.period import Period
from schemas.prices import PLACES, Step
from schemas.statements import Line, LineKind

ZERO: Final = Decimal(0)
FINE: Final = Decimal(1).scaleb(-PLACES)
"""The step of unrounded amounts that came out of a division."""

Scope = Collection[str] | None
"""The charge ids that an adjustment may look at; None: everything on the statement."""

UNPAYABLE: Final[frozenset[LineKind]] = frozenset({"prepaid", "refund"})
"""Kinds that no adjustment looks at: buying credit is neither discounted nor paid with credit."""
SETTLED: Final[frozenset[LineKind]] = UNPAYABLE | {"adjustment"}
"""Kinds that only credit looks at: a correction of an earlier period was discounted and capped there."""


class Net(NamedTuple):
    """What a charge, or a line of its own, comes to so far: rounded and unrounded."""

    amount: Decimal
    exact: Decimal


@dataclass(slots=True)
class _Item:
    charges: frozenset[str]
    kind: LineKind
    amount: Decimal = ZERO
    exact: Decimal = ZERO


@dataclass(slots=True)
class Sheet:
    """The lines so far, and all that an adjustment may need to know.

    `part` is the share of the period that the contract covers, as numerator and denominator (days billed, days in the
    period), for prorated minimums and grants. `zone` is the customer's. `balances` are the grants' balances as burned
    so far, None before the first look; `ran` holds the kinds of the adjustments that ran. `past_budget` says on a line
    what becomes of usage that a budget does not pay for.
    """

    currency: str
    period: Period
    effective: dt.date
    rounding: RoundingMode = "half_away"
    account: Account = NEW
    grants: tuple[Grant, ...] = ()
    part: tuple[int, int] = (1, 1)
    zone: str = "UTC"
    past_budget: str = "refused: past the budget"
    lines: list[Line] = field(default_factory=list)
    balances: tuple[Balance, ...] | None = None
    ran: set[str] = field(default_factory=set)
    _fine: dict[int, Mapping[str, Decimal]] = field(default_factory=dict)
    _items: dict[str, _Item] = field(default_factory=dict)
    _looked: dict[tuple[frozenset[str] | None, bool], Mapping[str, Net]] = field(default_factory=dict)
    _summed: int = 0

    @property
    def step(self) -> Decimal:
        """Return the currency's minor unit."""
        return MINOR_STEPS[self.currency]

    @property
    def total(self) -> Decimal:
        """Return the sum of the rounded lines."""
        return sum((line.amount for line in self.lines), ZERO)

    def add(self, line: Line, exact_spread: Mapping[str, Decimal] | None = None) -> None:
        """Add a line. `exact_spread` is `line.spread` unrounded, for a line that has one."""
        if exact_spread is not None:
            self._fine[len(self.lines)] = exact_spread
        self.lines.append(line)

    def nets(self, scope: Scope = None, *, paying: bool = False) -> Mapping[str, Net]:
        """Return what everything in a scope comes to, by charge id or id of a line of its own, in the lines' order.

        A line of its own is in a scope when all charges that it applies to are. With `paying`, corrections of earlier
        periods are there too.
        """
        items = self._summed_up()
        wanted = None if scope is None else frozenset(scope)
        found = self._looked.get((wanted, paying))
        if found is None:
            outside = UNPAYABLE if paying else SETTLED
            found = self._looked[wanted, paying] = {
                key: Net(item.amount, item.exact)
                for key, item in items.items()
                if item.kind not in outside and (wanted is None or item.charges <= wanted)
            }
        return found

    def charges(self, scope: Scope = None, *, paying: bool = False) -> tuple[str, ...]:
        """Return the charge ids behind what is in a scope; the scope itself where nothing is there yet."""
        nets = self.nets(scope, paying=paying)
        found = dict.fromkeys(charge for key in nets for charge in sorted(self._items[key].charges))
        return tuple(found) or tuple(scope or ())

    def rounded(self, numerator: Decimal, denominator: Decimal | int = 1) -> Decimal:
        """Return a quotient as an amount of a line: in minor units, rounded as the plan says."""
        return quotient(numerator, denominator, self.step, self.rounding)

    def post(
        self,
        id_: str,
        name: str,
        kind: LineKind,
        amount: Decimal,
        exact: Decimal,
        steps: Iterable[Step],
        *,
        scope: Scope = None,
        parts: Mapping[str, Decimal] | None = None,
        exact_parts: Mapping[str, Decimal] | None = None,
        quantity: Decimal = ZERO,
        unit: str = "",
    ) -> None:
        """Write an adjustment's line; its steps sum to what `amount` was rounded from.

        With `parts` it is spread over them, without it is a line that later adjustments see by itself. It gets an id
        that nothing on the sheet has; only the lines that burn one grant share one.
        """
        if exact_parts and not parts:
            # Too little for a minor unit: the line is there for what it explains, and changes the first net by nothing.
            parts = {next(iter(exact_parts)): ZERO}
        line = Line(
            charge=id_ if kind == "credit" else self._free(id_),
            name=name,
            usage={},
            quantity=quantity,
            unit=unit,
            conversion="",
            steps=tuple(steps),
            exact=exact,
            amount=amount,
            effective=self.effective,
            kind=kind,
            applies_to=self.charges(scope, paying=kind == "credit"),
            spread=parts or {},
        )
        self.add(line, exact_parts)

    def lower(
        self,
        id_: str,
        name: str,
        kind: LineKind,
        by: Net,
        steps: Iterable[Step],
        scope: Scope,
        *,
        ordered: bool = False,
    ) -> None:
        """Take `by` (≥ 0) off the nets of a scope: in proportion to them, or (`ordered`) off one after the other.

        `by` is at most what the scope comes to, so that no positive net turns negative. Nothing to take: no line.
        """
        if not by.amount and not by.exact:
            return
        nets = self.nets(scope, paying=kind == "credit")
        amounts = {key: net.amount for key, net in nets.items()}
        exacts = {key: net.exact for key, net in nets.items()}
        parts = _parts(by.amount, amounts, self.step, ordered=ordered)
        exact_parts = _parts(by.exact, exacts, FINE, ordered=ordered)
        self.post(
            id_,
            name,
            kind,
            _minus(by.amount),
            _minus(by.exact),
            steps,
            scope=scope,
            parts={key: _minus(part) for key, part in parts.items()},
            exact_parts={key: _minus(part) for key, part in exact_parts.items()},
        )

    def _summed_up(self) -> dict[str, _Item]:
        """Return what everything comes to, with the lines since the last look: most sheets are never looked at."""
        if self._summed < len(self.lines):
            self._looked.clear()
        while self._summed < len(self.lines):
            line = self.lines[self._summed]
            if line.spread:
                fine = self._fine.get(self._summed, line.spread)
                for key in {**line.spread, **fine}:
                    item = self._items.setdefault(key, _Item(frozenset({key}), "charge"))
                    item.amount += line.spread.get(key, ZERO)
                    item.exact += fine.get(key, ZERO)
            else:
                own = frozenset({line.charge} if line.kind == "charge" else line.applies_to or {line.charge})
                item = self._items.setdefault(line.charge, _Item(own, line.kind))
                item.amount += line.amount
                item.exact += quotient(line.exact, 1, FINE, "half_even")
            self._summed += 1
        return self._items

    def _free(self, id_: str) -> str:
        taken = self._summed_up().keys() | {line.charge for line in self.lines}
        number, free = 1, id_
        while free in taken:
            number += 1
            free = f"{id_}-{number}"
        return free


def come_to(nets: Mapping[str, Net]) -> Net:
    """Return the sum of nets."""
    return Net(sum((net.amount for net in nets.values()), ZERO), sum((net.exact for net in nets.values()), ZERO))


def nets_of(lines: Sequence[Line]) -> dict[str, Decimal]:
    """Return what each charge, and each line of its own, of a finished statement comes to, in the lines' order."""
    nets: dict[str, Decimal] = {}
    for line in lines:
        for key, part in (line.spread or {line.charge: line.amount}).items():
            nets[key] = nets.get(key, ZERO) + part
    return nets


def _parts(amount: Decimal, nets: Mapping[str, Decimal], step: Decimal, *, ordered: bool) -> dict[str, Decimal]:
    if not amount:
        return {}
    return in_order(amount, nets) if ordered else pro_rata(amount, nets, step)


def _minus(value: Decimal) -> Decimal:
    return -value + 0  # never a negative zero
