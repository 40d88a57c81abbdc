"""The broker of tests/kafka, for what is too much or too large."""

from tests.kafka.conftest import kafka

__all__ = ["kafka"]
