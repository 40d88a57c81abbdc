"""Traffic of an unusual shape: one organisation with a third of it all; a million organisations in a minute."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from sinks.store import open_store
from tally.producer import UsageProducer
from tally.units import show_instant
from tests.flow.processes import ok
from tests.kafka.helpers import create_topic

NOON = 1_793_534_400
"""2026-11-01T12:00:00Z, in seconds."""
WHALE = 1


@pytest.mark.kafka
def test_one_organisation_with_30_percent_of_all_traffic(kafka: str, tmp_path: Path) -> None:
    """Salted, it spreads over the partitions, a retry meets its first try, and every count is exact."""
    partitions, events = 4, 20_000
    topic, store = create_topic(kafka, partitions), f"chdb:{tmp_path / 'store'}"
    chance, wanted, now = random.Random(1), Counter[int](), time.time_ns() // 1000
    with UsageProducer(kafka, topic, source="a", packing="ndjson", salted={WHALE: partitions}, controls=None) as made:
        for number in range(events):
            org = WHALE if chance.random() < 0.3 else chance.randrange(2, 2_000)
            quantity = chance.randrange(1, 1000)
            wanted[org] += quantity
            for _ in range(1 + (number % 20 == 0)):  # every twentieth is sent again
                made.add(org, "error", quantity, timestamp=now, event_id=f"e{number}")
    found = ok("run", f"kafka://{kafka}/{topic}", "--store", store, "--until-end")
    assert (found["total"]["accepted"], found["total"]["duplicates"]) == (events, events // 20)
    shares = [log["events"] / found["total"]["events"] for log in found["logs"]]
    assert len(shares) == partitions
    assert max(shares) < 0.35  # on one partition the large one alone would be 0.3, with its part of the others 0.47
    with open_store(store, create=False) as opened:
        rows = opened.query("SELECT org_id, sum(quantity) FROM usage GROUP BY org_id")
    assert dict(rows) == dict(wanted)


@pytest.mark.parametrize("orgs", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_every_event_of_a_minute_is_of_another_organisation(orgs: int, tmp_path: Path) -> None:
    log, store = tmp_path / "minute.ndjson", f"chdb:{tmp_path / 'store'}"
    with log.open("w") as lines:
        for org in range(orgs):
            event = {
                "event_id": f"e{org}",
                "org_id": org,
                "project_id": 1,
                "category": "error",
                "quantity": org % 7 + 1,
                "timestamp": show_instant(NOON * 1_000_000 + org * 60_000_000 // orgs),
            }
            lines.write(json.dumps(event) + "\n")
    total = ok("run", str(log), "--store", store)["total"]
    assert (total["accepted"], total["late"], total["duplicates"]) == (orgs, 0, 0)
    with open_store(store, create=False) as opened:
        asked = "SELECT count(), uniqExact(org_id), sum(events), countIf(quantity != org_id % 7 + 1) FROM usage"
        assert opened.query(asked) == [(orgs, orgs, orgs, 0)]
