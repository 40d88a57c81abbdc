"""`tally simulate`: rate real usage under another price book or other contracts, and compare."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rater.files import load_book, load_contracts
from rater.render import completeness, instant, is_provisional, money
from schemas.catalogue import load_catalogue
from schemas.errors import RatingError, SettingsError
from schemas.period import Period
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands.options import JsonOption, StoreOption
from tally.json_rows import print_json_rows
from tally.output import print_table, progress_bar, say
from tally.paired_work import pairs_of
from tally.rated import Prices
from tally.rating import Known, read_known
from tally.settings import load_settings
from tally.simulated import Part, Trial, simulate
from tally.simulation import Compared, Findings, Side, State, Sums, failures_of

TOLD_FAILURES: Final = 1_000
"""Failures that are told one by one."""
STATES: Final[Mapping[State, str]] = {
    "more": "pay more",
    "less": "pay less",
    "same": "pay the same",
    "new": "have a statement only then",
    "gone": "have no statement then",
    "other_currency": "pay in another currency",
    "failed": "cannot be compared: what they owe cannot be said",
}


def command(
    period: Annotated[
        str, typer.Option("--period", metavar="MONTH", help="The billing periods that begin in this month: 2026-10.")
    ],
    book: Annotated[Path | None, typer.Option("--book", metavar="FILE", help="The price book to try.")] = None,
    contracts: Annotated[Path | None, typer.Option("--contracts", metavar="FILE", help="The contracts to try.")] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="The price book as it is, where the settings name none."),
    ] = None,
    against_contracts: Annotated[
        Path | None,
        typer.Option("--against-contracts", metavar="FILE", help="The contracts as they are, likewise."),
    ] = None,
    org: Annotated[
        int | None, typer.Option("--org", metavar="ID", help="Only this organisation.", min=0, max=MAX_ID)
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", help="Show so many of the largest differences.", min=0, max=10_000)
    ] = 20,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=1, max=256, help="Rate in so many processes.")
    ] = 1,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Rate real usage under another price book or contracts: who would pay more, who less, how much.

    The month's usage is read once and rated twice: by the price book and contracts in the settings, and by those to
    be tried; what is not given stays as it is. Nothing is kept. What cannot be priced on either side is told by name,
    is in no total, and makes the exit status 1. JSON has every statement, and what each charge comes to.

    For example:

        tally simulate --book new.yaml --period 2026-10

        tally simulate --book new.yaml --contracts new-contracts.yaml --period 2026-10 --top 50 --processes 4

        tally simulate --book new.yaml --against prices.yaml --period 2026-10 --org 42 --json
    """
    month = Period.parse(period)
    settings = load_settings(store=store)
    if book is None and contracts is None:
        raise SettingsError("nothing to try: name a price book with --book FILE, or contracts with --contracts FILE")
    old_book = _given(against or settings.book, "book", "--against")
    old_contracts = _given(against_contracts or settings.contracts, "contracts", "--against-contracts")
    rank = load_catalogue(settings.catalogue).id_by_name()
    before = Prices(load_book(old_book), load_contracts(old_contracts), rank)
    after = Prices(
        before.book if book is None else load_book(book),
        before.contracts if contracts is None else load_contracts(contracts),
        rank,
    )
    findings = Findings(top)
    window = dt.timedelta(microseconds=settings.window)
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        known = read_known(opened)
        pairs = pairs_of(opened, before, after, month, org, window)
        parts = simulate(pairs, Trial(before, after, top, every=as_json), opened, window, processes)
        found = _told(parts, findings)
        if as_json:
            _print_json(findings, (one for part in found for _, one in part.told), month, known)
        else:
            _print_tables(findings, _watched(found), month, known)
    if findings.failures:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(findings.failures.items()))
        told = f"{findings.failures.total():,} failures ({reasons})"
        say(f"tally: {told}; the statements that they are of are in no total")
        raise typer.Exit(RatingError.exit_status)


def _given(path: Path | None, name: str, flag: str) -> Path:
    if path is None:
        raise SettingsError(
            f"no {name} to compare with: name the file with {flag} FILE, TALLY_{name.upper()} or `{name}` in tally.toml"
        )
    return path


def _told(parts: Iterable[Part], findings: Findings) -> Iterator[Part]:
    """Pass parts on, add up what was found, and tell what could not be priced."""
    told = 0
    for part in parts:
        findings.join(part.findings)
        for _, one in part.told:
            for where, failure in failures_of(one):
                told += 1
                if told <= TOLD_FAILURES:
                    say(f"tally: {where}: {failure}")
        yield part


def _watched(parts: Iterable[Part]) -> Iterator[Part]:
    with progress_bar() as bar:
        task = bar.add_task("rating", total=None)
        count = 0
        for part in parts:
            count += part.findings.states.total()
            bar.update(task, description=f"compared {count:,}, organisation {part.last}")
            yield part


def _print_tables(findings: Findings, parts: Iterable[Part], month: Period, known: Known) -> None:
    for _ in parts:
        pass
    if not findings.states:
        print(f"nothing to rate in {month}: no usage, and no organisation has a contract of its own")
        return
    for currency in sorted(findings.totals):
        if largest := findings.largest(currency):
            columns = ("org_id", "period", "contract", "before", "after", "difference", "most of it")
            print_table(columns, map(_row, largest), title=f"The largest differences, {currency}")
    rows = [
        (currency, charge, *_amounts(sums, currency))
        for (currency, charge), sums in sorted(findings.charges.items())
        if sums.difference
    ]
    if rows:
        print_table(("currency", "charge", "before", "after", "difference"), rows, title="By charge, where it differs")
    totals = [(currency, *_amounts(sums, currency)) for currency, sums in sorted(findings.totals.items())]
    print_table(("currency", "before", "after", "difference"), totals, title="In all")
    for state, told in STATES.items():
        if count := findings.states.get(state):
            print(f"{count:,} {told}")
    print(completeness(known.complete_to, month))


def _row(one: Compared) -> tuple[Any, ...]:
    before, after = (money(side.total, one.currency) if side else "" for side in (one.before, one.after))
    assert one.difference is not None, "what cannot be compared has no place among differences"
    moved = {charge: after - before for charge, (before, after) in one.by_charge().items()}
    most = max(moved, key=lambda charge: abs(moved[charge]), default="")
    told = f"{most} {_signed(moved[most], one.currency)}" if most else ""
    contract = (one.after or one.before or _UNKNOWN).contract
    return (one.org_id, one.period.name, contract, before, after, _signed(one.difference, one.currency), told)


_UNKNOWN: Final = Side("", Decimal(0), "", {}, ())


def _amounts(sums: Sums, currency: str) -> tuple[str, str, str]:
    return money(sums.before, currency), money(sums.after, currency), _signed(sums.difference, currency)


def _signed(amount: Decimal, currency: str) -> str:
    return ("+" if amount > 0 else "") + money(amount, currency)


def _print_json(findings: Findings, comparisons: Iterable[Compared], month: Period, known: Known) -> None:
    columns = ("org_id", "period", "state", "before", "after", "difference", "charges", "failures")
    before = {
        "period": month.name,
        "complete_to": None if known.complete_to is None else instant(known.complete_to),
        "provisional": is_provisional(known.complete_to, month),
    }
    print_json_rows(columns, map(_document, comparisons), before=before, after=lambda: _about(findings))


def _document(one: Compared) -> list[Any]:
    return [
        one.org_id,
        one.period.name,
        one.state,
        _side(one.before),
        _side(one.after),
        one.difference,
        {charge: {"before": old, "after": new} for charge, (old, new) in one.by_charge().items()},
        [
            {"where": where, "reason": failure.reason, "category": failure.category, "detail": failure.detail}
            for where, failure in failures_of(one)
        ],
    ]


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    total = None if side.failures else side.total
    return {"contract": side.contract, "total": total, "currency": side.currency}


def _about(findings: Findings) -> dict[str, Any]:
    def told(sums: Sums) -> dict[str, Decimal]:
        return {"before": sums.before, "after": sums.after, "difference": sums.difference}

    return {
        "statements": {state: findings.states.get(state, 0) for state in STATES},
        "totals": {currency: told(sums) for currency, sums in sorted(findings.totals.items())},
        "charges": [
            {"currency": currency, "charge": charge, **told(sums)}
            for (currency, charge), sums in sorted(findings.charges.items())
        ],
        "failures": dict(sorted(findings.failures.items())),
        "usage_changed_meanwhile": 0,  # usage is read once; the field stays for those who read it
    }
