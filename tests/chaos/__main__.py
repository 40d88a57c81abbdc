"""Kill, break and cut everything around a flow under load, and count at the end: `python -m tests.chaos`.

What is real: the brokers (two Kafka nodes), the store (`tally serve`, ClickHouse's engine), the runs (`tally run`, in
processes that are killed by SIGKILL), the network between them (TCP through a proxy of the harness), the load. What is
not: runs of one process are forked from a process that has loaded the modules (clusters are started from nothing); the
wall clock that is stepped is the one that Python code of a run reads; no machine loses power, so what an fsync is for
is not tried here.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from schemas.errors import TallyError
from tests.chaos.brokers import Brokers
from tests.chaos.flows import Stuck, Zygote
from tests.chaos.points import Clock
from tests.chaos.proxy import Network
from tests.chaos.rounds import Bench, Running, Totals, totals_so_far
from tests.chaos.schedule import FAULTS, LONG_PAUSE, Round, draw
from tests.chaos.truncation import truncated
from tests.kafka.broker import fetch_jars


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Start what all rounds share."""
    jars = fetch_jars()
    with Network() as network, Zygote() as zygote:
        brokers = Brokers(jars, folder, network)
        try:
            brokers.start()
            yield Bench(folder, network, brokers, zygote, Clock(folder / "clock"))
        finally:
            brokers.stop()


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def go_through(shared: Bench, rounds: Sequence[Round], totals: Totals) -> None:
    """Run rounds one after the other, and tell how far it is; ends with the first that is stuck."""
    for number, plan in enumerate(rounds, 1):
        started = time.monotonic()
        say(f"round {plan.name} ({number} of {len(rounds)}): {plan.kills} kills, {plan.faults} faults")
        say("  " + " ".join((*plan.metering, *plan.pace)))
        try:
            Running(shared, plan, totals, say).run()
        except (Stuck, AssertionError, KafkaException, OSError, TallyError) as stuck:
            totals.differences.append(f"round {plan.name}: {type(stuck).__name__}: {stuck}")
            say(f"stuck: {traceback.format_exc()}")
            break
        finally:
            took = time.monotonic() - started
            totals.seconds += took
            say(f"round {plan.name}: {took:.0f} s; {totals.counts.events:,} events, {totals_so_far(totals)}")


def as_json(totals: Totals, seed: int) -> dict[str, Any]:
    faults = {kind: count for kind, count in sorted(totals.faults.items()) if kind in FAULTS}
    recovery = sorted(totals.recovery)
    return {
        "seed": seed,
        "seconds": round(totals.seconds),
        "kills": totals.kills.total(),
        "kills_by_place": dict(sorted(totals.kills.items())),
        "faults": sum(faults.values()),
        "faults_by_kind": faults,
        "besides": {kind: count for kind, count in sorted(totals.faults.items()) if kind not in FAULTS},
        "starts": totals.starts,
        "ends": dict(totals.ends.most_common()),
        "troubled_connections": totals.met,
        "counts": totals.counts.as_json(),
        "usage_rows": totals.rows,
        "dead_letters": totals.letters,
        "redelivered_records": totals.redelivered,
        "seconds_from_kill_to_caught_up": {
            "measured": len(recovery),
            **{f"p{share}": round(recovery[(len(recovery) - 1) * share // 100], 2) for share in (50, 99) if recovery},
        },
        "differences": totals.differences,
    }


def show(found: dict[str, Any]) -> None:
    """Print totals for a person."""
    counts = found["counts"]
    print(f"seed {found['seed']}: {found['seconds']:,} s, {found['starts']:,} starts of a run")
    print(f"{found['kills']:,} kills, {found['faults']:,} faults of the store and the brokers")
    for title in ("kills_by_place", "faults_by_kind", "besides", "ends"):
        print(f"  {title.replace('_', ' ')}: " + ", ".join(f"{kind} {n:,}" for kind, n in found[title].items()))
    print(
        f"{counts['records']:,} records ({found['redelivered_records']:,} of them redelivered), {counts['events']:,} "
        f"events: {counts['accepted']:,} accepted ({counts['late']:,} late), {counts['duplicates']:,} duplicates, "
        f"{sum(counts['not_billable'].values()):,} not billable, {sum(counts['rejected'].values()):,} rejected"
    )
    print(f"{found['usage_rows']:,} usage rows and {found['dead_letters']:,} dead letters compared")
    print(f"from kill -9 to caught up: {found['seconds_from_kill_to_caught_up']}")
    for line in found["differences"]:
        print(f"DIFFERENCE {line}")
    print(f"{len(found['differences'])} differences")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1_000, metavar="N", help="kills of a run, at least (1000)")
    parser.add_argument("--faults", type=int, default=200, metavar="N", help="faults of store and brokers (200)")
    parser.add_argument("--seed", type=int, help="the schedule; a new one where none is given, and printed")
    parser.add_argument("--round", type=int, metavar="I", help="only the I-th round of the schedule")
    parser.add_argument("--long-pause", type=float, default=LONG_PAUSE, metavar="S", help="seconds of it (320)")
    parser.add_argument("--json", action="store_true", help="print the totals as JSON")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with it
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    say(f"seed {seed}")
    rounds = draw(seed, given.kills, given.faults, long_pause=given.long_pause)
    if given.round is not None:
        rounds = rounds[given.round - 1 : given.round]
    folder, totals = Path(tempfile.mkdtemp(prefix="tally-chaos-")), Totals()
    with bench(folder) as shared:
        go_through(shared, rounds, totals)
        totals.differences += truncated(shared, folder, totals)
    found = as_json(totals, seed)
    print(json.dumps(found, indent=2)) if given.json else show(found)
    if totals.differences:
        say(f"everything is kept in {folder}; --seed {seed} goes through the same schedule again")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
