"""Fill an embedded store with usage that looks like what flows leave behind, made by ClickHouse itself.

    python -m benchmarks.analysts_fill FOLDER ROWS       prints what it made as JSON

A month of minutes (November 2026), 12 categories, 16 partitions of one topic. Organisations' sizes fall as
1 / rank^1.1, at most one row a minute and category; the 20 largest are spread over all partitions, as salted keys are.
A row in 20 was written before with less in it, a row in 100 has late events beside it, one partition has two
generations.
Days are inserted one after the other, as time goes, and merged as the engine sees fit; the last three days are not.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from sinks.store import Store, open_store

DAYS: Final = 30
UNMERGED_DAYS: Final = 3
MINUTES: Final = 1_440
CATEGORIES: Final = (
    ("error", "1"),
    ("transaction", "1"),
    ("span", "1 + h % 20"),
    ("attachment", "10000 + h % 90000"),
    ("replay", "1"),
    ("log_byte", "1000 + h % 9000"),
    ("profile_duration", "1 + h % 1000"),
    ("profile_duration_ui", "1 + h % 1000"),
    ("uptime", "1"),
    ("default", "1"),
    ("security", "1"),
    ("monitor_seat", "1"),
)
"""Names of the catalogue, and units an event in SQL (h is the row's hash)."""
SLOTS: Final = MINUTES * len(CATEGORIES)
"""Rows that an organisation can have in a day."""
STRIDE: Final = 7_919
"""Prime to SLOTS, so that steps of it meet every slot before one twice."""
PARTITIONS: Final = 16
SALTED: Final = 20
ROWS_AN_ORG: Final = 100
SKEW: Final = 1.1
LETTERS: Final = 200_000
SOME: Final = "org_id % 10 = 3"
"""A part of the organisations: views with a row a minute or hour are counted over these, and `usage_daily` over all."""
LINES: Final = ("Business plan, monthly fee", "Errors", "Spans", "Replays", "Attachments", "Logs", "Uptime monitors")

SETTINGS: Final = "SETTINGS max_insert_threads = 2, max_partitions_per_insert_block = 0"
COLUMNS: Final = (
    "org_id, category, window_start, project_id, dimensions, topic, partition, generation, segment, quantity, events, "
    "max_quantity, first_offset, last_offset, first_timestamp, last_timestamp"
)


def sizes(organisations: int, rows: int) -> float:
    """Return c, where organisations of rank r with min(c / r^SKEW, SLOTS) rows have `rows` in all."""
    weights = np.arange(1, organisations + 1) ** -SKEW
    low, high = 0.0, float(rows) * SLOTS
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * weights, SLOTS).sum() < rows else (low, middle)
    return low


def day(number: int, organisations: int, scale: float, kind: str) -> str:
    """Return the SELECT of a day's rows: `counted` on time, `late`, or `before`, an earlier version of some rows."""
    names = ", ".join(f"'{name}'" for name, _ in CATEGORIES)
    units = ", ".join(each for _, each in CATEGORIES)
    where = {"counted": "1", "late": "h % 100 = 7", "before": "h % 20 = 3 AND all_events > 1"}[kind]
    events = {"counted": "all_events", "late": "1", "before": "all_events - 1"}[kind]
    # A late event came between three minutes and a day and a half after its window.
    segment = f"1 + intDiv(intDiv(toUnixTimestamp(at), 60) + 3 + intDiv(h, 256) % {DAYS * 70}, 10)"
    offset = f"({number} * {MINUTES} + minute + 1) * 1000000 + org % 1000000"
    return f"""
        WITH intDiv(slot, {len(CATEGORIES)}) AS minute, slot % {len(CATEGORIES)} + 1 AS kind,
            toDateTime('2026-11-01 00:00:00', 'UTC') + {number} * 86400 + minute * 60 AS at,
            sipHash64(org, {number}, slot) AS h, 1 + h % 5 + intDiv(1000, org) AS all_events,
            toInt64({events}) AS counted, [{units}][kind] AS each,
            if(org <= {SALTED}, h, sipHash64(org)) % {PARTITIONS} AS place, {offset} AS last
        SELECT org, [{names}][kind], at, 0, '', 'usage', concat('part-', leftPad(toString(place), 4, '0'), '.ndjson'),
            if(place = 3 AND {number} >= 15, 2, 1), {segment if kind == "late" else 0},
            toInt64(counted * each), counted, toInt64(each),
            last - 900000, last - {1 if kind == "before" else 0}, at, at + 59
        FROM
        (
            SELECT org, (i * {STRIDE} + org * 31) % {SLOTS} AS slot
            FROM
            (
                SELECT number + 1 AS org, least({SLOTS}, toUInt64(
                    {scale} / pow(org, {SKEW}) + sipHash64(org, {number}) % 1000000 / 1000000)) AS rows
                FROM numbers({organisations})
            )
            ARRAY JOIN range(rows) AS i
        )
        WHERE {where}"""


PROGRESS: Final = f"""
    INSERT INTO progress (topic, partition, generation, fingerprint, start_offset, next_offset, warm_offset, count_from,
        clock, max_timestamp, watermark, allowed_lateness, log_end, log_end_seen_at, finite, partitions, source,
        records, events, accepted, late, duplicates, not_billable, rejected, quantity)
    SELECT topic, partition, generation, 'benchmark', 0, max(last_offset) + 1 AS next, next, next,
        max(last_timestamp) AS newest, newest, newest, 120000000, next, newest, true, {PARTITIONS}, '{{}}',
        accepted, accepted + duplicates + wrong, sum(toInt128(w.events)) AS accepted,
        sumIf(toInt128(w.events), segment > 0), intDiv(accepted, 100) AS duplicates, map(),
        map('conflicting_duplicate', toUInt64(intDiv(accepted, 10000) AS wrong)), sum(toInt128(w.quantity))
    FROM active_windows AS w GROUP BY topic, partition, generation"""


def statements(organisations: int) -> str:
    """Return the INSERT of a statement for each organisation."""
    lines = ", ".join(f"'{line}'" for line in LINES)
    numbers = ", ".join(map(str, range(1, len(LINES) + 1)))
    return f"""
        INSERT INTO statements (org_id, contract, period_start, period_end, currency, total, lines.line_no,
            lines.category, lines.description, lines.quantity, lines.amount, lines.detail, snapshot_id, version)
        WITH arrayMap(n -> toDecimal128(if(n = 1, 89, sipHash64(number, n) % 500 / 100), 18), [{numbers}]) AS amounts
        SELECT number + 1, 'list-price', '2026-11-01 00:00:00', '2026-12-01 00:00:00', 'USD', arraySum(amounts),
            [{numbers}], arrayMap(n -> '', amounts), [{lines}], amounts, amounts,
            arrayMap(a -> concat(
                '{{"charge":"c","quantity":"', toString(a), '","unit":"units","price_from":"2020-01-01","steps":[],',
                '"exact":"', toString(a), '","explanation":"', toString(a), ' units × 1","plan":"business"}}'
            ), amounts), toString(sipHash64(number)), 1
        FROM numbers({organisations})"""


def letters(count: int) -> str:
    """Return the INSERT of rejected events."""
    reasons = "'conflicting_duplicate', 'wrong_type', 'bad_quantity', 'missing_field', 'unknown_category'"
    return f"""
        INSERT INTO dead_letters (topic, partition, offset, `index`, reason, detail, format, generation, raw, raw_size)
        SELECT 'usage', concat('part-', leftPad(toString(number % {PARTITIONS}), 4, '0'), '.ndjson'), number * 1000, 0,
            [{reasons}][number % 5 + 1], concat('quantity: found -', toString(number)), 'tally', 1,
            '{{"category": "error", "quantity": -1}}', 38
        FROM numbers({count})"""


def fill(store: Store, rows: int) -> dict[str, Any]:
    """Fill a migrated store with about so many rows; return what is in it, and what the views must answer."""
    organisations = max(SALTED, rows // ROWS_AN_ORG)
    scale = sizes(organisations, rows // DAYS)
    sent = np.zeros(3, dtype=np.int64)
    # A power cut may take this store: nobody waits for the disk after each insert.
    store.command("ALTER TABLE usage_windows MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0")
    for number in range(DAYS):
        if number == DAYS - UNMERGED_DAYS:
            store.command("SYSTEM STOP MERGES usage_windows")
        for kind in ("before", "counted", "late"):
            select = day(number, organisations, scale, kind)
            store.command(f"INSERT INTO usage_windows ({COLUMNS}) {SETTINGS} {select}")
            if kind != "before":
                # Counted apart from the store: what the views must answer.
                made = select.replace("SELECT org,", "SELECT counted, org AS org_id,", 1)
                sent += store.query(f"SELECT count(), sum(counted), sumIf(counted, {SOME}) FROM ({made})")[0]
    for statement in (PROGRESS, letters(min(LETTERS, max(100, rows // 1_000))), statements(organisations)):
        store.command(statement)
    told = dict(zip(("rows", "events", "events_of_some"), map(int, sent), strict=True))
    return {"organisations": organisations, **told, **dict(_stored(store))}


def _stored(store: Store) -> Iterator[tuple[str, Any]]:
    yield "stored_rows", int(store.query("SELECT count() FROM usage_windows")[0][0])
    parts = "FROM system.parts WHERE table = 'usage_windows' AND database = currentDatabase() AND active"
    count, size = store.query(f"SELECT count(), sum(bytes_on_disk) {parts}")[0]
    yield "parts", int(count)
    yield "bytes_on_disk", int(size)
    yield "statements", int(store.query("SELECT count() FROM statements")[0][0])


def main() -> None:
    """Fill a store and print what it made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analysts_fill")
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    wanted = parser.parse_args()
    with open_store(f"chdb:{wanted.folder}") as store:
        store.migrate()
        print(json.dumps(fill(store, wanted.rows)))


if __name__ == "__main__":
    main()
