"""What is to be rated for a month: every organisation's billing periods that begin in it, with usage and account.

    month ──► billing periods ──► what their prices need to be told ──► usage and account of each organisation

Everything streams: memory holds one organisation, the contracts, and the accounts of contracts that remember something.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from rater.account import NEW, Account
from rater.billing import billing_periods, uncovered
from rater.book import Contracts, PriceBook
from rater.contract import Signed
from rater.memory import remembers
from rater.needs import BY_WINDOW, TOTALS, joined, needs, needs_of
from rater.needs import Need as Asked
from rater.terms import Terms, terms
from schemas.contracts import EVERYONE
from schemas.period import Period, midnight
from schemas.statements import OrgUsage, RatingFailure
from sinks.store import Store
from tally.account_chain import Chain
from tally.accounts import latest_accounts
from tally.interims import Interim, read_interims, with_interims
from tally.rating_failures import Unrated, read_failures
from tally.usage_reading import MINUTE, read_detailed_usage
from tally.usage_sql import Grain, Need, snapshot_id

NOBODY: Final = 2**63 - 1
"""The organisation that stands for those without a contract of their own."""
FEW: Final = 20
"""So many organisations are asked for one by one; more are picked from everyone's usage."""
NO_NEEDS: Final[Mapping[str, Asked]] = {}
_GRAINS: Final[Mapping[str, Grain]] = {"period": "total", "day": "day", "hour": "hour", "window": "window"}


class Work(NamedTuple):
    """One organisation's rating to do: its usage in a billing period, and what earlier periods left."""

    usage: OrgUsage
    period: Period
    account: Account
    failure: RatingFailure | None = None
    """Why it cannot be rated at all: an account that it needs is not there."""
    needs: Mapping[str, Asked] = NO_NEEDS
    cuts: Sequence[dt.datetime] = ()
    """How the usage was read."""
    interims: tuple[Interim, ...] = ()
    """What was billed of the period before; the account says so too."""


@dataclass(slots=True)
class Members:
    """Who is billed for a period: organisations with a contract of their own, and whether everyone else is.

    In a period that no contract of theirs covers, organisations are only `watched`: usage in it is a failure by name.
    """

    own: set[int] = field(default_factory=set)
    everyone: bool = False
    watched: set[int] = field(default_factory=set)
    everyone_watched: bool = False


def periods_of(contracts: Contracts, month: Period, org_id: int | None = None) -> dict[Period, Members]:
    """Return the billing periods that begin in a month, in order, with who is billed for each."""
    found: defaultdict[Period, Members] = defaultdict(Members)
    if EVERYONE in contracts.by_org and (org_id is None or org_id not in contracts.by_org):
        for period in billing_periods(contracts, NOBODY, month):
            found[period].everyone = True
        for period in uncovered(contracts, NOBODY, month):
            found[period].everyone_watched = True
    elif org_id is not None and org_id not in contracts.by_org:
        found[month].everyone = True  # it has no contract at all, which is a failure where it has usage
    for org in contracts.by_org if org_id is None else [org_id] if org_id in contracts.by_org else []:
        if org == EVERYONE:
            continue
        for period in billing_periods(contracts, int(org), month):
            found[period].own.add(int(org))
        for period in uncovered(contracts, int(org), month):
            found[period].watched.add(int(org))
    if EVERYONE not in contracts.by_org and org_id is None:
        found[month].everyone = True
    return dict(sorted(found.items()))


def work_by_period(
    store: Store,
    book: PriceBook,
    contracts: Contracts,
    month: Period,
    org_id: int | None = None,
    *,
    done: Callable[[Period, OrgUsage], bool] | None = None,
    window: dt.timedelta = MINUTE,
    billed_before: bool = True,
) -> Iterator[Iterator[Work]]:
    """Yield, period by period in order, what is to be rated, by ascending organisation.

    A period's accounts are read when it is begun: what the period before it left has to be kept by then. A fee is owed
    without any usage, so an organisation with a contract of its own is rated in any case; one that is rated by
    everyone's contract ("*") is known by its usage alone: without any, nothing says that it exists. `done` says of a
    period and usage that they need no rating. Without `billed_before` nobody looks at interim statements.
    """
    for period, members in periods_of(contracts, month, org_id).items():
        yield _work_in(Reading(store, book, contracts, period, members, window), org_id, done, billed_before)


def work_of(
    store: Store,
    book: PriceBook,
    contracts: Contracts,
    month: Period,
    org_id: int | None = None,
    *,
    window: dt.timedelta = MINUTE,
    billed_before: bool = True,
) -> Iterator[Work]:
    """Yield what is to be rated in one row, for those who keep nothing: periods open with what was kept before."""
    for works in work_by_period(store, book, contracts, month, org_id, window=window, billed_before=billed_before):
        yield from works


def by_window(store: Store, work: Work, window: dt.timedelta = MINUTE) -> Work:
    """Return the same work with every category's usage by window, for a price that totals do not settle."""
    wanted = {category: _told(BY_WINDOW.joined(work.needs.get(category, TOTALS))) for category in work.usage.categories}
    found = next(read_detailed_usage(store, work.period, wanted, work.cuts, work.usage.org_id, window), None)
    return work if found is None else work._replace(usage=found)


class Openings:
    """What a period's work begins with beside usage, for one book and its contracts: accounts, and earlier bills."""

    def __init__(
        self, store: Store, book: PriceBook, contracts: Contracts, period: Period, org_id: int | None, billed: bool
    ) -> None:
        self._book, self._contracts, self._period = book, contracts, period
        self.interims = (
            read_interims(store, period.start, period.end, None if org_id is None else [org_id]) if billed else {}
        )
        self._accounts = latest_accounts(store, period.start, org_id)
        # An account that an earlier rating left is not what the period before comes to, where its last rating failed.
        just_before = period.start - dt.timedelta(seconds=1)
        self._failed = read_failures(store, just_before, period.start, None if org_id is None else [org_id])
        self.chain = Chain(book, contracts, partial(_used, store))

    def work(self, usage: OrgUsage, needs: Mapping[str, Asked], cuts: Sequence[dt.datetime]) -> Work:
        """Return the work of an organisation, whose usage was read as `needs` and `cuts` say."""
        period = self._period
        work = Work(usage, period, NEW, None, needs, cuts)
        found = terms(self._book, self._contracts, usage.org_id, period)
        if isinstance(found, Terms) and remembers(found):
            stored = self._accounts.get((usage.org_id, found.contract.id))
            opening = self.chain.opening(found, usage.org_id, period, stored)
            failed = next((one for one in self._failed.get(usage.org_id, ()) if one.end == period.start), None)
            if failed is not None and isinstance(opening, Account):
                opening = _behind(found, usage.org_id, period, failed)
            if isinstance(opening, RatingFailure):
                work = work._replace(failure=opening)
            else:
                work = work._replace(account=opening)
        if before := self.interims.get(usage.org_id):
            work = _billed_before(work, found, before)
        return work


def _work_in(
    reading: "Reading", org_id: int | None, done: Callable[[Period, OrgUsage], bool] | None, billed_before: bool
) -> Iterator[Work]:
    period = reading.period
    openings = Openings(reading.store, reading.book, reading.contracts, period, org_id, billed_before)
    for usage in reading.usage(org_id, openings.interims):
        if done is None or not done(period, usage):
            yield openings.work(usage, reading.asked, reading.cuts)


def _billed_before(work: Work, found: Terms | RatingFailure, before: tuple[Interim, ...]) -> Work:
    """Return the work with what interim statements billed; a failure where the statement cannot take it off."""
    if isinstance(found, RatingFailure):  # which rating comes to as well
        return work
    for one in before:
        if one.currency != found.plan.currency and work.failure is None:
            detail = (
                f"{one.name(found.contract.id, work.period)} billed {one.currency}, and contract {found.contract.id} "
                f"bills {found.plan.currency}: a statement cannot take off another currency"
            )
            failure = RatingFailure(work.usage.org_id, work.period, "currency_mismatch", "", detail)
            work = work._replace(failure=failure)
    return work._replace(account=with_interims(work.account, before, found.contract.id, work.period), interims=before)


def _behind(found: Terms, org_id: int, period: Period, failed: Unrated) -> RatingFailure:
    detail = (
        f"contract {found.contract.id} remembers earlier periods (credit, tiers that go on, levels), and the period "
        f"before could not be rated ({failed.reasons}): mend that, and rate it again, first"
    )
    return RatingFailure(org_id, period, "needs_account", "", detail)


def _used(store: Store, org_id: int, start: dt.datetime, end: dt.datetime) -> bool:
    bounds = {"org": org_id, "start": int(start.timestamp()), "end": int(end.timestamp())}
    return bool(store.query(_ANY, bounds))


_ANY: Final = """
SELECT 1 FROM active_windows
WHERE org_id = {org:UInt64}
    AND window_start >= toDateTime({start:UInt32}, 'UTC') AND window_start < toDateTime({end:UInt32}, 'UTC')
LIMIT 1
"""


class Reading:
    """The reading of one period: whose usage, in which parts."""

    def __init__(
        self,
        store: Store,
        book: PriceBook,
        contracts: Contracts,
        period: Period,
        members: Members,
        window: dt.timedelta,
    ) -> None:
        self.store, self.period, self.members, self.window = store, period, members, window
        self.book, self.contracts = book, contracts
        self.asked = _asked(book, contracts, period, members)
        self.cuts = _cuts(book, contracts, period, members)

    def usage(self, org_id: int | None, billed: Iterable[int]) -> Iterator[OrgUsage]:
        """Yield the usage of everyone who is billed for the period, and that of those who used nothing.

        `billed` are those who were billed before: they are there also where all their usage was taken back.
        """
        own = sorted(self.members.own.union(org for org in billed if self.bills(org)))
        used = read_used(self.store, self.period, [self.members], self.asked, self.cuts, org_id, self.window)
        yield from with_the_unused((usage for usage in used if self.bills(usage.org_id)), own)

    def bills(self, org_id: int) -> bool:
        """Say whether an organisation that used something is billed for the period, or watched in it."""
        if org_id in self.members.own or org_id in self.members.watched:
            return True
        everyone = self.members.everyone or self.members.everyone_watched
        return everyone and org_id not in self.contracts.by_org


def read_used(
    store: Store,
    period: Period,
    members: Sequence[Members],
    asked: Mapping[str, Asked],
    cuts: Sequence[dt.datetime],
    org_id: int | None,
    window: dt.timedelta,
) -> Iterator[OrgUsage]:
    """Yield the usage of a period of those who may be billed by any of several contracts, by ascending organisation."""
    needed = {category: need for category, need in ((c, _told(a)) for c, a in asked.items()) if need != Need()}

    def read(org: int | None) -> Iterator[OrgUsage]:
        return read_detailed_usage(store, period, needed, cuts, org, window)

    few = sorted({org for each in members for org in each.own | each.watched})
    if org_id is not None:
        yield from read(org_id)
    elif any(each.everyone or each.everyone_watched for each in members) or len(few) > FEW:
        yield from read(None)
    else:
        for org in few:
            yield from read(org)


def with_the_unused(used: Iterable[OrgUsage], own: Iterable[int]) -> Iterator[OrgUsage]:
    """Merge two ascending streams: usage, and the organisations that are rated in any case."""
    waiting = iter(own)
    unused = next(waiting, None)
    for usage in used:
        while unused is not None and unused < usage.org_id:
            yield OrgUsage(unused, {}, NOTHING_READ)
            unused = next(waiting, None)
        if unused == usage.org_id:
            unused = next(waiting, None)
        yield usage
    while unused is not None:
        yield OrgUsage(unused, {}, NOTHING_READ)
        unused = next(waiting, None)


NOTHING_READ: Final = snapshot_id(0, 0)
"""The snapshot id of no rows."""


def _told(need: Asked) -> Need:
    return Need(_GRAINS[need.span], need.dimensions, need.level == "events")


def _asked(book: PriceBook, contracts: Contracts, period: Period, members: Members) -> dict[str, Asked]:
    """Return what the prices need to be told that may hold in a period for those who are billed."""
    zones = {"UTC", *(signed.contract.zone for signed in _agreed(contracts, members))}
    versions = [version for plan in book.plans.values() for version in plan.versions]
    found = [needs(version, zone) for version in versions for zone in zones if version.meets(period, zone)]
    for contract in (signed.contract for signed in _agreed(contracts, members)):
        if contract.plain:
            continue
        org = NOBODY if contract.org_id == EVERYONE else int(contract.org_id)
        held = terms(book, contracts, org, period)
        if isinstance(held, Terms):
            found += [needs_of(segment.charges.values(), contract.zone) for segment in held.segments]
    return joined(found)


def _cuts(book: PriceBook, contracts: Contracts, period: Period, members: Members) -> Sequence[dt.datetime]:
    """Return the instants inside a period at which prices or contracts may change: no part of usage reaches across."""
    zones = {"UTC"}
    days: set[dt.date] = set()
    for signed in _agreed(contracts, members):
        contract = signed.contract
        zones.add(contract.zone)
        days |= {contract.since, *([contract.until] if contract.until else [])}
        days |= contract.changes(signed.begins)
    for plan in book.plans.values():
        days |= {day for version in plan.versions for day in (version.since, version.until) if day is not None}
    first, last = period.start.date() - dt.timedelta(days=1), period.end.date() + dt.timedelta(days=1)
    near = [day for day in days if first <= day <= last]
    instants = {midnight(day, zone) for day in near for zone in zones}
    return sorted(instant for instant in instants if period.start < instant < period.end)


def _agreed(contracts: Contracts, members: Members) -> Iterator[Signed]:
    for org in members.own:
        yield from contracts.by_org[org]
    if members.everyone:
        yield from contracts.by_org.get(EVERYONE, ())
