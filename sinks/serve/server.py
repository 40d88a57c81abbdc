"""`tally serve`: an embedded store offered to other processes over ClickHouse's HTTP protocol."""

import contextlib
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from schemas.errors import SettingsError
from sinks.serve.engine import Engine
from sinks.serve.http import Handler
from sinks.url import EMBEDDED_DATABASE, EmbeddedUrl, parse_url

MAX_QUERIES: Final = 16
"""Statements that run at once; more wait their turn."""
POLL: Final = 0.1
"""Seconds until an interrupt is noticed."""
GRACE: Final = 30.0
"""Seconds that `stop` gives to the statements that are running."""


class _Stopping(Exception):
    """Ends the serving loop."""


class Server(ThreadingHTTPServer):
    """The listening socket and what all its connections share."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engine: Engine, user: str, password: str) -> None:
        self.engine = engine
        self.user = user
        self.password = password
        self.stopping = False
        self._running = 0
        self._idle = threading.Condition()
        self._connections: set[socket.socket] = set()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count a request, so that a stop can wait for it."""
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no request is running; say whether that came about."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._running, timeout=seconds)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]  # the base allows datagrams too
        """Keep the connection in sight, so that a stop can end it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # the base allows datagrams too
        """Forget a connection that ended."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a client that went away; anything else is a bug and must be seen."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed on as it came

    def service_actions(self) -> None:
        """Leave the loop when a stop was asked for: from here, so that a signal handler may ask."""
        if self.stopping:
            raise _Stopping

    def hang_up(self) -> None:
        """End the connections that are left, idle ones as a rule."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class StoreServer:
    """Serves the embedded store at `path` until stopped.

    Guarantees: nothing is answered without the password (an empty one is refused beyond loopback); an INSERT begins
    only when its data has arrived whole; settings of one query are not seen by the next. Not guaranteed: protection
    from a client that has the password. The engine reads and writes files as this process may, so a password is as
    good as this account; keep it on loopback, or behind TLS.

    Port 0 takes a free one. `password=None` makes a random one, to be read from `password`.
    Raises SettingsError, StoreBusy (another process has the store open) or StoreError.
    """

    def __init__(
        self,
        path: str | Path,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "default",
        password: str | None = None,
        *,
        max_queries: int = MAX_QUERIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = parse_url(f"chdb:{path}")
        assert isinstance(url, EmbeddedUrl)
        self.host = host
        self.user = user
        self.password = secrets.token_urlsafe(24) if password is None else password
        if not self.password and not _loopback(host):
            raise SettingsError(f"serve: {host} can be reached by others; give a password, or serve on 127.0.0.1")
        self._engine = Engine(url, max_queries=max_queries, clock=clock)
        try:
            self._server = Server((host, port), self._engine, user, self.password)
        except (OSError, OverflowError) as error:
            self._engine.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(
                f"serve: cannot listen on {host}:{port}: {reason}; choose another host or port"
            ) from error
        self._loop = threading.Lock()
        self._stopped = False

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Return the store URL for clients. It holds the password: a secret."""
        return self._url(f"{quote(self.user, safe='')}:{quote(self.password, safe='')}")

    @property
    def public_url(self) -> str:
        """Return the store URL without the password, for messages."""
        return self._url(quote(self.user, safe=""))

    def _url(self, login: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"clickhouse://{login}@{host}:{self.port}/{EMBEDDED_DATABASE}"

    def start(self) -> Self:
        """Serve in a thread of its own; the socket already listens, so a client may connect at once."""
        threading.Thread(target=self.serve_forever, name="tally-serve", daemon=True).start()
        return self

    def serve_forever(self) -> None:
        """Serve in this thread until `interrupt` or `stop` is called; `stop` must follow, to close the store."""
        with self._loop, contextlib.suppress(_Stopping):
            self._server.serve_forever(poll_interval=POLL)

    def interrupt(self) -> None:
        """Let `serve_forever` return soon; may be called from a signal handler."""
        self._server.stopping = True

    def stop(self, grace: float = GRACE) -> bool:
        """Take no more requests, let the running ones end, close the store. May be called twice.

        Returns False when statements were still running after `grace` seconds: the store is then left to the end of
        the process, since closing it under a running statement is not safe. What was acknowledged is written anyway.
        """
        if self._stopped:
            return True
        self._stopped = True
        self.interrupt()
        with self._loop:
            self._server.server_close()
        idle = self._server.wait_idle(grace)
        self._server.hang_up()
        if idle:
            self._engine.close()
        return idle

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
