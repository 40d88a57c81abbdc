"""A topic of a real broker, reconciled and recounted; offsets that are gone are named for ever."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataflows.reading import Control
from schemas.log import LogId
from sinks.store import Store, open_store
from tally.reconcile.log_laws import Logs
from tally.recount.run import Recount, recount
from tally.recount.stretch import stretch_of
from tally.rereading import reopen
from tally.running import Watch, run_here
from tally.settings import Settings, load_settings
from tests.flow.topics import Event, Traffic, as_cloudevent, as_outcome, ndjson, singles
from tests.kafka.helpers import create_topic, delete_records, produce
from tests.reconcile.stores import AT, check, differing, named, only

EVENTS = 400


def settings_for(address: str, topic: str, folder: Path, **more: object) -> Settings:
    source = f"kafka://{address}/{topic}"
    return load_settings(store=f"chdb:{folder / 'store'}", sources=(source,), until_end=True, **more)


def send(address: str, topic: str, name: str, form: Callable[[list[Event]], list[bytes | None]] = singles) -> None:
    """Send traffic to both partitions, each with events of its own."""
    for partition in range(2):
        events = Traffic(f"{name} {partition}", time.time_ns() // 1_000).events(EVENTS)
        produce(address, topic, [(partition, value) for value in form(events)])


@pytest.fixture
def topic(kafka: str) -> str:
    return create_topic(kafka, 2, message_timestamp_type="LogAppendTime")


@pytest.fixture
def settings(kafka: str, topic: str, tmp_path: Path) -> Settings:
    send(kafka, topic, "first")
    made = settings_for(kafka, topic, tmp_path)
    run_here(made, Control(), Watch())
    return made


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.store) as opened:
        yield opened


def logs(settings: Settings) -> Logs:
    return Logs(settings, lambda: AT)


def recounted(store: Store, settings: Settings, log: LogId) -> Recount:
    generations = [one for one in store.progress_of_all_generations(log.topic) if one.log == log]
    again = reopen(generations[0], settings, lambda: AT, lambda _: None)
    metering = settings.meter_settings()
    return recount(store, stretch_of(generations, None, None, again, metering), again, metering)


def test_a_topic_holds_and_comes_to_the_same_in_sql(store: Store, settings: Settings, topic: str) -> None:
    found = check(store, logs=logs(settings))
    assert named(found) == []
    law = next(one for one in found.checked if one.law == "log")
    assert (law.places, law.findings) == (2, [])
    for partition in "01":
        again = recounted(store, settings, LogId(topic, partition))
        assert [one.findings for one in again.checked] == [[], [], []]
        assert [one.places > 0 for one in again.checked] == [True, True, True]


def test_what_was_not_read_yet_is_in_flight_and_what_is_gone_differs(
    kafka: str, store: Store, settings: Settings, topic: str
) -> None:
    send(kafka, topic, "second")
    unread = named(check(store, logs=logs(settings)), "in_flight")
    assert {(one.law, one.place["partition"]) for one in unread} == {("log", "0"), ("log", "1")}
    at = store.progress(topic)[LogId(topic, "1")].next_offset
    delete_records(kafka, topic, 1, at + 25)
    found = check(store, logs=logs(settings))
    lost = only(named(found))
    assert (lost.law, lost.place, lost.size) == ("log", {"topic": topic, "partition": "1"}, 25)
    assert f"offsets {at} to {at + 24} are gone" in lost.note


def test_a_gap_that_was_accepted_stays_a_difference(kafka: str, settings: Settings, topic: str, tmp_path: Path) -> None:
    with open_store(settings.store) as store:
        at = store.progress(topic)[LogId(topic, "1")].next_offset
    send(kafka, topic, "second")
    delete_records(kafka, topic, 1, at + 25)
    run_here(settings_for(kafka, topic, tmp_path, accept_gap=True), Control(), Watch())
    with open_store(settings.store) as store:
        found = check(store, logs=logs(settings))
        gap = only(named(found))
        assert (gap.law, gap.size) == ("ranges", 25)
        # What came after it is counted exactly, clock and watermark carried over it.
        again = recounted(store, settings, LogId(topic, "1"))
        assert [one.findings for one in again.checked] == [[], [], []]


@pytest.mark.parametrize(
    ("form", "reshaped"), [("sentry-outcomes", as_outcome), ("cloudevents", as_cloudevent), ("tally", dict)]
)
def test_every_format_comes_to_the_same_in_sql(
    kafka: str, topic: str, tmp_path: Path, form: str, reshaped: Callable[[Event], Event]
) -> None:
    send(kafka, topic, form, lambda events: ndjson([reshaped(event) for event in events]))
    mine = settings_for(kafka, topic, tmp_path, format=form)
    run_here(mine, Control(), Watch())
    with open_store(mine.store) as store:
        again = recounted(store, mine, LogId(topic, "0"))
        assert [one.findings for one in again.checked] == [[], [], []]
        assert again.borrowed_events < again.events // 4
        assert differing(check(store)) == set()


def test_a_broker_out_of_reach_is_said(store: Store, settings: Settings, topic: str) -> None:
    found = check(store, logs=Logs(settings, lambda: AT, sources=("kafka://127.0.0.1:1/" + topic,)))
    assert differing(found) == set()
    assert len(named(found, "not_checked", "log")) == 2
