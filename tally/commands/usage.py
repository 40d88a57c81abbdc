"""`tally usage`: print what was counted."""

import csv
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from sinks.store import open_store
from tally.commands.options import CatalogueOption, CsvOption, JsonOption, StoreOption
from tally.json_rows import print_json_rows
from tally.output import chosen_form, print_table, say
from tally.settings import Settings, load_settings
from tally.usage import By, UsageAnswer, UsageQuery, check_query, read_bound, read_usage
from tally.usage_aggregates import Aggregate, read_aggregate

TABLE_ROWS: Final = 1_000
"""Rows that a table shows where no limit was given: it is held in memory, and read by a person."""


def command(
    org: Annotated[
        list[int] | None, typer.Option("--org", metavar="ID", help="Only this organisation; may be repeated.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", metavar="NAME", help="Only this category; may be repeated.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Only windows that start at or after this: a date (UTC) or RFC 3339."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only windows that start before this.")
    ] = None,
    by: Annotated[By, typer.Option("--by", help="What a row covers; hours, days and months are UTC.")] = "window",
    aggregate: Annotated[
        Aggregate | None,
        typer.Option(
            "--aggregate",
            help="Another answer than the sum; latest, unique and weighted-sum need a category that keeps its events.",
            show_default="the sum",
        ),
    ] = None,
    project: Annotated[
        bool | None,
        typer.Option(
            "--project/--no-project", help="Tell projects apart, or sum over them.", show_default="where any are stored"
        ),
    ] = None,
    dimensions: Annotated[
        bool | None,
        typer.Option(
            "--dimensions/--no-dimensions",
            help="Tell grouped attributes apart, or sum over them.",
            show_default="where any are stored",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", help="At most this many rows.", show_default=f"all; {TABLE_ROWS:,} in a table"
        ),
    ] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
) -> None:
    """Print usage by organisation, category and time, and the instant to which it is complete.

    For example:

        tally usage --org 42 --from 2026-11-01 --to 2026-12-01 --by day

        tally usage --category error --by hour --csv > usage.csv

        tally usage --category seer_user --by month --aggregate unique

    Usage is counted in windows, by the time in the events. What lies
    before complete_to is final: nothing that a log still holds can change
    it (replaying a dead letter can). CSV has complete_to as its last
    column, JSON beside the rows; it is empty (null) where it is not known.
    Rows come in the order of organisation, category and time.

    With --aggregate a row ends with one number: the count of events, the
    max or the average quantity of one event, the latest quantity by event
    time, how many unique values of the kept attribute there are, or the
    weighted-sum of levels, each by the part of the hour, day or month for
    which it held (give --from and --to).
    """
    form = chosen_form(as_json=as_json, as_csv=as_csv)
    settings = load_settings(store=store, catalogue=catalogue)
    query = UsageQuery(
        by=by,
        orgs=tuple(org or ()),
        categories=tuple(category or ()),
        start=None if since is None else read_bound(since, "--from"),
        end=None if until is None else read_bound(until, "--to"),
        project=project,
        dimensions=dimensions,
        limit=TABLE_ROWS if limit is None and form == "table" else limit,
    )
    check_query(query)
    with open_store(settings.store, create=False) as opened:
        if aggregate is None:
            answer = read_usage(opened, query, _known_categories(settings, query))
        else:
            known = settings.meter_settings().catalogue if query.categories else None
            answer = read_aggregate(opened, query, aggregate, known, settings.window)
        if form == "json":
            about = {"complete_to": answer.complete_to_text, "by": by}
            print_json_rows(answer.columns, answer.rows, before=about, after=lambda: {"truncated": answer.truncated})
        elif form == "csv":
            _print_csv(answer)
        else:
            _print_table(answer, query)


def _known_categories(settings: Settings, query: UsageQuery) -> Sequence[str]:
    # Read only where it is asked, so that usage can be looked at where the catalogue's file is not.
    return settings.meter_settings().catalogue.names if query.categories else ()


def _print_csv(answer: UsageAnswer) -> None:
    # Plain numbers and text, in millions of rows: they need no look at each value.
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*answer.columns, "complete_to"])
    count = 0
    for count, row in enumerate(answer.rows, 1):  # noqa: B007 - asked for below
        writer.writerow((*row, answer.complete_to_text))
    if not count:
        say(f"no usage found; {answer.completeness()}")
    elif answer.truncated:
        say(f"cut off after {count:,} rows by --limit")


def _print_table(answer: UsageAnswer, query: UsageQuery) -> None:
    rows = list(answer.rows)
    if rows:
        print_table(answer.columns, rows)
    else:
        print(f"no usage found{_asked(query)}")
    print(answer.completeness())
    if answer.truncated:
        say(f"the first {len(rows):,} rows; --limit N shows more, --csv and --json show all")


def _asked(query: UsageQuery) -> str:
    narrowed = query.orgs or query.categories or query.start is not None or query.end is not None
    return " for what was asked" if narrowed else ": the store has none"
