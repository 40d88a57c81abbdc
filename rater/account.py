"""The account: what an organisation's earlier periods left, as an argument of rating, never looked up.

A chain of periods is a fold: `rate` takes the account as it stood before the period, `after` (in `rater.settling`)
returns it as the statement leaves it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

ZERO: Final = Decimal(0)


class Balance(NamedTuple):
    """What is left of one grant (of one period's part of it, where it recurs), in the contract's currency.

    `start` is the local day from which it holds, `expires` the instant from which it is gone (None: never). `left` is
    below zero where an overdraft is allowed. `rolled` counts the periods by which it was carried on.
    """

    grant: str
    start: dt.date
    left: Decimal
    expires: dt.datetime | None = None
    rolled: int = 0

    @property
    def id(self) -> str:
        """Return the name of the balance on statements: the grant and the day from which it holds."""
        return f"{self.grant}@{self.start}"


@dataclass(frozen=True, slots=True)
class Account:
    """What earlier periods, and earlier statements of this one, left.

    `balances`: what is left of grants; a grant that no balance mentions is untouched. `used_before`: priced units by
    charge, for tiers that go on over several periods. `invoiced`: amounts by charge that interim statements of this
    period have billed, `statements` what each of them is called and came to. `levels`: the level at the start of the
    period by category, for weighted sums. `credit`: money in the customer's favour, from credit notes.
    """

    balances: tuple[Balance, ...] = ()
    used_before: Mapping[str, Decimal] = field(default_factory=dict)
    invoiced: Mapping[str, Decimal] = field(default_factory=dict)
    statements: tuple[tuple[str, Decimal], ...] = ()
    levels: Mapping[str, Decimal] = field(default_factory=dict)
    credit: Decimal = ZERO


NEW: Final = Account()
"""The account of an organisation without a past."""
