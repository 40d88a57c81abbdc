"""The broker of tests/kafka, for the tests that produce."""

from tests.kafka.conftest import kafka

__all__ = ["kafka"]
