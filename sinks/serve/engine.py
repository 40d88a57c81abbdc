"""The embedded engine behind the server: handles, each with its settings and database, lent to one query at a time."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import chdb
from chdb import ChdbError

from sinks import embedded
from sinks.leftovers import Clean
from sinks.serve.problems import Problem, problem_of
from sinks.url import EMBEDDED_DATABASE, EmbeddedUrl

SESSION_SECONDS: Final = 60
"""How long a session outlives its last query unless the query says otherwise (`session_timeout`)."""
MAX_SESSION_SECONDS: Final = 3600
MAX_SESSIONS: Final = 1000
PATIENCE: Final = 30
"""Seconds that a query waits for its turn when too many run at once."""

_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def literal(text: str) -> str:
    """Return text as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Handle:
    """One connection to the engine, with what is set on it; not for two threads at once."""

    def __init__(self, target: str) -> None:
        # After a refused statement a handle is used again: nothing that it wrote may stand before the next answer.
        self.connection: Any = Clean(chdb.connect(target))  # type: ignore[no-untyped-call]  # not annotated
        self.settings: dict[str, str] = {}
        self.database = ""
        self.usable = True

    def take_back(self, settings: Mapping[str, str]) -> bool:
        """Reset what an earlier query set and this one does not; False where the engine no longer lets us."""
        base = embedded.SETTINGS
        try:
            for name in [name for name in self.settings if name not in settings]:
                self._do(f"SET {name} = {literal(base[name]) if name in base else 'DEFAULT'}")
                del self.settings[name]
        except Problem:
            # After readonly = 1 nothing can be set any more, readonly itself included.
            self.usable = False
        return self.usable

    def prepare(self, settings: Mapping[str, str], database: str | None) -> None:
        """Apply settings and database (None: leave it). Raises Problem for a setting that the engine refuses."""
        if database is not None and database != self.database:
            self._do("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
            self.database = database
        # readonly goes last: it forbids every later SET.
        for name, value in sorted(settings.items(), key=lambda item: item[0] == "readonly"):
            if self.settings.get(name) != value:
                if not _NAME.fullmatch(name):
                    raise Problem(115, "UNKNOWN_SETTING", f"{name!r} is no setting")
                self._do(f"SET {name} = {literal(value)}")
                self.settings[name] = value

    def _do(self, sql: str) -> None:
        try:
            self.connection.query(sql, "TabSeparated")
        except (ChdbError, RuntimeError) as error:
            raise problem_of(error) from error

    def close(self) -> None:
        """Give the connection back to the engine."""
        self.usable = False
        self.connection.close()


@dataclass(slots=True)
class _Session:
    """A client's session: it gets a handle of its own once a statement has changed its state."""

    handle: Handle | None = None
    expires: float = 0.0
    busy: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """An embedded store opened for several threads. `clock` gives monotonic seconds, for sessions' ends."""

    def __init__(self, url: EmbeddedUrl, *, max_queries: int, clock: Callable[[], float]) -> None:
        self._url = url
        self._target = f"{url.path}?{urlencode(embedded.ENGINE_OPTIONS)}"
        self._clock = clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(max_queries)
        self._idle: list[Handle] = []
        self._max_idle = max_queries
        self._sessions: dict[str, _Session] = {}
        with embedded.opening(url):
            # Kept for itself: the engine would shut down whenever the last handle in use was closed.
            self._keeper = Handle(self._target)
        self._keeper.connection.query(f"CREATE DATABASE IF NOT EXISTS {EMBEDDED_DATABASE} ENGINE = Atomic")
        self.version = str(self._keeper.connection.query("SELECT version()", "TabSeparated").bytes().decode().strip())

    @contextmanager
    def lend(
        self, settings: Mapping[str, str], database: str | None, *, stateful: bool, session: str | None, timeout: float
    ) -> Iterator[Handle]:
        """Lend a handle for one statement, with these settings and this database (None: the session's or default one).

        A stateful statement (SET, USE) keeps its handle for the session, or, without one, is the handle's last.
        `timeout` is the session's, in seconds from the statement's end.
        """
        if not self._places.acquire(timeout=PATIENCE):
            raise Problem(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many queries at once; try again")
        try:
            if session is None:
                yield from self._lend_pooled(settings, database, keep=not stateful)
            else:
                yield from self._lend_to_session(settings, database, session, timeout, stateful=stateful)
        finally:
            self._places.release()

    def _lend_pooled(self, settings: Mapping[str, str], database: str | None, *, keep: bool) -> Iterator[Handle]:
        handle = self._take(settings, database or EMBEDDED_DATABASE)
        sound = False
        try:
            handle.prepare(settings, database or EMBEDDED_DATABASE)
            yield handle
            sound = True
        except Problem:
            # A refused statement leaves the handle as it was, and a refused setting was not set.
            sound = True
            raise
        finally:
            with self._lock:
                reuse = keep and sound and handle.usable and len(self._idle) < self._max_idle
                if reuse:
                    self._idle.append(handle)
            if not reuse:
                handle.close()

    def _take(self, settings: Mapping[str, str], database: str) -> Handle:
        """Return an idle handle, best one on which nothing need be changed, or a new one."""
        with self._lock:
            fitting = [h for h in self._idle if h.settings == settings and h.database == database] or self._idle[-1:]
            for handle in fitting[:1]:
                self._idle.remove(handle)
        if fitting and fitting[0].take_back(settings):
            return fitting[0]
        for handle in fitting[:1]:
            handle.close()
        return Handle(self._target)

    def _lend_to_session(
        self, settings: Mapping[str, str], database: str | None, name: str, timeout: float, *, stateful: bool
    ) -> Iterator[Handle]:
        session = self._enter(name)
        try:
            if session.handle is None and not stateful:
                yield from self._lend_pooled(settings, database, keep=True)
                return
            if session.handle is None:
                session.handle = self._take(settings, database or EMBEDDED_DATABASE)
                database = database or EMBEDDED_DATABASE
            session.handle.take_back(settings)
            session.handle.prepare(settings, database)
            yield session.handle
            if stateful:
                # Which database it is in now is the client's knowledge alone.
                session.handle.database = ""
        finally:
            if session.handle is not None and not session.handle.usable:
                session.handle.close()
                session.handle = None
            session.expires = self._clock() + min(timeout, MAX_SESSION_SECONDS)
            session.busy.release()

    def _enter(self, name: str) -> _Session:
        now = self._clock()
        with self._lock:
            for other, session in list(self._sessions.items()):
                if session.expires <= now and session.busy.acquire(blocking=False):
                    del self._sessions[other]
                    if session.handle is not None:
                        session.handle.close()
            if name not in self._sessions and len(self._sessions) >= MAX_SESSIONS:
                raise Problem(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many sessions; try again")
            session = self._sessions.setdefault(name, _Session())
            if not session.busy.acquire(blocking=False):
                raise Problem(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
            return session

    def close(self) -> None:
        """Close every handle that is not lent; the engine stops with the last."""
        with self._lock:
            handles = [*self._idle, *(s.handle for s in self._sessions.values() if s.handle is not None)]
            self._idle.clear()
            self._sessions.clear()
            self._max_idle = 0
        for handle in [*handles, self._keeper]:
            handle.close()
        embedded.closed(self._url)
