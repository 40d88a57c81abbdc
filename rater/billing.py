"""Billing periods: which ones contracts have, and what no contract covers."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from rater.contract import Contract, Contracts, Signed
from rater.memo import Memo
from schemas.contracts import EVERYONE
from schemas.period import Period, days_name, midnight


def billing_periods(contracts: Contracts, org_id: int, month: Period) -> tuple[Period, ...]:
    """Return the billing periods of an organisation that begin in a month, local to each contract, in order."""
    candidates = contracts.by_org.get(org_id) or contracts.by_org.get(EVERYONE, ())
    return _PERIODS.get((candidates,), month, lambda: _beginning_in(candidates, month))


_PERIODS: Final[Memo[tuple[Period, ...]]] = Memo()


def _beginning_in(candidates: Sequence[Signed], month: Period) -> tuple[Period, ...]:
    found = {
        period
        for chain in chains(candidates)
        for period in chain[0].cycle.beginning_in(month, chain[0].contract.since, chain[-1].contract.until)
    }
    return tuple(sorted(found))


def periods_beginning_in(contract: Contract, month: Period) -> tuple[Period, ...]:
    """Return the billing periods of one contract that begin in its local month of the year and month of `month`."""
    cycle = contract.billing.statements(contract.since)
    return tuple(cycle.beginning_in(month, contract.since, contract.until))


def uncovered(contracts: Contracts, org_id: int, period: Period) -> tuple[Period, ...]:
    """Return the parts of a period in which no contract of an organisation is in force: usage there has no price.

    Together with the billing periods they leave no instant out: an instant under a contract is in one of its periods.
    """
    candidates = contracts.by_org.get(org_id) or contracts.by_org.get(EVERYONE, ())
    start, found = period.start, []
    for signed in sorted(candidates, key=start_of):
        if start < min(start_of(signed), period.end):
            found.append(_part(start, min(start_of(signed), period.end)))
        start = max(start, end_of(signed))
    if start < period.end:
        found.append(_part(start, period.end))
    return tuple(found)


def chains(candidates: Sequence[Signed]) -> Iterator[tuple[Signed, ...]]:
    """Yield the runs of contracts that follow each other without a gap, in one currency, with the same periods."""
    run: list[Signed] = []
    for signed in candidates:
        if run and not (
            run[-1].contract.until == signed.contract.since
            and run[-1].contract.currency == signed.contract.currency
            and run[-1].cycle == signed.cycle
        ):
            yield tuple(run)
            run = []
        run.append(signed)
    if run:
        yield tuple(run)


def start_of(signed: Signed) -> dt.datetime:
    """Return the instant from which a contract is in force."""
    return midnight(signed.contract.since, signed.contract.zone)


def end_of(signed: Signed) -> dt.datetime:
    """Return the instant until which a contract is in force; the last there is where it has no end."""
    contract = signed.contract
    return dt.datetime.max.replace(tzinfo=dt.UTC) if contract.until is None else midnight(contract.until, contract.zone)


def _part(start: dt.datetime, end: dt.datetime) -> Period:
    if midnight(start.date()) == start and midnight(end.date()) == end:
        return Period(start, end, days_name(start.date(), end.date()))
    return Period(start, end, f"{start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}")
