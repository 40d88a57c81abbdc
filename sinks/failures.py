"""What a driver's error means to the person who runs Tally: away for now, full, wrong password, or a fault."""

import errno
import re
from collections.abc import Iterator
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error, InterfaceError, OperationalError
from urllib3.exceptions import HTTPError

from schemas.errors import StoreError, StoreMismatch, StoreUnavailable

_AWAY: Final = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED (the server is going down)
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY (its coordination service is away)
        252,  # TOO_MANY_PARTS (merges are behind)
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT (resending is harmless)
        373,  # SESSION_IS_LOCKED
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        999,  # KEEPER_EXCEPTION
    }
)
"""ClickHouse error codes that can pass by themselves."""

_DENIED: Final = frozenset({192, 193, 194, 497, 516})
_MISSING: Final = frozenset({60, 81})  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_NO_SPACE: Final = 243
_AWAY_STATUS: Final = re.compile(r"HTTP status (429|502|503|504)\b")
_FULL: Final = re.compile(r"No space left on device|NOT_ENOUGH_SPACE|errno: 28\b")


def explain(error: Exception, store: str, doing: str) -> StoreError:
    """Return the error to raise for a driver's one.

    StoreUnavailable where waiting may help, StoreMismatch where a table or the database is missing, else StoreError.
    `store` is the URL without a password, `doing` what was being done. The driver's own text is only repeated where
    the server wrote it: a transport error's text holds the request's whole URL.
    """
    code = getattr(error, "code", None)
    text = _server_text(error)
    if code == _NO_SPACE or _FULL.search(text) or getattr(error, "errno", None) == errno.ENOSPC:
        return StoreError(
            f"store {store}: the disk is full ({doing}); free some space and start again: nothing is lost"
        )
    if code in _DENIED:
        return StoreError(f"store {store}: user or password refused; check them in the store URL")
    if code in _MISSING:
        return StoreMismatch(f"store {store}: {_first_line(text)}: `tally migrate` makes what Tally's tables lack")
    if isinstance(error, OperationalError) and code is None and (reason := transport_reason(error)):
        return StoreUnavailable(f"store {store} does not answer: {reason} ({doing})")
    # One insert into too many months has the code of too many parts, and no wait would cure it.
    if (code in _AWAY and "single INSERT block" not in text) or _AWAY_STATUS.search(text):
        return StoreUnavailable(f"store {store} cannot serve this now ({doing}): {_first_line(text)}")
    return StoreError(f"store {store} refused ({doing}): {_first_line(text)}")


def transport_reason(error: BaseException) -> str | None:
    """Return why a connection failed, in a few words and without the request's URL; None where none failed."""
    reason: str | None = None
    for link in _chain(error):
        if isinstance(link, TimeoutError):
            return "timed out"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror.lower()
        if isinstance(link, HTTPError | OSError):
            reason = type(link).__name__
    if (
        reason is None
        and isinstance(error, InterfaceError | OperationalError)
        and not isinstance(error.__cause__, Error)
    ):
        return "connection failed"
    return reason


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what caused it; urllib3 keeps the socket's error in `reason` or in the arguments."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]


def _server_text(error: Exception) -> str:
    return str(error) if isinstance(error, ClickHouseError | OSError) else f"{type(error).__name__}: {error}"


def _first_line(text: str) -> str:
    text = text[max(0, text.find("Code: ")) :]
    line = re.sub(r"\s*\((for url|version) [^)]*\)", "", text).strip().split("\n", 1)[0]
    return line if len(line) <= 500 else line[:499] + "…"
