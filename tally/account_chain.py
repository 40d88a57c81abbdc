"""The account that a period opens with: the one that the period before left, or a fold over periods that left none.

A contract may begin to remember (a grant is added, tiers are made to go on), and an organisation on everyone's contract
may use nothing for months and so have no statements. Then the account is the last one that was left, carried through
the periods since as empty ones. Only a period that remembers something, and should have been rated, is missing.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from rater.account import NEW, Account
from rater.book import Contracts, PriceBook
from rater.memory import remembers
from rater.rate import rate
from rater.settling import after_terms
from rater.terms import Terms, terms
from schemas.period import Period, midnight
from schemas.statements import OrgUsage, RatingFailure

Stored = tuple[dt.datetime, Account]
"""The instant from which an account holds, and the account."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What accounts are carried on by. `used` says whether an organisation used anything between two instants."""

    book: PriceBook
    contracts: Contracts
    used: Callable[[int, dt.datetime, dt.datetime], bool]

    def opening(self, found: Terms, org_id: int, period: Period, stored: Stored | None) -> Account | RatingFailure:
        """Return the account that a period opens with, given the last one that was kept before it."""
        if stored is not None and stored[0] == period.start:
            return stored[1]
        began = midnight(found.signed.begins, found.contract.zone)
        since, account = (began, NEW) if stored is None else stored
        if since >= period.start:
            return NEW
        for earlier in found.cycle.periods(found.cycle.day_of(since), found.cycle.day_of(period.start)):
            held = terms(self.book, self.contracts, org_id, earlier)
            if not isinstance(held, Terms) or not remembers(held):
                continue
            if org_id in self.contracts.by_org or self.used(org_id, earlier.start, earlier.end):
                return _missing(found, org_id, period, earlier)
            account = self.through(held, org_id, earlier, account)
        return account

    def through(self, held: Terms, org_id: int, period: Period, account: Account) -> Account:
        """Return the account after a period in which nothing was used, and that nobody was billed for."""
        statement = rate(self.book, self.contracts, OrgUsage(org_id, {}), period, account).statement
        return account if statement is None else after_terms(held, account, statement._replace(lines=()))


def _missing(found: Terms, org_id: int, period: Period, earlier: Period) -> RatingFailure:
    detail = (
        f"contract {found.contract.id} remembers earlier periods (credit, tiers that go on, levels), and {earlier} was "
        f"not rated: rate it first, with --period {found.cycle.day_of(earlier.start):%Y-%m}"
    )
    return RatingFailure(org_id, period, "needs_account", "", detail)
