"""One clickhouse-connect client for either kind of store, with the driver's errors turned into ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import StoreError
from sinks import embedded, leftovers, replicated
from sinks.failures import explain
from sinks.url import EMBEDDED_DATABASE, EmbeddedUrl, ServerUrl, StoreUrl

CONNECT_TIMEOUT: Final = 10
"""Seconds until a server that does not answer counts as away."""
ANSWER_TIMEOUT: Final = 300
"""Seconds without a byte of an answer until a server counts as away."""

# The drivers log each failed attempt as a warning, with the request's whole URL; our errors say it once and in words.
for _name in ("clickhouse_connect", "urllib3"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


@contextmanager
def told(url: StoreUrl, doing: str) -> Iterator[None]:
    """Raise a StoreError that says what was being done, where the driver raises one of its own."""
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise explain(error, str(url), doing) from error


def connect(url: StoreUrl, *, create: bool) -> Client:
    """Open a client; its instants are aware datetimes.

    `create` makes an embedded store that does not exist (a server's database is made by `tally migrate` alone).
    Raises StoreUnavailable, StoreBusy or StoreError.
    """
    if isinstance(url, EmbeddedUrl):
        return _embedded(url, create=create)
    return _server(url)


def disconnect(url: StoreUrl, client: Client) -> None:
    """Close a client; the embedded engine goes with its last one."""
    client.close()
    if isinstance(url, EmbeddedUrl):
        embedded.closed(url)


def _embedded(url: EmbeddedUrl, *, create: bool) -> Client:
    if not create and not (url.path / "store").is_dir():
        raise StoreError(f"store {url}: there is none; check the path, or let `tally migrate` or `tally run` make it")
    with embedded.opening(url), told(url, "opening it"):
        client = clickhouse_connect.get_client(
            interface="chdb", path=str(url.path), chdb_options=dict(embedded.ENGINE_OPTIONS), tz_mode="aware"
        )
        leftovers.guard(client)
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS {EMBEDDED_DATABASE} ENGINE = Atomic")
        except BaseException:
            client.close()
            raise
        client.database = EMBEDDED_DATABASE
        return client


def _server(url: ServerUrl) -> Client:
    with told(url, "connecting"):
        client = clickhouse_connect.get_client(
            host=url.host,
            port=url.port,
            username=url.user,
            password=url.password,
            interface="https" if url.secure else "http",
            compress=not url.loopback,
            connect_timeout=CONNECT_TIMEOUT,
            send_receive_timeout=ANSWER_TIMEOUT,
            # A session would forbid two queries at once, and nothing here needs one.
            autogenerate_session_id=False,
            dedicated_pool=True,
            tz_mode="aware",
            settings=dict(replicated.SETTINGS) if url.cluster else None,
        )
        # Set afterwards: connecting to a database that `migrate` has yet to make would fail.
        client.database = url.database
        return client
