"""What the programs of other languages are asked and answer, as text, and what clickhouse-connect answers, likewise.

A line of the queries' file is a query and, behind a tab, the value of its `{org:UInt64}`, where it has one. An answer
is a line `? query`, a line `: columns`, a line `= values` a row, and a line `! code` where it ended in an error; tabs
between. Values are text: NULL is `\\N`, an instant UTC with six digits of a second, a decimal without closing zeros.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client


class Address(NamedTuple):
    """Where a server answers, and as whom: a program's first arguments."""

    host: str
    port: int
    user: str
    password: str
    database: str


@dataclass
class Answer:
    """One query's answer."""

    query: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    error: str = ""


def write_queries(path: Path, queries: Iterable[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(query) + "\n" for query in queries), encoding="utf-8")


def read_answers(text: str) -> list[Answer]:
    """Read what a program printed. The rows of a query that failed stay with it."""
    answers: list[Answer] = []
    for line in text.split("\n"):
        mark, _, rest = line.partition("\t")
        fields = rest.split("\t")
        match mark:
            case "?":
                answers.append(Answer(fields[0]))
            case ":":
                answers[-1].columns = fields
            case "=":
                answers[-1].rows.append(fields)
            case "!":
                answers[-1].error = fields[0]
            case _:
                assert not line, line
    return answers


def ours(client: Client, query: str, org: str | None = None) -> Answer:
    """Ask clickhouse-connect."""
    found = client.query(query, parameters=None if org is None else {"org": int(org)})
    rows = [[shown(value) for value in row] for row in found.result_rows]
    return Answer(escaped(query), list(found.column_names), rows)


def shown(value: Any) -> str:
    match value:
        case None:
            return "\\N"
        case bool():
            return "true" if value else "false"
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        case Decimal():
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            return escaped(str(value))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
