"""`tally statement`: the statements that were kept, for people and machines."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rater.html import page
from rater.render import instant, is_provisional, money, shown_as_known, text_of
from schemas.errors import RatingError, SettingsError
from schemas.period import Period
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands.options import JsonOption, StoreOption
from tally.json_rows import print_json_rows
from tally.output import print_json, print_table, say
from tally.settings import load_settings
from tally.stored_statements import Kept, Listed, list_statements, read_statements

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

    For example:

        tally statement list --period 2026-11
    """
    columns = ("org_id", "contract", "period_start", "period_end", "lines", "total", "currency", "state", "rated_at")
    month = Period.parse(period)
    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        rows = map(_row, list_statements(opened, month, org))
        if as_json:
            print_json_rows(columns, rows, before={"period": month.name})
            return
        found = list(islice(rows, TABLE_ROWS + 1))
    if not found:
        print(f"no statement is kept of a period that begins in {month}: `tally rate --period {month}` makes them")
        return
    print_table(columns, found[:TABLE_ROWS])
    if len(found) > TABLE_ROWS:
        print(f"the first {TABLE_ROWS:,}; --json prints all")


def _row(one: Listed) -> tuple[Any, ...]:
    state = "provisional" if one.provisional else "complete"
    total = money(one.total, one.currency)
    return (
        one.org_id,
        one.contract,
        instant(one.period.start),
        instant(one.period.end),
        one.lines,
        total,
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
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an organisation's statement with the arithmetic of every line, as text, JSON or an HTML page.

    For example:

        tally statement show --org 42 --period 2026-11

        tally statement show --org 42 --period 2026-11 --html statement.html
    """
    if html is not None and as_json:
        raise SettingsError("--html and --json cannot both be given: choose one")
    month = Period.parse(period)
    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        found = list(read_statements(opened, month, org))
    if not found:
        raise RatingError(
            f"organisation {org} has no statement of a period that begins in {period}: `tally rate --period {period}` "
            "makes them, and says what could not be priced"
        )
    if as_json:
        print_json([{**kept.document, **_known(kept)} for kept in found])
        return
    statements = [shown_as_known(kept.document, kept.complete_to, kept.period) for kept in found]
    if html is not None:
        _write(html, page(statements))
        say(f"wrote {html}: {len(found)} statement{'s' if len(found) > 1 else ''}")
        return
    print("\n\n".join(text_of(one) for one in statements))


def _known(kept: Kept) -> dict[str, Any]:
    return {"complete_to": kept.complete_to, "provisional": is_provisional(kept.complete_to, kept.period)}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--html {path}: cannot be written: {error.strerror}") from error
