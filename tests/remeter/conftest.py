"""A migrated embedded store for a module's tests, emptied before each."""

from collections.abc import Iterator

import pytest

from sinks.store import Store, open_store
from tests.kafka.conftest import kafka

__all__ = ["kafka"]

TABLES = (
    "usage_windows",
    "kept_events",
    "dead_letters",
    "progress",
    "replays",
    "statements",
    "remeter_parts",
    "remeter_decisions",
    "remetered_letters",
)


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
