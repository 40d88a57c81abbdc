"""`tally explain` on a topic of a real broker: its clock, the gaps in its offsets, and what retention deleted."""

import json
import time
from typing import Any

import pytest

from tally.units import show_instant
from tests.kafka.helpers import create_topic, delete_records, producer, transaction
from tests.queries.conftest import Tally

pytestmark = pytest.mark.kafka


def test_records_of_a_topic(tally: Tally, kafka: str) -> None:
    topic = create_topic(kafka, message_timestamp_type="LogAppendTime")
    now = time.time_ns() // 1_000

    def event(event_id: str, **changes: Any) -> bytes:
        whole = {"event_id": event_id, "org_id": 1, "project_id": 2, "category": "error", "quantity": 3}
        return json.dumps({**whole, "timestamp": show_instant(now), **changes}).encode()

    client = producer(kafka, transactional_id=topic)
    client.init_transactions(30)
    transaction(client, topic, [(0, event("a")), (0, event("a")), (0, b"nothing")], commit=True)  # 0 to 2, marker at 3
    transaction(client, topic, [(0, event("b"))], commit=False)  # 4, marker at 5
    ahead = event("c", timestamp=show_instant(now + 3_600_000_000))
    transaction(client, topic, [(0, event("a", quantity=4)), (0, ahead)], commit=True)  # 6 and 7, marker at 8
    assert tally("run", f"kafka://{kafka}/{topic}", "--until-end", "-q").status == 0

    def fate(offset: int) -> dict[str, Any]:
        found = json.loads(tally("explain", f"{topic}/0/{offset}", "--json").out)
        assert found["exact"]
        assert found["broker_timestamp"] is not None
        one: dict[str, Any] = found["events"][0]
        return one

    first = fate(0)
    assert (first["verdict"], first["agrees"], first["watermark"]) == ("accepted", True, None)
    assert (first["stored"]["quantity"], first["stored"]["first_offset"]) == (3, 0)
    assert (fate(1)["verdict"], fate(1)["repeats"]) == ("duplicate", f"{topic}/0/0/0")
    assert (fate(2)["reason"], fate(2)["agrees"]) == ("not_json", True)
    conflict = fate(6)
    assert (conflict["reason"], conflict["repeats"], conflict["counted_at"]) == (
        "conflicting_duplicate",
        f"{topic}/0/1/0",
        f"{topic}/0/0/0",
    )
    assert (fate(7)["reason"], fate(7)["agrees"]) == ("from_the_future", True)

    gap = tally("explain", f"{topic}/0/4")
    assert gap.status == 2
    assert "the next one is at 6" in gap.err
    assert "past the log's end" in tally("explain", f"{topic}/0/99").err

    delete_records(kafka, topic, 0, before=1)
    assert "the record is gone (retention)" in tally("explain", f"{topic}/0/0").err
    rest = tally("explain", f"{topic}/0/1")
    assert rest.status == 0
    assert "not certain: the log is gone before offset 1" in rest.out
