"""A pod's process on this machine: `python -m tests.deploy.pods NUMBER PORT PORT…`. Its peers have ports, not hosts.

TALLY_TEST_METER_VERSION makes it one of another release, whose meter has that version; TALLY_TEST_CRASH="POINT N" lets
it die at a point of its n-th flush (tests/flow/crashing.py).
"""

import os
import sys

import schemas.metering
from tally.pod import Place, run

if __name__ == "__main__":
    if version := os.environ.get("TALLY_TEST_METER_VERSION"):
        schemas.metering.METER_VERSION = int(version)  # type: ignore[misc]  # as another release has it
    if crash := os.environ.get("TALLY_TEST_CRASH"):
        from tests.flow.crashing import arm

        point, countdown = crash.split()
        arm(point, int(countdown))
    number, *ports = (int(argument) for argument in sys.argv[1:])
    run(Place(number, tuple(f"127.0.0.1:{port}" for port in ports)))
