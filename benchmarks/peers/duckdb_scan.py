"""Peer: the same count as one DuckDB query over the whole file, the bound that a batch engine sets.

    python -m benchmarks.peers.duckdb_scan FILE OUT [--dedupe]

It has no log, no horizon, no watermark and no verdicts: lines that it cannot read are skipped, and of equal ids the
first in the file counts, however far apart they are.
"""

import argparse
from pathlib import Path
from typing import Final

import duckdb

from benchmarks.answers import save

READ: Final = """
read_ndjson(?, ignore_errors = true, columns = {event_id: 'VARCHAR', org_id: 'BIGINT', category: 'VARCHAR',
    quantity: 'BIGINT', timestamp: 'TIMESTAMP'})
"""
EVERY: Final = f"SELECT org_id, category, quantity, timestamp FROM {READ} WHERE org_id IS NOT NULL"
FIRST: Final = f"""
SELECT DISTINCT ON (org_id, event_id) org_id, category, quantity, timestamp FROM {READ} WHERE org_id IS NOT NULL
"""
COUNT: Final = """
SELECT org_id, category, epoch(time_bucket(INTERVAL 1 MINUTE, timestamp))::BIGINT AS window_start,
    sum(quantity)::BIGINT AS quantity, count(*) AS events
FROM ({events}) GROUP BY ALL
"""


def main() -> None:
    """Count a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.duckdb_scan")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dedupe", action="store_true")
    chosen = parser.parse_args()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")  # it would start one a core of the machine, pinned or not
    query = COUNT.format(events=FIRST if chosen.dedupe else EVERY)
    rows = connection.sql(query, params=[str(chosen.file)]).to_arrow_table()
    save(chosen.out / "rows.arrow", rows)


if __name__ == "__main__":
    main()
