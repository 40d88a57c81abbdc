"""For the whole suite: no settings of the machine leak in, and tests that share a broker run in one worker."""

import os

import pytest
from hypothesis import settings

for _variable in [name for name in os.environ if name.startswith("TALLY_")]:
    if not _variable.startswith(("TALLY_TEST_", "TALLY_REQUIRE_")):
        del os.environ[_variable]

# How long one example takes depends on what else the machine does; how long a test may take is pytest-timeout's to say.
settings.register_profile("tally", deadline=None)
settings.load_profile("tally")

_BROKERS = frozenset({"kafka", "own_broker"})
"""The fixtures that start a broker."""


# First of all: pytest-xdist reads the marks in a hook of its own.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its group: with `--dist loadgroup` a group stays in one worker.

    The tests that need a broker are one group, so that a run starts one; the others go together by file.
    """
    for item in items:
        broker = item.get_closest_marker("kafka") or _BROKERS & set(getattr(item, "fixturenames", ()))
        group = "kafka" if broker else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
