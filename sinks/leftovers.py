"""Keeps what a failed query had written out of the next answer.

chDB's `Connection.query` leaves the output of a query that fails half-way in its buffer, and the next query on the same
connection answers with it before its own rows. Where the columns are the same, nobody would notice. Streams
(`send_query`) leave nothing.
"""

from typing import Any


class Clean:
    """A chDB connection of which every answer is the query's own; all else is the connection's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def query(self, *arguments: Any, **options: Any) -> Any:
        """Ask, and where that fails, let a query without rows take what is left away."""
        try:
            return self._connection.query(*arguments, **options)
        except RuntimeError:
            self._connection.query("SELECT 1", "Null")
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def guard(client: Any) -> None:
    """Let a clickhouse-connect client with the embedded engine ask through `Clean`. May be called twice."""
    handle = client._backend._handle
    if not isinstance(handle.conn, Clean):
        handle.conn = Clean(handle.conn)
