"""`tally serve`: a process of its own, an ordinary client, and a stop that loses nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.errors import StoreError
from sinks.store import open_store
from tests.cli.conftest import Tally

ROOT = Path(__file__).parents[2]


@dataclass
class Serving:
    """A `tally serve` that answers: `url` is the line that it printed."""

    process: subprocess.Popen[str]
    url: str

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit status and what was said on stderr."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


Start = Callable[..., Serving]


@pytest.fixture
def serve() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, password: str | None = None) -> Serving:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if password is not None:
            environment["TALLY_SERVE_PASSWORD"] = password
        process = subprocess.Popen(
            [sys.executable, "-m", "tally.cli", "serve", "--store", "chdb:./s", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        assert process.stdout is not None
        return Serving(process, process.stdout.readline().strip())

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def with_password(url: str, password: str) -> str:
    user, _, rest = url.rpartition("@")
    return f"{user}:{password}@{rest}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_store_is_migrated_answers_and_stops_cleanly(serve: Start, number: signal.Signals) -> None:
    serving = serve("--user", "meter", password="s3cret-of-mine")
    assert serving.url.startswith("clickhouse://meter@127.0.0.1:")
    with open_store(with_password(serving.url, "s3cret-of-mine")) as store:
        store.check_version()
        assert store.query("SELECT count() FROM usage_windows") == [(0,)]
        with pytest.raises(StoreError, match="tally serve"):
            open_store("chdb:./s").migrate()  # one process at a time
    with pytest.raises(StoreError):
        open_store(with_password(serving.url, "another")).query("SELECT 1")
    status, said = serving.stop(number)
    assert status == 0
    assert "s3cret-of-mine" not in said + serving.url
    assert "stopping" in said
    with open_store("chdb:./s", create=False) as store:
        store.check_version()


def test_a_password_that_was_made_up_is_told_once(serve: Start) -> None:
    serving = serve()
    password = serving.url.partition("default:")[2].partition("@")[0]
    assert len(password) >= 24
    with open_store(serving.url) as store:
        assert store.query("SELECT 1") == [(1,)]
    status, said = serving.stop(signal.SIGTERM)
    assert status == 0
    assert said.count(password) == 1
    assert f"export TALLY_STORE={serving.url}" in said


def test_a_password_file_wins_over_the_variable(serve: Start, folder: Path) -> None:
    (folder / "password").write_text("of the file\nnot this\n")
    serving = serve("--password-file", "password", password="of the variable")
    with open_store(with_password(serving.url, "of%20the%20file")) as store:
        assert store.query("SELECT 1") == [(1,)]
    assert serving.stop(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--store", "clickhouse://u:hunter22@h/x"], "clickhouse://u@h:8123/x is a server already; serve an embedded"),
        (["--password-file", "none"], "--password-file none: cannot be read: No such file or directory"),
        (["--password-file", "empty"], "--password-file empty: its first line is empty"),
        (["--host", "192.0.2.1", "--password-file", "good"], "cannot listen on 192.0.2.1:8123"),
    ],
)
def test_what_cannot_be_served(tally: Tally, folder: Path, arguments: list[str], said: str) -> None:
    (folder / "empty").write_text("\n")
    (folder / "good").write_text("pass")
    answer = tally("serve", *arguments)
    assert answer.status == 2
    assert answer.out == ""
    assert said in answer.err
    assert "hunter22" not in answer.err
