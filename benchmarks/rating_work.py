"""What `python -m benchmarks.rating` measures, each in a process of its own.

python -m benchmarks.rating_work lines N               statement lines a CPU second, in memory, as JSON
python -m benchmarks.rating_work fill FOLDER N ROWS    a store with usage of N organisations
python -m benchmarks.rating_work answer FOLDER         what the store's statements say, as JSON
python -m benchmarks.rating_work steps OUT -- rate …   `tally rate …` with a stopwatch around its steps
"""

import importlib
import json
import random
import runpy
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.inputs import ROOT
from rater.book import Contracts, PriceBook
from rater.files import book_from, load_book, load_contracts
from rater.rate import rate
from schemas.log import LogId
from schemas.period import Period
from schemas.progress import Mark, Progress
from schemas.statements import CategoryUsage, OrgUsage
from schemas.usage import Flush, UsageRows
from sinks.store import open_store

MONTH: Final = Period.month(2026, 11)
BOOK: Final = ROOT / "tally" / "data" / "prices.yaml"
CONTRACTS: Final = ROOT / "tally" / "data" / "contracts.yaml"
CATEGORIES: Final = (
    "attachment",
    "default",
    "error",
    "log_byte",
    "monitor_seat",
    "profile_duration",
    "replay",
    "seer_user",
    "span",
    "uptime",
)
FIRST_ORG: Final = 1_000
"""Above those that have contracts of their own in the sample: everybody here is on the list price."""
RUNS: Final = 5
CHUNK: Final = 50_000
HOUR: Final = 3_600_000_000

STEPS: Final = (
    ("ClickHouse: reading", "sinks.store", "Store.stream"),
    ("ClickHouse: reading", "sinks.store", "Store.query"),
    ("ClickHouse: reading", "sinks.store", "Store.query_rows"),
    ("ClickHouse: reading", "sinks.store", "Store.query_arrow"),
    ("ClickHouse: writing", "sinks.store", "Store._insert"),
    ("rating", "tally.rated", "rate"),
    ("statements as JSON", "tally.rated", "statement_row"),
    ("comparing, and rows as Arrow", "tally.statement_store", "StatementStore.flush"),
)
"""Step, module, function. The time of a step that runs inside another is its own alone."""
REST: Final = "the rest: usage by organisation, terms, output"


# ---- statement lines in memory ----


def tiered() -> PriceBook:
    """Return a book of ten charges of five graduated tiers each."""
    bounds = (10, 1_000, 100_000, 1_000_000, None)
    tiers = [{"up_to": bound, "unit_amount": f"0.00{9 - place}125"} for place, bound in enumerate(bounds)]
    charges = {
        name: {"category": name, "included": 5, "price": {"model": "graduated", "tiers": tiers}} for name in CATEGORIES
    }
    plan = {"currency": "USD", "versions": [{"from": "2020-01-01", "charges": charges}]}
    return book_from("tiered.yaml", json.dumps({"book": "tiered", "revision": 1, "plans": {"business": plan}}))


def usages(count: int) -> list[OrgUsage]:
    """Return usage of so many organisations, of every size, the same each time."""
    chance = random.Random(1)
    return [
        OrgUsage(
            FIRST_ORG + number,
            {name: CategoryUsage(chance.randrange(10 ** chance.randrange(1, 9))) for name in CATEGORIES},
        )
        for number in range(count)
    ]


def lines(statements: int) -> list[dict[str, Any]]:
    """Return lines a CPU second of every run, by book, as rated and with all words that explain them."""
    contracts, given = load_contracts(CONTRACTS), usages(statements)
    found = []
    for name, book in (("ten graduated charges of five tiers", tiered()), ("the sample book", load_book(BOOK))):
        for words in (False, True):
            values = [_lines_per_second(book, contracts, given, words=words) for _ in range(RUNS)]
            found.append({"what": f"{name}{', every explanation read' if words else ''}", "values": values})
    return found


def _lines_per_second(book: PriceBook, contracts: Contracts, given: Sequence[OrgUsage], *, words: bool) -> float:
    count, start = 0, time.process_time()
    for usage in given:
        statement = rate(book, contracts, usage, MONTH).statement
        assert statement is not None
        count += len(statement.lines)
        if words:
            for line in statement.lines:
                line.explanation()
    return count / (time.process_time() - start)


# ---- a store ----


def fill(folder: Path, organisations: int, rows: int) -> None:
    """Make a store in which every organisation has so many usage rows (hours) of every category."""
    chance = np.random.default_rng(1)
    with open_store(f"chdb:{folder}") as store:
        store.migrate()
        for first in range(0, organisations, CHUNK):
            count = min(CHUNK, organisations - first)
            store.write([_flush(chance, FIRST_ORG + first, count, rows, next_offset=first + count)])


def _flush(chance: np.random.Generator, first: int, count: int, rows: int, next_offset: int) -> Flush:
    shape = (count, len(CATEGORIES), rows)
    size = count * len(CATEGORIES) * rows

    def spread(values: Any, axis: int) -> Any:
        along = [1, 1, 1]
        along[axis] = -1
        return np.broadcast_to(np.reshape(values, along), shape).reshape(size)

    starts = spread(int(MONTH.start.timestamp()) * 1_000_000 + np.arange(rows, dtype=np.int64) * HOUR, 2)
    quantity = (10 ** chance.uniform(0, 8, size)).astype(np.int64)
    same = np.zeros(size, np.int64)
    usage = UsageRows(
        org=spread(np.arange(first, first + count, dtype=np.int64), 0),
        category=spread(np.arange(len(CATEGORIES), dtype=np.int32), 1),
        project=same,
        dimensions=np.zeros(size, np.int32),
        window_start=starts,
        segment=same,
        quantity=quantity,
        events=same + 1,
        max_quantity=quantity,
        first_offset=same + next_offset - 1,
        last_offset=same + next_offset - 1,
        first_timestamp=starts,
        last_timestamp=starts + 1,
        category_names=CATEGORIES,
        dimension_values=("",),
    )
    log = LogId("usage", "0")
    progress = Progress(log, 1, "a" * 16, 0, next_offset, Mark(0, None, None, 0))
    return Flush(progress, "tally", usage, ())


_ANSWER: Final = """
SELECT count(), sum(length(`lines.amount`)), toString(sum(total)),
    toString(sum(cityHash64(org_id, toString(total), arrayMap(toString, `lines.amount`), `lines.detail`)))
FROM statements FINAL
"""


def answer(folder: Path) -> dict[str, Any]:
    """Return how many statements and lines a store has, what they come to, and a hash of all of it."""
    with open_store(f"chdb:{folder}", create=False) as store:
        [(statements, count, total, hashed)] = store.query(_ANSWER)
    return {"statements": int(statements), "lines": int(count), "total": total, "hash": hashed}


# ---- the command, step by step ----


class Stopwatch:
    """Wall seconds by step; what runs inside another step is taken off that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def timed(self, step: str, work: Callable[[], Any]) -> Any:
        """Do some work and add its time to a step."""
        self._inner.append(0.0)
        start = time.perf_counter()
        try:
            return work()
        finally:
            taken = time.perf_counter() - start
            own = taken - self._inner.pop()
            self._inner[-1] += taken
            self.seconds[step] = self.seconds.get(step, 0.0) + own

    def around(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time taken; of a generator, with that of every item."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = self.timed(step, lambda: function(*args, **kwargs))
            return self._items(step, found) if isinstance(found, Iterator) else found

        return wrapped

    def _items(self, step: str, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while (item := self.timed(step, lambda: next(items, end))) is not end:
            yield item


def steps(out: Path, argv: Sequence[str]) -> None:
    """Run a command of ours, and leave the seconds of its steps in a file."""
    watch = Stopwatch()
    for step, module, path in STEPS:
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, name, watch.around(step, getattr(owner, name)))
    sys.argv = ["tally", *argv]
    start = time.perf_counter()
    try:
        runpy.run_module("tally.cli", run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code:
            raise
    whole = time.perf_counter() - start
    told = {step: watch.seconds.get(step, 0.0) for step, *_ in STEPS}
    out.write_text(json.dumps({**told, REST: whole - sum(told.values())}), encoding="utf-8")


def main() -> None:
    """Do one part."""
    what, *rest = sys.argv[1:]
    if what == "lines":
        print(json.dumps(lines(int(rest[0]))))
    elif what == "fill":
        fill(Path(rest[0]), int(rest[1]), int(rest[2]))
    elif what == "answer":
        print(json.dumps(answer(Path(rest[0]))))
    elif what == "steps":
        steps(Path(rest[0]), rest[2:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
