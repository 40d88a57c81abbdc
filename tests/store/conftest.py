"""Both kinds of store, for one suite of tests."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sinks.store import Store, open_store
from tests.store.serving import ServerProcess

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """An embedded store behind `tally serve`'s server, in a process of its own."""
    with ServerProcess(tmp_path_factory.mktemp("served") / "store") as running:
        yield running


@pytest.fixture(params=["embedded", "server"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that does not exist yet, of either kind."""
    if request.param == "embedded":
        return f"chdb:{tmp_path / 'store'}"
    running: ServerProcess = request.getfixturevalue("server")
    return running.url.rpartition("/")[0] + f"/test_{next(_numbers)}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A migrated store of either kind, whose merges only a test itself starts."""
    with open_store(store_url) as opened:
        opened.migrate()
        opened.command("SYSTEM STOP MERGES usage_windows")
        yield opened


@pytest.fixture
def merged(store: Store) -> Callable[[], None]:
    """Merge every table of the store to a single part a partition."""

    def merge() -> None:
        store.command("SYSTEM START MERGES usage_windows")
        for table in ("usage_windows", "progress", "dead_letters", "replays", "statements"):
            store.command(f"OPTIMIZE TABLE {table} FINAL")

    return merge
