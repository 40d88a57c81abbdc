"""Records of the largest size that the broker takes, whole and broken, and those that hold more than a value may."""

import json
import time
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from schemas.catalogue import load_catalogue
from schemas.formats.arrow_limits import MAX_ROWS
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.verdicts import MAX_RAW_BYTES
from sinks.store import open_store
from tally.units import show_instant
from tests.flow.processes import ok
from tests.flow.topics import in_store, read_back
from tests.flow.truth import expected
from tests.kafka.helpers import create_topic, produce

pytestmark = pytest.mark.kafka

SETTINGS = MeterSettings(load_catalogue())
LARGEST: Final = 20_000_000
"""Bytes of a record that the test's broker takes (`message.max.bytes`), its framing included."""
FRAMING: Final = 1_000


def event(number: int, now: str, **more: Any) -> dict[str, Any]:
    common = {"org_id": number % 50, "project_id": 1, "category": "error", "quantity": 1, "timestamp": now}
    return {"event_id": f"e{number}", **common, **more}


def array(size: int, now: str) -> bytes:
    """Return an array of events of about that many bytes: many of them, and the last one large."""
    found = json.dumps([event(number, now) for number in range(20_000)])
    last = json.dumps(event(20_000, now, attributes={"pad": "x" * (size - len(found) - 200)}))
    return f"{found[:-1]}, {last}]".encode()


def arrow(rows: int, now: int) -> bytes:
    """Return a stream of so many rows that compresses to almost nothing."""
    columns = {
        "event_id": pa.array(["same"], pa.string()),
        "org_id": pa.array([7], pa.int64()),
        "project_id": pa.array([1], pa.int64()),
        "category": pa.array(["error"], pa.string()),
        "quantity": pa.array([1], pa.int64()),
        "timestamp": pa.array([now], pa.timestamp("us", "UTC")),
    }
    one = pa.table(columns)
    table = pa.concat_tables([one] * rows).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_the_largest_records_are_counted_or_kept_as_one_dead_letter(kafka: str, tmp_path: Path) -> None:
    topic, store = create_topic(kafka), f"chdb:{tmp_path / 'store'}"
    now = time.time_ns() // 1000
    whole = array(LARGEST - FRAMING, show_instant(now))
    values = [
        json.dumps(event(30_000, show_instant(now))).encode(),
        whole,
        whole[:-1],  # as large, and broken at its very end
        b'{"event_id": "' + b"x" * (LARGEST - FRAMING - 20) + b'"}',
        json.dumps(event(40_000, show_instant(now))).encode(),  # what comes after is read
    ]
    produce(kafka, topic, [(0, value) for value in values], message_max_bytes=LARGEST, compression_type="none")
    ok("run", f"kafka://{kafka}/{topic}", "--store", store, "--until-end")
    (found,), _ = in_store(store, topic, 1)
    assert found == expected(read_back(kafka, topic, 1, SETTINGS)[0], SETTINGS)
    assert (found.counts.accepted, found.counts.rejected) == (20_003, {"not_json": 1, "missing_field": 1})
    with open_store(store, create=False) as opened:
        kept = opened.query("SELECT offset, length(raw) FROM dead_letters FINAL ORDER BY offset")
    assert kept == [(2, MAX_RAW_BYTES), (3, MAX_RAW_BYTES)]


def test_a_value_over_the_limit_is_one_rejected_event(kafka: str, tmp_path: Path) -> None:
    topic, store = create_topic(kafka), f"chdb:{tmp_path / 'store'}"
    now = time.time_ns() // 1000
    values = [arrow(MAX_ROWS, now), arrow(MAX_ROWS + 1, now), json.dumps(event(1, show_instant(now))).encode()]
    assert all(len(value) < LARGEST for value in values)
    produce(kafka, topic, [(0, value) for value in values], message_max_bytes=LARGEST)
    total = ok("run", f"kafka://{kafka}/{topic}", "--store", store, "--until-end")["total"]
    assert (total["records"], total["events"]) == (3, MAX_ROWS + 2)
    assert (total["accepted"], total["duplicates"]) == (2, MAX_ROWS - 1)
    assert total["rejected"] == {"not_json": 1}
    with open_store(store, create=False) as opened:
        (letter,) = opened.query("SELECT offset, `index`, reason, detail FROM dead_letters FINAL")
        assert letter[:3] == (1, 0, "not_json")
        assert f"{MAX_ROWS + 1} rows" in letter[3]
        assert opened.progress()[LogId(topic, "0")].next_offset == 3
