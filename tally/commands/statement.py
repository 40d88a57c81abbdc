"""`tally statement`: the statements that were kept, for people and machines."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rater.html import page
from rater.render import instant, is_provisional, money, shown_as_known, text_of
from rater.shown import ShownStatement, shown
from schemas.errors import RatingError, SettingsError
from schemas.period import Period
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands.options import JsonOption, StoreOption
from tally.json_rows import print_json_rows
from tally.output import print_json, print_table, say
from tally.settings import load_settings
from tally.stored_statements import (
    Kept,
    Listed,
    list_statements,
    read_interim_statements,
    read_statements,
    read_unrated,
)

TABLE_ROWS: Final = 1_000
"""Statements that the table shows: it is held in memory, and read by a person."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

MonthOption = Annotated[
    str, typer.Option("--period", metavar="MONTH", help="The month in which the billing period begins, as in 2026-11.")
]
OrgOption = Annotated[
    int | None, typer.Option("--org", min=0, max=MAX_ID, metavar="ID", help="Only this organisation.")
]


@app.callback()
def statement() -> None:
    """Show the statements that `tally rate` has kept.

    A statement is shown as it was rated, whatever the price book says today;
    `tally rate` computes it anew.

    For example:

        tally statement show --org 42 --period 2026-11
    """


@app.command("list")
def listing(period: MonthOption, org: OrgOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the statements of a month: organisation, contract, total, and whether they can still change.

    Interim statements, which were billed before their period ended, stand with
    their number before the period's own, which takes them off. A period that
    could not be rated is there with the reason; a statement of an earlier rating
    then stands as it was, and says so.

    For example:

        tally statement list --period 2026-11
    """
    columns = (
        *("org_id", "contract", "period_start", "period_end", "interim"),
        *("lines", "total", "currency", "state", "rated_at"),
    )
    month = Period.parse(period)
    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        listed = list_statements(opened, month, org)
        if as_json:  # machines read amounts: no separators
            rows = (_row(one, money(one.total, one.currency).replace(",", "")) for one in listed)
            print_json_rows(columns, rows, before={"period": month.name})
            return
        found = [_row(one, money(one.total, one.currency)) for one in islice(listed, TABLE_ROWS + 1)]
    if not found:
        print(f"no statement is kept of a period that begins in {month}: `tally rate --period {month}` makes them")
        return
    print_table(columns, found[:TABLE_ROWS])
    if len(found) > TABLE_ROWS:
        print(f"the first {TABLE_ROWS:,}; --json prints all")


def _row(one: Listed, total: str) -> tuple[Any, ...]:
    state = "interim" if one.interim else "provisional" if one.provisional else "complete"
    if one.failed:
        state = f"{state}, and a later rating FAILED ({one.failed})" if one.contract else f"NOT RATED ({one.failed})"
    return (
        one.org_id,
        one.contract,
        instant(one.period.start),
        instant(one.period.end),
        one.interim,
        one.lines,
        total if one.contract else None,
        one.currency,
        state,
        instant(one.rated_at),
    )


@app.command()
def show(
    period: MonthOption,
    org: Annotated[int, typer.Option("--org", min=0, max=MAX_ID, metavar="ID", help="The organisation.")],
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that opens offline and prints, instead."),
    ] = None,
    interim: Annotated[
        int | None,
        typer.Option("--interim", min=1, metavar="N", help="The N-th statement billed before the period ended."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an organisation's statement with the arithmetic of every line, as text, JSON or an HTML page.

    Where a later rating of the period failed, the statement stands as it was
    before, and what failed is said with it.

    For example:

        tally statement show --org 42 --period 2026-11

        tally statement show --org 42 --period 2026-11 --interim 1

        tally statement show --org 42 --period 2026-11 --html statement.html
    """
    if html is not None and as_json:
        raise SettingsError("--html and --json cannot both be given: choose one")
    month = Period.parse(period)
    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        found = list(read_statements(opened, month, org)) if interim is None else []
        early = [] if interim is None else list(read_interim_statements(opened, month, org))
        unrated = read_unrated(opened, month, org) if not found and interim is None else []
    if interim is not None:
        found = _numbered(early, interim, org, period)
    if not found:
        failed = "".join(f"; the last rating failed: {told}" for one in unrated for told in one.sentences())
        raise RatingError(
            f"organisation {org} has no statement of a period that begins in {period}: `tally rate --period {period}` "
            f"makes them, and says what could not be priced{failed}"
        )
    if as_json:
        print_json([{**kept.document, **_known(kept)} for kept in found])
        return
    statements = [_shown(kept) for kept in found]
    if html is not None:
        _write(html, page(statements))
        say(f"wrote {html}: {len(found)} statement{'s' if len(found) > 1 else ''}")
        return
    print("\n\n".join(text_of(one) for one in statements))


def _numbered(early: list[Kept], number: int, org: int, period: str) -> list[Kept]:
    found = [kept for kept in early if kept.document["interim"] == number]
    if not found:
        there = ", ".join(str(kept.document["interim"]) for kept in early)
        raise RatingError(
            f"organisation {org} has no interim statement {number} of a period that begins in {period}: "
            + (f"it has {there}" if there else "it has none")
        )
    return found


def _shown(kept: Kept) -> ShownStatement:
    if "interim" in kept.document:
        told = (
            f"Billed before the end of {kept.period}, of the usage known then; the period's own statement takes it off."
        )
        return shown(kept.document, remarks=[told])
    found = shown_as_known(kept.document, kept.complete_to, kept.period)
    failed = [
        f"A later rating failed, and this is what was said before: {told}"
        for one in kept.failed
        for told in one.sentences()
    ]
    return replace(found, warnings=(*failed, *found.warnings))


def _known(kept: Kept) -> dict[str, Any]:
    if "interim" in kept.document:
        return {"complete_to": kept.complete_to}
    failures = [{**failure, "since": one.since} for one in kept.failed for failure in one.failures]
    provisional = is_provisional(kept.complete_to, kept.period)
    return {"complete_to": kept.complete_to, "provisional": provisional, "failures": failures}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--html {path}: cannot be written: {error.strerror}") from error
