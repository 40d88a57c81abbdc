"""A folder of two files as the topic `usage`, and a store of it: procedures for which no broker matters."""

import shutil
from pathlib import Path
from typing import Any

import tally
from dataflows.reading import Control
from schemas.catalogue import load_catalogue
from schemas.log import LogId
from schemas.metering import MeterSettings
from sinks.store import Store, open_store
from tally.running import Watch, run_here
from tally.settings import Settings, load_settings
from tests.flow.truth import expected, records_of_file, stored

DATA = Path(tally.__file__).with_name("data")
PARTITIONS = ("0", "1")


class Files:
    """The topic `usage` of a folder, with the partitions 0 and 1, counted into the folder's own store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.topic = folder / "usage"
        self.store = f"chdb:{folder / 'store'}"

    @property
    def env(self) -> dict[str, str]:
        """Return what a worker's container has."""
        return {"TALLY_STORE": self.store, "TALLY_SOURCES": f'["{self.topic}"]'}

    def settings(self, **more: Any) -> Settings:
        return load_settings(store=self.store, sources=(str(self.topic),), **more)

    def count(self, **more: Any) -> None:
        """Count the files to their ends, in this process."""
        run_here(self.settings(**more), Control(), Watch())

    def is_exact(self, generation: int | None = None, **metering: Any) -> bool:
        """Tell whether the rows of every file are the oracle's, and the counts and letters with them."""
        rules = MeterSettings(load_catalogue(), **metering)
        with open_store(self.store, create=False) as store:
            return all(
                stored(store, LogId("usage", name), generation)
                == expected(records_of_file(self.topic / name, rules), rules)
                for name in PARTITIONS
            )

    def used(self) -> tuple[int, int]:
        """Return quantity and events altogether, as analysts see them."""
        with open_store(self.store, create=False) as store:
            return total(store)

    def copied(self, folder: Path) -> "Files":
        """Return the same in another folder; nobody may have the store open."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Files(folder)


def total(store: Store) -> tuple[int, int]:
    """Return quantity and events altogether, as analysts see them."""
    quantity, events = store.query("SELECT sum(quantity), sum(events) FROM usage")[0]
    return int(quantity), int(events)


def owed(files: Files) -> int:
    """Return quantity altogether, by the oracle."""
    rules = MeterSettings(load_catalogue())
    logs = [expected(records_of_file(files.topic / name, rules), rules) for name in PARTITIONS]
    return sum(log.counts.quantity for log in logs)
