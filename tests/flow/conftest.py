"""The broker of tests/kafka, for the flows that read topics."""

from tests.kafka.conftest import kafka

__all__ = ["kafka"]
