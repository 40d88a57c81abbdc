"""`tally rate`: price a period's usage by contract, print the statements and keep them."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import typer

from rater.files import load_book, load_contracts
from rater.memory import remembers
from rater.terms import Terms, terms
from schemas.catalogue import load_catalogue
from schemas.errors import RatingError, SettingsError
from schemas.period import Period
from schemas.statements import OrgUsage
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands.options import BookOption, ContractsOption, JsonOption, StoreOption
from tally.output import progress_bar
from tally.rated import Prices, Rated, Stamp, rate_here, rate_in_processes
from tally.rating import read_known
from tally.rating_answer import Answer, print_json_of, print_one, print_summary
from tally.settings import Settings, load_settings
from tally.statement_store import StatementStore
from tally.work import Work, by_window, work_by_period

SAMPLES: Final = Path(__file__).parents[1] / "data"


def command(
    period: Annotated[
        str, typer.Option("--period", metavar="MONTH", help="Rate the periods that begin in this month: 2026-11.")
    ],
    org: Annotated[
        int | None,
        typer.Option("--org", metavar="ID", help="Only this organisation: its whole statement.", min=0, max=MAX_ID),
    ] = None,
    book: BookOption = None,
    contracts: ContractsOption = None,
    again: Annotated[bool, typer.Option("--all", help="Rate what has not changed since the last run, too.")] = False,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=1, max=256, help="Rate in so many processes.")
    ] = 1,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Price a period's usage by contract: print statements and keep them in the store.

    Rates every organisation that has usage in the month or a contract of its own, for each of its billing periods that
    begin in the month. Prints a line for each, or with --org the whole statement with the arithmetic of each line.
    Rating again rates only what has changed since: usage, price book, contract, or that the period is now complete.
    Usage that cannot be priced (no contract, no price) is told on stderr by name; that organisation's statement is
    then shown as incomplete and not kept, and the exit status is 1. A run that is stopped is simply started again.

    For example:

        tally rate --period 2026-11 --book prices.yaml --contracts contracts.yaml

        tally rate --period 2026-11 --processes 4

        tally rate --period 2026-11 --org 42 --json
    """
    month = Period.parse(period)
    settings = load_settings(store=store, book=book, contracts=contracts)
    prices = Prices(
        load_book(_given(settings, "book", "prices.yaml")),
        load_contracts(_given(settings, "contracts", "contracts.yaml")),
        load_catalogue(settings.catalogue).row_by_name(),
    )
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        known = read_known(opened)
        statements = StatementStore(opened, prices.book, known, rated_at=time.time_ns() // 1_000)
        answer = Answer(month, known, statements.outcome)
        done = None if again or org is not None or as_json else _unchanged(prices, statements)
        window = dt.timedelta(microseconds=settings.window)
        periods = work_by_period(opened, prices.book, prices.contracts, month, org, done=done, window=window)
        whole = org is not None or as_json
        rated = _rated(
            _kept_before_the_next(periods, statements),
            prices,
            statements.stamp,
            lambda work: by_window(opened, work, window),
            1 if whole else processes,
        )
        told = answer.follow(_kept(rated, statements))
        if org is not None:
            print_one(answer, told, org, as_json=as_json)
        elif as_json:
            print_json_of(answer, told)
        else:
            print_summary(answer, _watched(told))
    answer.tell()
    if answer.failures:
        raise typer.Exit(RatingError.exit_status)


def _rated(
    periods: Iterable[Iterable[Work]],
    prices: Prices,
    stamp: Stamp,
    again: Callable[[Work], Work],
    processes: int,
) -> Iterator[Rated]:
    if processes == 1:
        return rate_here(chain.from_iterable(periods), prices, stamp, again)
    return rate_in_processes(periods, prices, stamp, again, processes)


def _kept_before_the_next(periods: Iterable[Iterable[Work]], statements: StatementStore) -> Iterator[Iterable[Work]]:
    """Pass periods on, each with what the one before it left in the store: accounts go from period to period."""
    for works in periods:
        yield works
        statements.flush()


def _unchanged(prices: Prices, statements: StatementStore) -> Callable[[Period, OrgUsage], bool]:
    """Return what says of usage that its statement is in the store already, rated from the same by the same terms."""
    before: dict[Period, dict[int, tuple[str, str, str]]] = {}

    def done(period: Period, usage: OrgUsage) -> bool:
        if period not in before:
            before.clear()  # periods come one after the other
            before[period] = statements.known_before(period)
        stored = before[period].get(usage.org_id)
        if stored is None or stored[0] != usage.snapshot_id:
            return False
        found = terms(prices.book, prices.contracts, usage.org_id, period)
        if not isinstance(found, Terms) or remembers(found) or not _one_contract(found):
            return False
        same = stored[1:] == (found.contract.id, found.signed.content_hash)
        statements.outcome.unchanged += same
        return same

    return done


def _one_contract(found: Terms) -> bool:
    """Say whether the hash of the contract names all that is agreed: no earlier version or amendment has a say."""
    contract = found.contract
    return (
        len(found.segments) == 1 and found.signed.begins == contract.since and not (contract.phases or contract.trial)
    )


def _given(settings: Settings, name: str, sample: str) -> Path:
    path: Path | None = getattr(settings, name)
    if path is None:
        raise SettingsError(
            f"no {name} given: name a file with --{name} FILE, TALLY_{name.upper()} or `{name}` in tally.toml "
            f"(a sample to start from is {SAMPLES / sample})"
        )
    return path


def _kept(rated: Iterable[Rated], statements: StatementStore) -> Iterator[Rated]:
    """Pass ratings on, and keep the complete ones."""
    with statements:
        for found in rated:
            if found.row is not None:
                statements.add_row(found.row, found.account)
            yield found


def _watched(rated: Iterable[Rated]) -> Iterator[Rated]:
    """Pass ratings on, and show how many there were so far."""
    with progress_bar() as bar:
        task = bar.add_task("rating", total=None)
        for count, found in enumerate(rated, 1):
            if count % 1_000 == 0:
                bar.update(task, description=f"rated {count:,}, organisation {found.org_id}")
            yield found
