"""The answer of a run in one canonical form, so that runs of different programs can be compared by a hash.

An answer is the usage by organisation, category and window: the total quantity and the number of events. However a
run splits it (partitions, late segments, several stores), its parts are added up and sorted first. A run leaves in
its folder either files `rows*.arrow` (written by `save`) or embedded stores `store*`.

    python -m benchmarks.answers FOLDER
"""

import argparse
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

SCHEMA: Final = pa.schema(
    [
        ("org_id", pa.int64()),
        ("category", pa.string()),
        ("window_start", pa.int64()),  # seconds since 1970
        ("quantity", pa.int64()),
        ("events", pa.int64()),
    ]
)
KEY: Final = ("org_id", "category", "window_start")

STORED: Final = """
SELECT toInt64(u.org_id) AS org_id, toString(u.category) AS category,
    toInt64(toUnixTimestamp(u.window_start)) AS window_start,
    accurateCast(sum(u.quantity), 'Int64') AS quantity, accurateCast(sum(u.events), 'Int64') AS events
FROM usage AS u GROUP BY u.org_id, u.category, u.window_start
"""


def save(path: Path, rows: pa.Table) -> None:
    """Write a run's rows; they may be partial sums of a key."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(rows.cast(SCHEMA))


def save_tuples(path: Path, rows: Iterable[tuple[int, str, int, int, int]]) -> None:
    """Write a run's rows given as (org, category, window start in seconds, quantity, events)."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    save(path, pa.table([pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)], SCHEMA))


def read(folder: Path) -> pa.Table:
    """Return the answer that a run left in its folder."""
    parts = [pa.ipc.open_file(path).read_all() for path in sorted(folder.glob("rows*.arrow"))]
    for path in sorted(folder.glob("store*")):
        # The embedded engine is a large import, and only this branch needs it.
        from sinks.store import open_store  # noqa: PLC0415

        with open_store(f"chdb:{path}", create=False) as store:
            parts.append(store.query_arrow(STORED).cast(SCHEMA))
    if not parts:
        raise SystemExit(f"{folder}: no answer was left here")
    return pa.concat_tables(parts)


def canonical(rows: pa.Table) -> bytes:
    """Return the rows as sorted lines, one a key."""
    added = rows.group_by(list(KEY)).aggregate([("quantity", "sum"), ("events", "sum")])
    added = added.select([*KEY, "quantity_sum", "events_sum"]).sort_by([(name, "ascending") for name in KEY])
    text = io.BytesIO()
    csv.write_csv(added, text, csv.WriteOptions(include_header=False))
    return text.getvalue()


def summary(rows: pa.Table) -> dict[str, str | int]:
    """Return the hash of an answer, and its size and sums for a reader who wonders where two answers part."""
    lines = canonical(rows)
    return {
        "sha256": hashlib.sha256(lines).hexdigest(),
        "rows": lines.count(b"\n"),
        "events": pc.sum(rows["events"]).as_py() or 0,
        "quantity": pc.sum(rows["quantity"]).as_py() or 0,
    }


def main() -> None:
    """Print the summary of the answer in a folder as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("folder", type=Path)
    print(json.dumps(summary(read(parser.parse_args().folder))))


if __name__ == "__main__":
    main()
