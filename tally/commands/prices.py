"""`tally prices`: price books and contracts as code: check them, compare two."""

from pathlib import Path
from typing import Annotated, Final

import typer

from rater.book import BookFile
from rater.changes import differences
from rater.checks import check
from rater.contract import ContractsFile
from rater.files import load_book, text_of_file
from rater.json_schema import json_schema
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from tally.commands.options import JsonOption
from tally.output import print_json, print_rows, say
from tally.settings import load_settings

TOLD: Final = 1_000
"""Problems that are told one by one."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

BookArgument = Annotated[Path, typer.Argument(metavar="BOOK", help="A price book (YAML).")]


@app.callback()
def prices() -> None:
    """Check price books and contracts before they bill anybody, and show what a new book changes.

    For example:

        tally prices check prices.yaml --contracts contracts.yaml
    """


@app.command("check")
def checking(
    book: BookArgument,
    contracts: Annotated[
        Path | None, typer.Option("--contracts", metavar="FILE", help="Contracts, to be checked under the book.")
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option("--catalogue", metavar="FILE", help="The category catalogue (YAML)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a price book, and contracts under it: every problem with its file, line and reason.

    Errors are what a run would refuse: gaps and overlaps of versions, tiers
    that are not reached, floats, overrides that match nothing, mixed
    currencies, categories that the catalogue lacks, prices that need events
    that are not kept. Warnings are what is said in vain, and categories that
    nothing prices. Exit status: 0, or 1 where there are errors, 2 where a
    file cannot be read as a price book at all.

    For example:

        tally prices check prices.yaml --contracts contracts.yaml
    """
    settings = load_settings(catalogue=catalogue)
    found = check(
        _read(book, "price book"),
        None if contracts is None else _read(contracts, "contracts file"),
        load_catalogue(settings.catalogue),
    )
    errors = sum(problem.level == "error" for problem in found)
    warnings = len(found) - errors
    if as_json:
        rows = [{"file": one.file, "line": one.line, "level": one.level, "reason": one.reason} for one in found]
        print_json({"problems": rows, "errors": errors, "warnings": warnings})
    else:
        for problem in found[:TOLD]:
            print(problem)
        if len(found) > TOLD:
            print(f"and {len(found) - TOLD:,} more; --json prints all")
        say(f"{errors:,} errors, {warnings:,} warnings")
    if errors or (strict and warnings):
        raise typer.Exit(1)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The price book as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The price book as it is to be.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a new price book changes, price by price.

    `tally simulate` shows what that means for each organisation's bill.

    For example:

        tally prices diff prices.yaml new.yaml
    """
    before, after = load_book(old), load_book(new)
    found = differences(before, after)
    print_rows(("place", "before", "after"), found, "json" if as_json else "table", about={"changes": len(found)})
    if found and after.revision <= before.revision:
        raise SettingsError(
            f"{new}: revision {after.revision} has other prices than revision {before.revision} of {old}: raise "
            "`revision`, so that statements of the new book replace those of the old one"
        )


@app.command()
def schema(
    contracts: Annotated[bool, typer.Option("--contracts", help="The schema of contracts files instead.")] = False,
) -> None:
    """Print the JSON Schema of price books, for editors.

    For example:

        tally prices schema > prices.schema.json
    """
    print_json(json_schema(ContractsFile if contracts else BookFile))


def _read(path: Path, what: str) -> tuple[str, str]:
    return str(path), text_of_file(path, what)
