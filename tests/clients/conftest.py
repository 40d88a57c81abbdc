"""A served store with usage and charges, for clients of every language."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from tests.clients.reads import Address
from tests.repository.code import ROOT

DATA = ROOT / "tally" / "data"
PASSWORD = "a secret/:@"


def tally(folder: Path, *words: object) -> None:
    command = [sys.executable, "-m", "tally.cli", *map(str, words)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Where `tally serve` answers, and as whom."""
    folder = tmp_path_factory.mktemp("clients")
    size = ("--events", 10_000, "--orgs", 20, "--seed", 5, "--start", "2026-11-01", "--span", "3d")
    tally(folder, "generate", "usage/", "--partitions", 2, *size)
    tally(folder, "run", "usage", "--store", "chdb:./s")
    prices = ("--book", DATA / "prices.yaml", "--contracts", DATA / "contracts.yaml")
    tally(folder, "rate", "--period", "2026-11", *prices, "--store", "chdb:./s")
    serving = subprocess.Popen(
        [sys.executable, "-m", "tally.cli", "serve", "--store", "chdb:./s", "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TALLY_SERVE_PASSWORD": PASSWORD},
    )
    assert serving.stdout is not None
    try:
        url = urlsplit(serving.stdout.readline().strip())
        assert url.hostname, "tally serve did not start"
        assert url.port
        yield Address(url.hostname, url.port, unquote(url.username or ""), PASSWORD, url.path.strip("/"))
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    finally:
        serving.kill()
        serving.communicate()


@pytest.fixture(scope="session")
def connected(address: Address) -> Iterator[Client]:
    client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=address.database,
        tz_mode="aware",
    )
    yield client
    client.close()
