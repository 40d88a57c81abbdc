"""Two unconnected `tally run`, one a file of a folder, at once, each into a store of its own: the machine's own limit.

python -m benchmarks.peers.side_by_side FOLDER OUT
"""

import argparse
import subprocess
from pathlib import Path

from benchmarks.cases import RUN


def main() -> None:
    """Run them all and wait for them all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.side_by_side")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    runs = [
        subprocess.Popen([*RUN, str(path), "--store", f"chdb:{chosen.out / f'store-{number}'}", "--quiet"])
        for number, path in enumerate(sorted(chosen.folder.iterdir()))
    ]
    failed = sum(run.wait() != 0 for run in runs)
    if failed:
        raise SystemExit(f"{failed} of {len(runs)} runs failed")


if __name__ == "__main__":
    main()
