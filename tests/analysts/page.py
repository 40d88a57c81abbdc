"""docs/ANALYSTS.md: the data that its answers come from, and its queries with what they print.

python -m tests.analysts.page        asks every query again and writes the answers into the page
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sinks.store import Store, open_store
from tally.output import plain
from tests.repository.code import ROOT

PAGE: Final = ROOT / "docs" / "ANALYSTS.md"
ASKED: Final = re.compile(r"```sql\n(?P<sql>[^`]+)\n```\n\n```text\n(?P<answer>[^`]+)\n```")
COMMANDS: Final = (
    (
        "generate usage/ --partitions 3 --events 300000 --seed 7 --orgs 200 --zipf 1.1 --start 2026-11-01 --span 23d "
        "--late 0.01"
    ),
    "run usage --store chdb:./tally-data",
    "rate --period 2026-11 --book {prices} --contracts {contracts} --store chdb:./tally-data",
)
"""What the page says that made its data."""
SAMPLES: Final = {
    "prices": ROOT / "tally" / "data" / "prices.yaml",
    "contracts": ROOT / "tally" / "data" / "contracts.yaml",
}


def make(folder: Path) -> str:
    """Make the page's data in a folder and return the store's address."""
    for command in COMMANDS:
        words = [word.format(**SAMPLES) for word in command.split()]
        subprocess.run([sys.executable, "-m", "tally.cli", *words], cwd=folder, check=True, capture_output=True)
    return f"chdb:{folder / 'tally-data'}"


def questions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each query of the page and the answer that stands below it."""
    for found in ASKED.finditer(text):
        yield found["sql"], found["answer"]


def answer(store: Store, sql: str) -> str:
    """Return what a query prints: columns apart by two spaces, numbers to the right."""
    result = store.query_rows(sql.rstrip().rstrip(";"))
    if not result:
        return "(no rows)"
    table = [list(result[0])] + [[_cell(value) for value in row.values()] for row in result]
    right = [all(isinstance(row[name], int) for row in result) for name in result[0]]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return "\n".join(_line(row, widths, right) for row in table)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = zip(row, widths, right, strict=True)
    return "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells).rstrip()


def _cell(value: Any) -> str:
    found = plain(value)
    return "NULL" if found is None else str(found)


def main() -> None:
    """Ask every query again and write the answers into the page."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, open_store(make(Path(folder)), create=False) as store:
        text = ASKED.sub(
            lambda found: f"```sql\n{found['sql']}\n```\n\n```text\n{answer(store, found['sql'])}\n```", text
        )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
