"""What goes wrong, and when: a function of the seed alone.

A schedule is some rounds. Each has a topic, a store and settings of its own, a share of the kills and of the faults,
and a check at its end. The same seed gives the same schedule; at which byte of the log a kill then lands is up to the
machine.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from tests.chaos.points import KEPT_POINTS, POINTS

SECOND: Final = 1_000_000
CATALOGUE: Final = Path(__file__).with_name("kept.yaml")
KEEPING: Final = 0.4
"""The share of rounds in which events of some categories are kept one by one."""

STORE_FAULTS: Final = (
    "store killed",
    "store killed inside an insert",
    "store frozen",
    "store slow",
    "store refuses",
    "store answers 500",
    "store answers 503",
    "store says full",
    "store disk full",
    "store cuts inserts",
    "store answers lost",
    "store inserts held back",
)
BROKER_FAULTS: Final = (
    "broker killed",
    "broker restarted",
    "broker frozen",
    "broker unreachable",
    "broker silent",
    "broker slow",
    "broker cuts",
    "messages redelivered",
)
FAULTS: Final = (*STORE_FAULTS, *BROKER_FAULTS)
"""What is done to the store and to the brokers: these are counted as faults."""

PROCESS_TROUBLES: Final = ("paused", "zombie", "clock forward", "clock back", "drained")
"""What is done to the flow beside killing it, and counted apart."""

TABLES: Final = ("", "usage_windows", "dead_letters", "progress")
"""Which inserts a fault is about; all requests for the first."""
ROUND_KILLS: Final = 100
CLUSTERS: Final = 0.06
"""The share of clusters of two processes: each is started from nothing, which takes long."""
LONG_PAUSE: Final = 320.0
"""Seconds: longer than every timeout of the store's client and server (300) and of the Kafka client (60)."""


@dataclass(frozen=True)
class Kill:
    """Kill a run: at a named point when it is reached for the `count`-th time, or `after` so many seconds.

    Of a cluster, `victim` is the worker 0 or 1, or the parent (2).
    """

    point: str = ""
    count: int = 1
    after: float = 0.0
    cluster: bool = False
    victim: int = 0


@dataclass(frozen=True)
class Fault:
    """Let something go wrong for `seconds`, and kill runs meanwhile. The rest is for the kinds that need it."""

    kind: str
    seconds: float
    kills: tuple[Kill, ...] = ()
    amount: float = 0.0
    """A share of what the kind knows: how slow, how many bytes."""
    about: str = ""
    """A table of which inserts are meant; '' for everything."""
    node: int = 0


@dataclass(frozen=True)
class CatchUp:
    """Let the run go on until it has read what there is now."""


Step = Kill | Fault | CatchUp


@dataclass(frozen=True)
class Round:
    """A topic, a store, settings, and what goes wrong."""

    name: str
    partitions: int
    settings: MeterSettings
    metering: tuple[str, ...]
    """The settings as flags."""
    pace: tuple[str, ...]
    """Flags that the answer does not depend on."""
    rate: int
    defect: str
    """A defect that is planted in the runs (tests/chaos/defects.py), to see that it is found; '' for none."""
    small_disk: bool
    long_pause: float
    steps: tuple[Step, ...] = field(repr=False)

    @property
    def kills(self) -> int:
        return sum(len(step.kills) if isinstance(step, Fault) else isinstance(step, Kill) for step in self.steps)

    @property
    def faults(self) -> int:
        return sum(isinstance(step, Fault) and step.kind in FAULTS for step in self.steps)


def draw(
    seed: int, kills: int, faults: int, *, others: int | None = None, long_pause: float = LONG_PAUSE, haste: float = 1.0
) -> tuple[Round, ...]:
    """Return a schedule of so many kills and faults; its first round has a pause of `long_pause` seconds.

    `others`: how many troubles of the process beside; a quarter of the faults, and each once, if not given. `haste`:
    how many times shorter faults are.
    """
    chance = random.Random(seed)
    count = max(1, round(kills / ROUND_KILLS))
    kinds = _deal(chance, FAULTS, faults)
    beside = max(len(PROCESS_TROUBLES), faults // 4) if others is None else others
    troubles = _deal(chance, PROCESS_TROUBLES, beside)
    points = _deal(chance, POINTS, max(kills // 2, 1))
    rounds = []
    for number in range(count):
        share = _Share(
            kinds[number::count], troubles[number::count], points[number::count], len(range(number, kills, count))
        )
        rounds.append(_round(chance, f"{seed}-{number + 1}", share, long_pause if number == 0 else 0.0))
    return tuple(replace(plan, steps=tuple(_hasten(step, haste) for step in plan.steps)) for plan in rounds)


def _hasten(step: Step, haste: float) -> Step:
    return replace(step, seconds=step.seconds / haste) if isinstance(step, Fault) else step


@dataclass(frozen=True)
class _Share:
    kinds: Sequence[str]
    others: Sequence[str]
    points: Sequence[str]
    kills: int


def _deal(chance: random.Random, kinds: Sequence[str], count: int) -> list[str]:
    """Return `count` of the kinds, each as often as the others, in random order."""
    dealt: list[str] = []
    while len(dealt) < count:
        dealt += chance.sample(kinds, len(kinds))
    return dealt[:count]


def _round(chance: random.Random, name: str, share: _Share, long_pause: float) -> Round:
    points, left = list(share.points), share.kills
    steps: list[Step] = []
    for kind in chance.sample([*share.kinds, *share.others], len(share.kinds) + len(share.others)):
        # A kill or two inside some of the faults; there a named point may never be reached.
        inside = min(left, chance.choice([0, 0, 1, 1, 2])) if kind in FAULTS else 0
        left -= inside
        steps.append(_fault(chance, kind, [_timed(chance, cluster=False) for _ in range(inside)]))
    while left > 0:
        left -= 1
        if points and chance.random() < 0.6:
            count, cluster = chance.choice([1, 1, 2, 3, 5, 8]), chance.random() < CLUSTERS
            kill = Kill(points.pop(), count, 0.0, cluster, chance.randrange(2))
        else:
            kill = _timed(chance, cluster=chance.random() < CLUSTERS)
        steps.insert(chance.randrange(len(steps) + 1), kill)
    for at in range(9, len(steps) + len(steps) // 9, 10):
        steps.insert(at, CatchUp())
    settings, metering = _settings(chance)
    plan = Round(
        name=name,
        partitions=chance.choice([2, 3, 4]),
        settings=settings,
        metering=metering,
        pace=(
            *("--flush-interval", chance.choice(["30ms", "100ms", "200ms"])),
            *("--batch-bytes", chance.choice(["2KiB", "32KiB", "4MiB"])),
        ),
        rate=chance.choice([60, 120]),
        defect="",
        small_disk=any(isinstance(step, Fault) and step.kind == "store disk full" for step in steps),
        long_pause=long_pause,
        steps=tuple(steps),
    )
    apart = random.Random(name)  # so that the rest of the schedule is what it is without
    if apart.random() >= KEEPING:
        return plan
    return keeping(replace(plan, steps=tuple(_at_kept(apart, step) for step in steps)))


def keeping(plan: Round) -> Round:
    """Return the round with a catalogue in which the events of some categories are kept one by one."""
    settings = replace(plan.settings, catalogue=load_catalogue(CATALOGUE))
    return replace(plan, settings=settings, metering=(*plan.metering, "--catalogue", str(CATALOGUE)))


def _at_kept(chance: random.Random, step: Step) -> Step:
    """Let some kills be at the insert of kept events."""
    if isinstance(step, Kill) and step.point and chance.random() < 0.3:
        return replace(step, point=chance.choice(KEPT_POINTS))
    return step


def _timed(chance: random.Random, *, cluster: bool) -> Kill:
    if cluster:
        return Kill(after=chance.uniform(0.3, 4.5), cluster=True, victim=chance.randrange(3))
    # Half of them while the run still starts and replays, half while it writes.
    after = chance.uniform(0.02, 0.5) if chance.random() < 0.5 else chance.uniform(0.4, 1.3)
    return Kill(after=after)


def _fault(chance: random.Random, kind: str, kills: Sequence[Kill]) -> Fault:
    seconds = chance.uniform(0.4, 2.0)
    if kind in ("store slow", "paused", "broker silent", "store frozen"):
        seconds = chance.uniform(1.5, 4.5)
    return Fault(kind, seconds, tuple(kills), chance.random(), chance.choice(TABLES), chance.randrange(2))


def _settings(chance: random.Random) -> tuple[MeterSettings, tuple[str, ...]]:
    """Return short horizons, so that a round sees ids forgotten, windows closed and late segments ended."""
    horizon, lateness, window = chance.choice([2, 4, 8]), chance.choice([1, 3, 5]), chance.choice([5, 20, 60])
    settings = MeterSettings(
        load_catalogue(),
        format=chance.choice(["tally", "tally", "tally", "sentry-outcomes", "cloudevents"]),
        group_by_project=chance.random() < 0.5,
        window=window * SECOND,
        allowed_lateness=lateness * SECOND,
        bucket=SECOND,
        horizon_buckets=horizon,
        trust_producer_time=chance.random() < 0.3,
    )
    flags = [
        *("--format", settings.format, "--window", f"{window}s", "--allowed-lateness", f"{lateness}s"),
        *("--dedupe-bucket", "1s", "--dedupe-horizon", f"{horizon}s"),
    ]
    flags += ["--group-by-project"] * settings.group_by_project
    flags += ["--trust-producer-time"] * settings.trust_producer_time
    return settings, tuple(flags)
