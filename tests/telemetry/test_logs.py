"""What a process says: for people and for machines, with its place in the data, and never a secret."""

import json
import logging
from collections.abc import Iterator

import pytest

from schemas.errors import SourceError
from schemas.log import LogId
from tally.telemetry import logs
from tally.telemetry.logs import Form


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logs.set_up()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err.splitlines()


def test_people_get_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.say("metered again", topic="usage", partition="3", offset=7)
    logs.fail(SourceError("records were lost").at(LogId("usage", "3"), 9))
    logs.progress("5 events", {"events": 5})
    logs.debug("not wanted", {})
    assert lines(capsys) == ["tally: metered again", "tally: records were lost", "5 events"]


def test_machines_get_the_place_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "debug")
    logs.say("metered\nagain", topic="usage", partition="3", offset=0)
    logs.say("the store is away", level="warning")
    logs.fail(SourceError("records were lost").at(LogId("usage", "3"), 9))
    logs.fail(SourceError("no such topic"))
    logs.progress("5 events", {"events": 5})
    logs.debug("written", {"topic": "usage", "offset": 12})
    found = [json.loads(line) for line in lines(capsys)]
    assert all(line.pop("time").endswith("Z") for line in found)
    place = {"topic": "usage", "partition": "3"}
    assert found == [
        {"level": "info", "message": "metered\nagain", **place, "offset": 0},
        {"level": "warning", "message": "the store is away"},
        {"level": "error", "message": "records were lost", "error": "SourceError", **place, "offset": 9},
        {"level": "error", "message": "no such topic", "error": "SourceError"},
        {"level": "info", "message": "5 events", "events": 5},
        {"level": "debug", "message": "written", "topic": "usage", "offset": 12},
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_message_with_percent_signs_is_no_format(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(form)
    logs.say("50% of %s")
    assert "50% of %s" in lines(capsys)[0]


def test_warnings_of_libraries_are_said_without_their_stacks(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("opentelemetry.sdk.metrics")
    try:
        raise ConnectionError("refused")
    except ConnectionError:
        library.exception("cannot export")
    library.info("not wanted")
    assert lines(capsys) == ["tally: opentelemetry.sdk.metrics: cannot export"]


def test_the_first_place_that_is_noted_counts() -> None:
    error = SourceError("lost").at(LogId("a", "0"), 5).at(LogId("b", "1"), 6)
    assert (error.log, error.offset) == (LogId("a", "0"), 5)
