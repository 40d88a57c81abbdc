"""Interim statements in the store: what was billed before a period ended, read back so that it is taken off once.

An interim statement belongs to the billing period that its start lies in, whatever contract the organisation has by
then: every instant lies in one, so that each is taken off once, also where contracts were changed since.

Guarantees: a number of a contract's period is billed once; a row that was written is never written again; a rating
that was made with other rows than there are is not kept. Not guaranteed: that of two ratings, both of which looked
before either wrote, the row of the first one stays; the one stays that knew less, and who rates next reads that.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rater.account import Account
from rater.interim import with_invoiced
from rater.shown import instant
from schemas.period import Period
from sinks.rating_rows import interim_table
from sinks.store import Store

Row = Mapping[str, Any]

LAST: Final = (1 << 128) - 1
"""Of two rows the one stays whose version is further from it: the one that knew less."""
_READ: Final = """
SELECT org_id, contract, period_start, period_end, number, currency, billed
FROM interim_statements FINAL
WHERE period_start >= toDateTime({start:UInt32}, 'UTC') AND period_start < toDateTime({end:UInt32}, 'UTC')<orgs>
ORDER BY org_id, period_start, period_end, contract, number
"""

_NAMES: Final = ("org_id", "contract", "period_start", "period_end", "number", "currency", "billed")


class Interim(NamedTuple):
    """What one interim statement billed, by charge."""

    org_id: int
    contract: str
    start: dt.datetime
    end: dt.datetime
    number: int
    currency: str
    billed: Mapping[str, Decimal]

    def name(self, contract: str, period: Period) -> str:
        """Return what the statement of a contract's period calls it."""
        plain = f"interim statement {self.number}"
        if (self.start, self.end) != (period.start, period.end):
            return f"{plain} of contract {self.contract} for {instant(self.start)} to {instant(self.end)}"
        return plain if self.contract == contract else f"{plain} of contract {self.contract}"


def read_interims(
    store: Store, start: dt.datetime, end: dt.datetime, orgs: Collection[int] | None = None
) -> dict[int, tuple[Interim, ...]]:
    """Return, by organisation, the interim statements that begin from one instant to before another."""
    parameters: dict[str, Any] = {"start": int(start.timestamp()), "end": int(end.timestamp())}
    if orgs is not None:
        parameters["orgs"] = sorted(orgs)
    where = "" if orgs is None else " AND org_id IN {orgs:Array(UInt64)}"
    found: defaultdict[int, list[Interim]] = defaultdict(list)
    for row in store.query(_READ.replace("<orgs>", where), parameters):
        found[row[0]].append(Interim(*row))
    return {org: tuple(rows) for org, rows in found.items()}


def with_interims(account: Account, interims: Iterable[Interim], contract: str, period: Period) -> Account:
    """Return the account with what interim statements billed, so that the statement of a period takes it off."""
    account = replace(account, invoiced={}, statements=())
    for one in interims:
        account = with_invoiced(account, one.billed, one.name(contract, period))
    return account


def next_number(interims: Iterable[Interim], contract: str, period: Period) -> int:
    """Return the number of the next interim statement of a contract's period."""
    key = (contract, period.start, period.end)
    return 1 + max((one.number for one in interims if (one.contract, one.start, one.end) == key), default=0)


def interim_row(row: Row, number: int, threshold: Decimal, billed: Mapping[str, Decimal]) -> Row:
    """Return the row of an interim statement, given the one that it has as a statement."""
    return {**row, "number": number, "threshold": threshold, "billed": billed, "earliest": LAST - row["version"]}


def joined(interims: Sequence[Interim], row: Row) -> tuple[Interim, ...]:
    """Return interim statements and one more, given its row, in the order in which they are read."""
    one = Interim(*(row[name] for name in _NAMES))
    return tuple(sorted((*interims, one), key=lambda one: (one.start, one.end, one.contract, one.number)))


class Due(NamedTuple):
    """A rating that is to be kept: its interim statement, where one is due, and those that it was made with."""

    org_id: int
    row: Row | None
    made_with: Sequence[Interim]


def write_due(store: Store, start: dt.datetime, end: dt.datetime, due: Sequence[Due]) -> set[int]:
    """Write the interim statements that are due in a period, and return whose rating was made with others than stay.

    Nothing is written for those for whom there are others already. Of the rest it is looked, after writing, whether
    each row is the one that stays: only then may the statement that takes it off be written.
    """
    there = read_interims(store, start, end, [one.org_id for one in due])
    stale = {one.org_id for one in due if there.get(one.org_id, ()) != tuple(one.made_with)}
    new = [(one, one.row) for one in due if one.row is not None and one.org_id not in stale]
    if new:
        store.insert("interim_statements", interim_table(row for _, row in new))
        there = read_interims(store, start, end, [one.org_id for one, _ in new])
        stale |= {one.org_id for one, row in new if there.get(one.org_id, ()) != joined(one.made_with, row)}
    return stale
