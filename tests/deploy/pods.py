"""A pod's process on this machine: `python -m tests.deploy.pods NUMBER PORT PORT…`. Its peers have ports, not hosts."""

import sys

from tally.pod import Place, run

if __name__ == "__main__":
    number, *ports = (int(argument) for argument in sys.argv[1:])
    run(Place(number, tuple(f"127.0.0.1:{port}" for port in ports)))
