"""An embedded store offered over ClickHouse's HTTP protocol; see `StoreServer`."""

from sinks.serve.server import StoreServer

__all__ = ["StoreServer"]
