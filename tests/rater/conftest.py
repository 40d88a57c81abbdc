"""For the rater's properties: a profile with many examples.

TALLY_TEST_EXAMPLES=5000 pytest --hypothesis-profile thousands tests/rater/test_properties.py
"""

import os

from hypothesis import settings

settings.register_profile("thousands", deadline=None, max_examples=int(os.environ.get("TALLY_TEST_EXAMPLES", "5000")))
