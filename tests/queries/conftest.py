"""A migrated embedded store, and the command line on it: both in this process, on one path."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sinks.store import Store, open_store
from tally.cli import run
from tests.kafka.conftest import kafka

__all__ = ["kafka"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TABLES = ("usage_windows", "kept_events", "dead_letters", "progress", "replays")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store a module: making one takes longer than most tests."""
    with open_store(f"chdb:{tmp_path_factory.mktemp('store') / 'store'}") as made:
        made.migrate()
        made.command("SYSTEM STOP MERGES usage_windows")
        yield made


@pytest.fixture
def store(opened: Store) -> Store:
    """An empty store."""
    clear(opened)
    return opened


def clear(store: Store) -> None:
    for table in TABLES:
        store.command(f"TRUNCATE TABLE {table}")


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Tally = Callable[..., Answer]


@pytest.fixture
def tally(capfd: pytest.CaptureFixture[str], store: Store, monkeypatch: pytest.MonkeyPatch) -> Tally:
    """Run the command line on the store."""
    monkeypatch.setenv("TALLY_STORE", store.url)

    def call(*arguments: str) -> Answer:
        status = run(arguments)
        return Answer(status, *capfd.readouterr())

    return call
