"""One store a module, put back to what it was before every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.store import Store, open_store
from tally.settings import Settings
from tests.kafka.conftest import kafka
from tests.reconcile import stores

__all__ = ["kafka"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reconcile")


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return stores.build(folder)


@pytest.fixture(scope="module")
def opened(settings: Settings) -> Iterator[Store]:
    with open_store(settings.store) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    stores.restore(opened)
    return opened
