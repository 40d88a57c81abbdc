"""A topic that is metered wrongly, put right beside a run that is still alive, and read on while producers go on."""

import signal
from pathlib import Path

import pytest

from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import Store, open_store
from tests import oracle
from tests.flow.processes import ok, tally
from tests.flow.running import Running, run, until
from tests.flow.topics import Producing, Traffic, ends_of, read_back
from tests.kafka.helpers import create_topic
from tests.remeter.steps import differences, plus, usage, usage_of
from tests.store.serving import ServerProcess

pytestmark = pytest.mark.kafka

SECOND = 1_000_000
BOTH = ("--dedupe-bucket", "1s", "--allowed-lateness", "5s")
RIGHT = (*BOTH, "--dedupe-horizon", "60s")
WRONG = (*BOTH, "--dedupe-horizon", "1s")
HORIZON = 60
RULES = MeterSettings(load_catalogue(), bucket=SECOND, horizon_buckets=HORIZON, allowed_lateness=5 * SECOND)
PARTITIONS = 2


def caught_up(store: Store, kafka: str, topic: str) -> bool:
    found = store.progress(topic)
    return [found[LogId(topic, str(number))].next_offset for number in range(PARTITIONS)] == ends_of(
        kafka, topic, PARTITIONS
    )


def test_put_right_beside_its_producer(kafka: str, tmp_path: Path) -> None:
    topic = create_topic(kafka, PARTITIONS)
    place = f"kafka://{kafka}/{topic}"
    traffic = [Traffic(f"remetered-{number}", 0, memory=2_000) for number in range(PARTITIONS)]
    with ServerProcess(tmp_path / "store") as server:
        store = ("--store", server.url)
        remeter = ("remeter", "run", "--topic", topic, *store, *RIGHT)
        with open_store(server.url) as opened, run(place, *store, *WRONG) as wrong:
            with Producing(kafka, topic, traffic):
                wrong.until_counted(1_500)
                name = ok(*remeter)["remeter"]  # beside the run, which goes on
                wrong.until_counted(1)
                refused = tally("remeter", "switch", name, *store)
                assert refused.returncode == 2, refused
                assert "stop the run" in refused.stderr
            until(lambda: caught_up(opened, kafka, topic))
            shown = ok(*remeter)
            assert shown["remeter"] == name
            assert shown["verdicts"]["after"]["duplicates"] > shown["verdicts"]["before"]["duplicates"]
            ok("remeter", "switch", name, *store)
            ends = ends_of(kafka, topic, PARTITIONS)
            with Producing(kafka, topic, traffic):
                _stopped(wrong)
                with run(place, *store, *RIGHT) as right:
                    right.until_counted(500)
                    assert right.end(signal.SIGTERM) == 0
            ok("run", place, "--until-end", *store, *RIGHT)
            rules = oracle.Rules(bucket=SECOND, horizon_buckets=HORIZON, allowed_lateness=5 * SECOND)
            outcomes = [oracle.meter(log, rules) for log in read_back(kafka, topic, PARTITIONS, RULES)]
            assert usage(opened) == plus(*(usage_of(out.rows) for out in outcomes))
            assert differences(opened) == []
            found = opened.progress(topic)
            starts = [found[LogId(topic, str(number))] for number in range(PARTITIONS)]
            assert [(one.generation, one.start_offset) for one in starts] == [(2, end) for end in ends]
            assert tally("reconcile", *store).returncode == 0


def _stopped(wrong: Running) -> None:
    """The run of before finds at its next write that it was replaced."""
    assert wrong.end() == 1
    assert any("a remeter has replaced it" in line for line in wrong.said), wrong.said
