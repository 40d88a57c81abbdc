"""How commands print: a table for people, JSON or CSV for machines. Data goes to stdout, messages to stderr.

Numbers keep every digit: JSON has whole numbers as they are and decimals as strings, and no float ever leaves here.
"""

import csv
import datetime as dt
import json
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from schemas.errors import SettingsError
from tally.units import show_moment

if TYPE_CHECKING:
    from rich.progress import Progress

Form = Literal["table", "json", "csv"]

UNSEPARATED: Final = frozenset({"offset", "index", "generation", "partition", "year"})
"""Columns (beside those that end in _id) whose numbers are names, and read worse with separators."""

_WIDE: Final = 100_000


def chosen_form(*, as_json: bool = False, as_csv: bool = False) -> Form:
    """Return the form that the flags ask for. Raises SettingsError where they ask for two."""
    if as_json and as_csv:
        raise SettingsError("--json and --csv cannot both be given: choose one")
    return "json" if as_json else "csv" if as_csv else "table"


def say(message: str) -> None:
    """Tell the person something, on stderr."""
    print(message, file=sys.stderr, flush=True)


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    form: Form,
    *,
    title: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Print rows in the form asked for. `about` is said of all of them: JSON `{"rows": […], **about}`.

    A table shows `about` on lines below it; CSV has rows and nothing else.
    """
    if form == "json":
        print_json({"rows": [dict(zip(columns, row, strict=True)) for row in rows], **(about or {})})
    elif form == "csv":
        print_csv(columns, rows)
    else:
        print_table(columns, rows, title=title)
        for name, value in (about or {}).items():
            print(f"{name}: {_cell(name, value)}")


def print_json(value: Any) -> None:
    """Print one JSON document, indented; instants as RFC 3339 in UTC, decimals as strings."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a header and the rows, as RFC 4180 has it but for line ends, which are plain newlines."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        assert len(row) == len(columns), "a row has a value for each column"
        writer.writerow([_flat(value) for value in row])


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table: numbers to the right with thousands separators, nothing cut off."""
    from rich import box  # noqa: PLC0415 - machines that ask for JSON need not wait for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    kept = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        right = any(_number(row[place]) for row in kept)
        table.add_column(Text(column), justify="right" if right else "left", overflow="fold")
    for row in kept:
        cells = zip(columns, row, strict=True)
        table.add_row(*(Text(_cell(column, value)) for column, value in cells))
    # A pipe has no width: without one given, Rich would fold at 80 characters.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)


def progress_bar() -> "Progress":
    """Return a progress display on stderr, silent where stderr is no terminal; use it in a `with`."""
    from rich.console import Console  # noqa: PLC0415 - loaded where something long is about to happen anyway
    from rich.progress import Progress  # noqa: PLC0415

    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def plain(value: Any) -> Any:
    """Return a value as JSON has it. A float is a bug: nothing that is counted or billed may have been one."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return show_moment(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "__index__"):
        return operator.index(value)
    assert not isinstance(value, float), f"{value!r} is a float"
    return str(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _flat(value: Any) -> Any:
    """Return a CSV field: nested values as JSON, nothing as an empty field."""
    found = plain(value)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    return json.dumps(found, ensure_ascii=False) if isinstance(found, list | dict) else found


def _cell(column: str, value: Any) -> str:
    """Return a table's cell, with what a terminal would obey made visible."""
    if _number(value):
        apart = not (column in UNSEPARATED or column.endswith("_id"))
        return format(value, "," if isinstance(value, int) else ",f") if apart else format(plain(value))
    text = str(_flat(value))
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
