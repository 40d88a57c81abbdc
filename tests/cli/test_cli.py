"""How a failure leaves the process, and the small commands end to end."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RatingError, SettingsError, TallyError
from tally.commands import config
from tests.cli.conftest import Tally


def test_version(tally: Tally) -> None:
    assert tally("--version").out == f"tally {version('tally-metering')}\n"


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (SettingsError("a setting is wrong"), 2, "tally: a setting is wrong\n"),
        (RatingError("no price"), 1, "tally: no price\n"),
        (TallyError("two\nlines"), 2, "tally: two\nlines\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
        (SystemExit(3), 3, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("words"), 1, "words\n"),
    ],
)
def test_a_failure_is_one_message_and_a_status(
    tally: Tally, monkeypatch: pytest.MonkeyPatch, failure: BaseException, status: int, said: str
) -> None:
    def fail(**_: Any) -> None:
        raise failure

    monkeypatch.setattr(config, "load_settings", fail)
    answer = tally("config")
    assert (answer.status, answer.out, answer.err) == (status, "", said)


def test_a_bug_is_no_message_but_a_traceback(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(config, "load_settings", fail)
    with pytest.raises(AssertionError, match="a bug"):
        tally("config")


def process(arguments: Sequence[str], **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tally.cli", *arguments]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": root}, **more)


def test_a_reader_that_leaves_early_is_no_complaint() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with process(["config", "--json"], stdout=writing, stderr=subprocess.PIPE) as running:
        os.close(writing)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 1
    assert said == ""


def test_wrong_settings_end_a_command_before_it_does_anything(tally: Tally, folder: Path) -> None:
    answer = tally("migrate", "--store", "chdb:")
    assert answer.status == 2
    assert (
        answer.err == "tally: store (--store): store 'chdb:': a folder must follow the colon, as in chdb:./tally-data\n"
    )
    assert list(folder.iterdir()) == []


def test_config_says_where_each_value_came_from(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tally.toml").write_text('window = "5min"\n[kafka]\n"sasl.password" = "hunter22"\n')
    monkeypatch.setenv("TALLY_STORE", "clickhouse://meter:hunter22@db/x")
    shown = json.loads(tally("config", "--json").out)
    assert shown["window"] == {"value": "5min", "from": "tally.toml"}
    assert shown["store"] == {"value": "clickhouse://meter:********@db/x", "from": "TALLY_STORE"}
    assert shown["kafka"]["value"] == {"sasl.password": "********"}
    assert shown["format"] == {"value": "tally", "from": "default"}
    table = tally("config").out
    assert "hunter22" not in table + json.dumps(shown)
    (line,) = (line for line in table.splitlines() if line.startswith("window"))
    assert line.split() == ["window", "5min", "tally.toml"]


def test_migrate_applies_once(tally: Tally) -> None:
    first = tally("migrate", "--store", "chdb:./s")
    assert first.status == 0
    names = first.out.splitlines()
    assert names == sorted(names)
    assert names[0] == "0001_schema_migrations.sql"
    place = f"chdb:{Path('s').resolve()}"
    assert first.err == f"{place}: {len(names)} migrations applied\n"
    assert json.loads(tally("migrate", "--store", "chdb:./s", "--json").out) == {"store": place, "applied": []}
    assert tally("migrate", "--store", "chdb:./s").err == f"{place} is current: nothing to apply\n"


def test_categories_in_each_form(tally: Tally) -> None:
    lines = tally("schema", "categories", "--csv").out.splitlines()
    assert lines[:2] == ["id,name,unit", "0,default,count"]
    shown = json.loads(tally("schema", "categories", "--json").out)
    assert len(shown["rows"]) == len(lines) - 1 == 39
    assert shown["rows"][4] == {"id": 4, "name": "attachment", "unit": "bytes"}
    assert "attachment" in tally("schema", "categories").out
    both = tally("schema", "categories", "--csv", "--json")
    assert (both.status, both.err) == (2, "tally: --json and --csv cannot both be given: choose one\n")


def test_categories_of_ones_own_may_be_described(tally: Tally) -> None:
    Path("own.yaml").write_text("categories:\n  - {id: 7, name: call, unit: seconds, description: 'one, call'}\n")
    answer = tally("schema", "categories", "--catalogue", "own.yaml", "--csv")
    assert answer.out == 'id,name,unit,description\n7,call,seconds,"one, call"\n'


@pytest.mark.parametrize("event_format", ["tally", "sentry-outcomes", "cloudevents"])
def test_the_schema_of_each_format_is_json_schema(tally: Tally, event_format: str) -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads(tally("schema", "event", "--format", event_format).out)
    Draft202012Validator.check_schema(schema)
