"""The broker of tests/kafka and the stores of tests/store."""

from tests.kafka.conftest import kafka, own_broker
from tests.store.conftest import server, store_url

__all__ = ["kafka", "own_broker", "server", "store_url"]
