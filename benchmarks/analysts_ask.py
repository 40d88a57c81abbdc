"""Ask one question of docs/ANALYSTS.md of a filled store, in a process of its own, and say what it took.

python -m benchmarks.analysts_ask FOLDER NUMBER RUNS     prints a run a line as JSON
python -m benchmarks.analysts_ask FOLDER check           prints what the views count in all, as JSON
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.analysts_fill import SOME
from sinks.client import connect, disconnect
from sinks.url import parse_url
from tests.analysts.page import PAGE, questions

TITLE: Final = re.compile(r"^### \d+\. (.+)$", re.MULTILINE)
CHECK: Final = f"""
    SELECT (SELECT count() FROM active_windows) AS rows, (SELECT sum(events) FROM usage_daily) AS usage_daily,
        (SELECT sum(events) FROM usage WHERE {SOME}) AS usage,
        (SELECT sum(events) FROM usage_hourly WHERE {SOME}) AS usage_hourly"""
_HIGH_WATER: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def asked() -> list[tuple[str, str]]:
    """Return title and SQL of every question of the page."""
    text = PAGE.read_text(encoding="utf-8")
    titles, found = TITLE.findall(text), [sql for sql, _ in questions(text)]
    assert len(titles) == len(found), "a question of the page has no query, or two"
    return list(zip(titles, found, strict=True))


def peak() -> int:
    """Return the most bytes of memory that this process has had since `forget_peak`."""
    found = _HIGH_WATER.search(Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1024


def forget_peak() -> None:
    """Let the kernel count the most memory anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def runs(client: Any, sql: str, count: int) -> Iterator[dict[str, Any]]:
    """Ask so many times."""
    for _ in range(count):
        forget_peak()
        before, start = peak(), time.perf_counter()
        answer = json.loads(client.raw_query(sql, fmt="JSON"))
        wall = time.perf_counter() - start
        statistics = answer["statistics"]
        yield {
            "wall_s": wall,
            "rows_read": statistics["rows_read"],
            "bytes_read": statistics["bytes_read"],
            "rows": answer["rows"],
            "peak_bytes": peak() - before,
        }


def main(folder: str, what: str, count: str = "1") -> None:
    """Ask, and print."""
    url = parse_url(f"chdb:{folder}")
    client = connect(url, create=False)
    try:
        # What is merged meanwhile would be measured with it, and would be another store the next time.
        client.command("SYSTEM STOP MERGES usage_windows")
        if what == "check":
            answer = json.loads(client.raw_query(CHECK, fmt="JSON"))["data"][0]
            print(json.dumps({name: int(value) for name, value in answer.items()}))
            return
        for run in runs(client, asked()[int(what)][1], int(count)):
            print(json.dumps(run), flush=True)
    finally:
        disconnect(url, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
