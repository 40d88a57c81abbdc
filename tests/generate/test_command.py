"""`tally generate` as it is called: targets, options, what it prints, and how it fails."""

import json
from pathlib import Path

import pytest

from tally.cli import run
from tally.generate import Expected, expected_path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_and_its_expectation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "events.ndjson", "--events", "2000", "--seed", "7", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = Expected.load(Path(printed["expected"]))
    lines = Path("events.ndjson").read_bytes().splitlines()
    assert len(lines) == printed["counts"]["events"] == expected.counts.events == 2_000
    assert printed["counts"]["accepted"] == expected.counts.accepted
    assert printed["bytes"] == Path("events.ndjson").stat().st_size


@pytest.mark.parametrize("arguments", [["traffic/"], ["traffic", "--partitions", "4"]])
def test_a_folder(arguments: list[str]) -> None:
    assert run(["generate", *arguments, "--events", "2000", "--format", "sentry-outcomes"]) == 0
    assert len(list(Path("traffic").iterdir())) == 4
    assert sum(len(path.read_bytes().splitlines()) for path in Path("traffic").iterdir()) == 2_000
    assert expected_path(Path("traffic")).exists()


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a", "--events", "2000", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert "events" in printed.out
    assert "2,000" in printed.out
    assert "a.expected.json" in printed.out
    assert printed.err == ""


def test_every_option_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--events 3000 --seed 3 --orgs 5 --zipf 0.5 --categories span,error --categories log_byte --start 2026-03-01 "
        "--span 2h --duplicates 0.1 --conflicts 0.1 --malformed 0.1 --late 0.1 --out-of-order 0.1 --too-old 0.05 "
        "--from-the-future 0.05 --as-of 2026-03-01T02:00:00Z --per-record 3 --expected elsewhere.json --json "
        "--expected-by month --keyed-by event --window 5min --partitions 2"
    )
    assert run(["generate", "traffic", *options.split()]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["rejected:too_old"] > 100
    assert counts["rejected:from_the_future"] > 100
    assert counts["rejected:conflicting_duplicate"] > 200
    assert counts["records"] < 1_500
    expected = Expected.load(Path("elsewhere.json"))
    assert {str(day) for _, _, day in expected.usage} == {"2026-03-01"}
    assert {category for _, category, _ in expected.usage} == {"span", "error", "log_byte"}
    assert {org for org, _, _ in expected.usage} == {1, 2, 3, 4, 5}
    assert expected.about["meter"]["window"] == 300_000_000


def test_now_is_a_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "a", "--events", "10", "--start", "now", "--span", "1s", "--json"]) == 0
    capsys.readouterr()
    assert Expected.load(Path("a.expected.json")).about["start"] > 1_790_000_000_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--events", "0"], "events: 0 is not within"),
        (["a", "--start", "yesterday"], "--start 'yesterday'"),
        (["a", "--span", "long"], "--span: 'long' cannot be read"),
        (["a", "--format", "avro"], "'avro' is no format"),
        (["a", "--too-old", "0.1"], "as_of"),
        (["a", "--create-topic"], "is for a topic"),
        (["a", "--arrow"], "a line of text"),
        (["a", "--categories", "bogus"], "bogus not in the catalogue"),
        (["s3://bucket/a"], "name a file, a folder"),
        (["kafka://host"], "write kafka://host:port/topic"),
        (["kafka://127.0.0.1:1/t", "--start", "2001-01-01"], "too old"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_writes_nothing(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten_unless_told() -> None:
    assert run(["generate", "a", "--events", "10"]) == 0
    assert run(["generate", "a", "--events", "20"]) == 2
    assert run(["generate", "a", "--events", "20", "--force"]) == 0
    assert len(Path("a").read_bytes().splitlines()) == 20


@pytest.mark.kafka
def test_a_topic(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"kafka://{kafka}/command"
    assert run(["generate", target, "--events", "500"]) == 2
    assert "--create-topic" in capsys.readouterr().err
    assert run(["generate", target, "--events", "500", "--create-topic", "--partitions", "2", "--arrow", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["expected"] == "command.expected.json"
    assert "late" not in printed["counts"]
    assert sorted(Expected.load(Path("command.expected.json")).partitions) == ["0", "1"]
