"""What cannot be run is refused: one message that says what to do, exit status 2, nothing written."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sinks.store import open_store
from tally import cli
from tests.flow.processes import crashing, tally
from tests.flow.running import Running, free_ports, only_message
from tests.flow.traffic import write_log
from tests.flow.truth import contents
from tests.kafka.helpers import create_topic
from tests.store.serving import ServerProcess

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """Give `tally run` in this process, where it must be refused before a store is made: returns the message."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def call(*arguments: str) -> str:
        assert cli.run(["run", *arguments, "--store", "chdb:store"]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert not Path("store").exists()
        return only_message(err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to read: name a file"),
        (("events.ndjson", "--window", "7s"), "window"),
        (("events.ndjson", "--window", "quickly"), "window"),
        (("events.ndjson", "--dedupe-bucket", "50ms", "--dedupe-horizon", "50ms"), "one second or more"),
        (("events.ndjson", "--dedupe-bucket", "7s", "--dedupe-horizon", "20s"), "dedupe_horizon"),
        (("events.ndjson", "--format", "morse"), "morse"),
        (("events.ndjson", "--progress-every", "often"), "--progress-every"),
        (("events.ndjson", "--catalogue", "none.yaml"), "none.yaml"),
        (("events.ndjson", "--catalogue", "events.ndjson"), "events.ndjson: line 2: "),
        (("events.ndjson", "--catalogue", "empty.yaml"), "empty.yaml: categories: Field required"),
        (("none.ndjson",), "none.ndjson: cannot be read: No such file"),
        (("events.ndjson", ".", "--name", "two"), "--name names one source"),
        (("-",), "standard input has no name"),
        (("-", "--name", "n", "--processes", "2"), "cannot be spread over processes"),
        (("ftp://host/events",), "no such kind of source"),
        (("kafka://host:9092",), "write kafka://host:port/topic"),
        (("kafka://user:secret@host:9092/topic",), "TLS and SASL are kafka properties"),
        (("kafka://host:9092/t", "--kafka", "isolation.level=read_uncommitted"), "isolation.level"),
        (("kafka://host:9092/t", "--kafka", "no.such.property=1"), "no.such.property"),
    ],
)
def test_a_bad_setting_or_source_is_refused(refused: Refused, arguments: tuple[str, ...], said: str) -> None:
    write_log(Path("events.ndjson"), 3)
    Path("empty.yaml").write_text("{}\n", encoding="utf-8")
    message = refused(*arguments)
    assert said in message
    assert "secret" not in message


def test_settings_of_the_environment_and_the_file_are_refused_as_well(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(Path("events.ndjson"), 3)
    monkeypatch.setenv("TALLY_FLUSH_INTERVAL", "soon")
    assert "TALLY_FLUSH_INTERVAL" in refused("events.ndjson")
    monkeypatch.delenv("TALLY_FLUSH_INTERVAL")
    Path("tally.toml").write_text('windows = "5min"\n', encoding="utf-8")
    assert "windows" in refused("events.ndjson")


def test_an_unreachable_broker_is_refused(refused: Refused) -> None:
    message = refused(f"kafka://127.0.0.1:{free_ports(1)[0]}/usage")
    assert "no answer from the brokers within 10 s" in message
    assert "check the address" in message


@pytest.mark.kafka
def test_a_topic_that_is_not_there_or_has_its_producers_time_is_refused(refused: Refused, kafka: str) -> None:
    assert "the broker has no topic 'no-such-topic'" in refused(f"kafka://{kafka}/no-such-topic", "--until-end")
    topic = create_topic(kafka, message_timestamp_type="CreateTime")
    message = refused(f"kafka://{kafka}/{topic}", "--until-end")
    assert "message.timestamp.type=CreateTime" in message
    assert "trust_producer_time" in message
    assert "no topic" in refused(f"kafka://{kafka}/no-such-topic", "--processes", "2")


def test_a_store_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    write_log(path, 3)

    def refused(url: str) -> str:
        done = tally("run", str(path), "--store", url)
        assert done.returncode == 2
        assert done.stdout == ""
        return only_message(done.stderr)

    assert "does not answer: connection refused" in refused(f"clickhouse://u:hidden@127.0.0.1:{free_ports(1)[0]}/x")
    assert "this is a file" in refused(f"chdb:{path}")
    with ServerProcess(tmp_path / "store", password="hidden") as server:
        assert "`tally serve" in refused(f"chdb:{tmp_path / 'store'}")  # another process has it open
        message = refused(server.url.replace("hidden", "guessed"))
        assert "user or password refused" in message
        assert "guessed" not in message


def test_a_store_that_was_used_is_left_as_it_was(tmp_path: Path) -> None:
    """Changed settings after an unclean stop, a changed file, one that was counted already, a newer store."""
    path, store_url = tmp_path / "events.ndjson", f"chdb:{tmp_path / 'store'}"
    write_log(path, 800)
    small_steps = ("--batch-bytes", "4KiB", "--flush-interval", "1us")
    assert crashing("before_progress", 6, "run", str(path), "--store", store_url, *small_steps)

    def refused(*arguments: str) -> str:
        before = contents(store_url)
        assert before["usage_windows"]
        done = tally("run", *arguments, "--store", store_url)
        assert done.returncode == 2, done.stderr
        assert contents(store_url) == before
        return only_message(done.stderr)

    for processes in ("1", "2"):
        message = refused(str(path), "--window", "5min", "--processes", processes)
        assert "the last run stopped uncleanly" in message
        assert "Run once more with the settings as they were" in message

    whole = path.read_bytes()
    path.write_bytes(b"{}\n" + whole)
    assert "the file is not the one that was read before" in refused(str(path))
    path.write_bytes(whole)
    (tmp_path / "copy.ndjson").write_bytes(whole)
    assert "was metered already as events.ndjson/events.ndjson" in refused(str(tmp_path / "copy.ndjson"))

    with open_store(store_url) as store:
        store.command("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_from_the_future.sql', 'x')")
    message = refused(str(path))
    assert "was written by a newer version of Tally (it has 9999_from_the_future.sql" in message
    assert "upgrade Tally" in message


def test_bytewax_own_runner_refuses_with_the_same_words(tmp_path: Path) -> None:
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(2))
    store_url = f"chdb:{tmp_path / 'store'}"
    sources = json.dumps([str(tmp_path / "none.ndjson")])
    for more, said in (({}, "nothing to read"), ({"TALLY_SOURCES": sources}, "none.ndjson: cannot be read")):
        arguments = ["dataflows.usage:flow()", "-i", "0", "-a", addresses]
        with Running(arguments, module="bytewax.run", env={"TALLY_STORE": store_url, **more}) as refused:
            assert refused.end() == 2
        assert said in refused.only_message()
    assert not (tmp_path / "store").exists()
