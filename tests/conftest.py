"""For the whole suite: no settings of the machine leak in."""

import os

from hypothesis import settings

for _variable in [name for name in os.environ if name.startswith("TALLY_")]:
    if not _variable.startswith(("TALLY_TEST_", "TALLY_REQUIRE_")):
        del os.environ[_variable]

# How long one example takes depends on what else the machine does; how long a test may take is pytest-timeout's to say.
settings.register_profile("tally", deadline=None)
settings.load_profile("tally")
