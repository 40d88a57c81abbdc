"""Where a store is: `chdb:PATH`, `clickhouse://user:password@host:8123/db` or `clickhouses://…` (TLS).

`?cluster=NAME` after a server's database says that its tables are replicated and sharded (see `sinks.replicated`).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from schemas.errors import SettingsError

EMBEDDED_DATABASE: Final = "tally"
"""The database within an embedded store. The engine's own default is an overlay over the working folder, in which a
table that is missing could be answered by a file of that name."""

_FORMS: Final = "chdb:PATH, clickhouse://user:password@host:8123/database or clickhouses://… (TLS)"
_CLUSTER: Final = re.compile(r"cluster=([A-Za-z0-9_.-]{1,64})")
_SCHEMES: Final = {"clickhouse": (False, 8123), "clickhouses": (True, 8443)}


@dataclass(frozen=True, slots=True)
class EmbeddedUrl:
    """An embedded store: a folder that one process at a time holds open."""

    path: Path

    def __str__(self) -> str:
        return f"chdb:{self.path}"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A ClickHouse server (or `tally serve`). `database` is None where the user's default one is meant."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str | None
    secure: bool
    cluster: str | None = None
    """The ClickHouse cluster over which tables are replicated and sharded; None for a single server."""

    def __str__(self) -> str:
        """Return the URL without its password: what messages and logs may show."""
        scheme = "clickhouses" if self.secure else "clickhouse"
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = f"/{self.database}" if self.database else ""
        return f"{scheme}://{self.user}@{host}:{self.port}{path}" + (f"?cluster={self.cluster}" if self.cluster else "")

    @property
    def loopback(self) -> bool:
        """Say whether the server is on this machine, where compressing would only cost time."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


StoreUrl = EmbeddedUrl | ServerUrl


def parse_url(url: str) -> StoreUrl:
    """Read a store URL. Raises SettingsError, which never repeats a password."""
    scheme, colon, rest = url.strip().partition(":")
    if scheme == "chdb" and colon:
        return _embedded(rest)
    if scheme in _SCHEMES and colon:
        return _server(scheme, url.strip())
    shown = f"{scheme}:…" if colon else url
    raise SettingsError(f"store {shown!r}: no such kind of store; write {_FORMS}")


def _embedded(rest: str) -> EmbeddedUrl:
    if not rest or rest.startswith("//"):
        raise SettingsError(f"store 'chdb:{rest}': a folder must follow the colon, as in chdb:./tally-data")
    # The engine reads what follows a question mark as options, and :memory: and file: as other kinds of store.
    if "?" in rest or rest.startswith((":", "file:")):
        raise SettingsError(f"store 'chdb:{rest}': only a plain folder without '?' can hold a store")
    path = Path(rest).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise SettingsError(f"store chdb:{path}: this is a file; a store is a folder of its own")
    return EmbeddedUrl(path)


def _server(scheme: str, url: str) -> ServerUrl:
    secure, default_port = _SCHEMES[scheme]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(
            f"store {scheme}://…: host or port cannot be read (percent-encode special characters); write {_FORMS}"
        ) from error
    if not host:
        raise SettingsError(f"store {scheme}://…: no host; write {_FORMS}")
    cluster = _CLUSTER.fullmatch(parts.query)
    if (parts.query and not cluster) or parts.fragment:
        raise SettingsError(
            f"store {scheme}://{host}: nothing but ?cluster=NAME may follow the database; percent-encode '?' and '#'"
        )
    database = unquote(parts.path.strip("/"))
    if "/" in database:
        raise SettingsError(f"store {scheme}://{host}: {database!r} is no database name; write {_FORMS}")
    user = unquote(parts.username) if parts.username else "default"
    return ServerUrl(
        host,
        port or default_port,
        user,
        unquote(parts.password or ""),
        database or None,
        secure,
        cluster[1] if cluster else None,
    )
