"""`tally demo`: from nothing to a bill, through a crash, with every total compared."""

import time
from pathlib import Path
from typing import Annotated

import typer

from tally.demo import Demo

SHOWN = 20
"""Differences that are told one by one."""


def command(
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the demo keeps everything; emptied when it runs again.")
    ] = Path("demo-data"),
    events: Annotated[int, typer.Option(min=1_000, max=1_000_000_000, help="How many events, of both formats.")] = (
        1_200_000
    ),
    seed: Annotated[int, typer.Option(help="Another seed is other traffic.")] = 1,
) -> None:
    """Show the whole of it: traffic, a run that is killed and resumed, usage, statements, and a comparison.

    Needs no services. The last line says how many of the totals differ from what the generator sent; the exit status
    is 1 when any does. What it leaves behind can be explored: it prints commands to try.

    For example:

        tally demo

        tally demo --events 10000000 --folder /tmp/big-demo
    """
    started = time.monotonic()
    demo = Demo(folder, events, seed, lambda line: print(line, flush=True))
    differences = demo.run()
    for difference in differences[:SHOWN]:
        print(difference)
    print(f"\nDone in {time.monotonic() - started:.0f} s. To look around:")
    for line in demo.suggestions():
        print(f"  {line}")
    print(f"{len(differences):,} differences", flush=True)
    if differences:
        raise typer.Exit(1)
