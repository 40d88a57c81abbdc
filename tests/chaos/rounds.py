"""A round: a topic under load, a store, runs that are killed and started, what goes wrong; and the check at its end."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from schemas.log import LogId
from schemas.progress import Counts, Progress
from sinks.retry import Retrying
from sinks.store import open_store
from tests.chaos.brokers import Brokers, patiently
from tests.chaos.check import judge_topic, reconciled, recounted, went_back
from tests.chaos.faults import MAKING, PROXIED, Scene
from tests.chaos.flows import DEADLINE, Flows, Process, Stuck, Zygote
from tests.chaos.load import Load
from tests.chaos.points import Clock
from tests.chaos.proxy import Network
from tests.chaos.schedule import FAULTS, CatchUp, Fault, Kill, Round
from tests.chaos.serving import Serving, SmallDisk
from tests.flow.topics import ends_of
from tests.kafka.helpers import create_topic

TRIES: Final = 5
AFTERWARDS: Final = 13.0
"""Seconds after a fault in which a run may still end of it: a broker gets ten to answer."""
TELL_EVERY: Final = 20.0
PATIENCE: Final = 15.0
"""Seconds that a fault of the network is kept up until something meets with it."""
ZOMBIE_LIFE: Final = 10.0
"""Seconds for which a run that was given up goes on beside its successors."""
POINT_DEADLINE: Final = 25.0
"""Seconds after which a run that has not come to the point at which it is to die is killed where it is."""


@dataclass
class Bench:
    """What all rounds share."""

    folder: Path
    network: Network
    brokers: Brokers
    zygote: Zygote
    clock: Clock


@dataclass
class Totals:
    """What happened, and what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    met: int = 0
    """Connections or requests, of flows and producers, that met with a trouble of the network."""
    counts: Counts = field(default_factory=Counts)
    rows: int = 0
    letters: int = 0
    recovery: list[float] = field(default_factory=list)
    """Seconds from a kill -9 of a run that had caught up until its successor had read all that there was then."""
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    redelivered: int = 0
    """Records that the brokers have and never acknowledged: written, and written again by the retry."""


class Running:
    """One round under way."""

    def __init__(self, bench: Bench, plan: Round, totals: Totals, say: Callable[[str], None]) -> None:
        self._bench = bench
        self._plan = plan
        self._totals = totals
        self._say = say
        self._seen: Mapping[LogId, Progress] = {}

    def run(self) -> None:
        """Do all of it; what differs is in the totals. Raises Stuck where something that must happen did not."""
        plan, bench = self._plan, self._bench
        folder = bench.folder / f"round-{plan.name}"
        folder.mkdir()
        kind = "CreateTime" if plan.settings.trust_producer_time else "LogAppendTime"
        self._topic = f"chaos-{plan.name}-{os.getpid()}"
        create_topic(bench.brokers.address, plan.partitions, self._topic, message_timestamp_type=kind)
        with ExitStack() as stack:
            disk = stack.enter_context(SmallDisk(folder / "disk")) if plan.small_disk else None
            serving = stack.enter_context(Serving(folder / "disk" if disk else folder / "served"))
            proxy = bench.network.proxy(to=serving.port)
            self._direct = serving.url()
            flows = Flows(
                bench.zygote,
                folder,
                [
                    f"kafka://{bench.brokers.for_flows}/{self._topic}",
                    "--store",
                    serving.url(proxy.port),
                    *plan.metering,
                    *plan.pace,
                ],
                {"CHAOS_CLOCK": str(bench.folder / "clock"), "CHAOS_DEFECT": plan.defect},
            )
            stack.callback(flows.end_all)
            self._flows = flows
            self._scene = Scene(flows, serving, proxy, bench.brokers, bench.clock, disk)
            self._store = stack.enter_context(open_store(self._direct, retrying=Retrying(patience=60)))
            self._store.migrate()
            load = stack.enter_context(
                Load(
                    bench.brokers.for_load,
                    self._topic,
                    plan.settings,
                    seed=plan.name,
                    partitions=plan.partitions,
                    rate=plan.rate,
                )
            )
            met = self._scene.met()
            asleep = self._sleep() if plan.long_pause else None
            told = time.monotonic()
            for number, step in enumerate(plan.steps):
                self._do(step)
                if time.monotonic() - told > TELL_EVERY:
                    told = time.monotonic()
                    self._say(
                        f"round {plan.name}: step {number + 1} of {len(plan.steps)}: {totals_so_far(self._totals)}"
                    )
            if asleep is not None:
                self._wake(*asleep)
            load.stop()
            self._to_the_end()
            self._check(load)
            self._totals.starts += flows.starts
            self._totals.ends += flows.ends
            self._totals.differences += flows.unexcused
            self._totals.met += self._scene.met() - met

    def _do(self, step: Kill | Fault | CatchUp) -> None:
        flows = self._flows
        for old in [x for x in flows.beside if time.monotonic() - (x.given_up or 0.0) > ZOMBIE_LIFE]:
            flows.end(old, signal.SIGKILL)  # in the end someone notices
        if isinstance(step, Kill):
            self._kill(step)
        elif isinstance(step, Fault):
            self._fault(step)
        else:
            self._catch_up()

    # ---- kills ----

    def _kill(self, kill: Kill) -> None:
        if kill.point or kill.cluster:
            if self._flows.current is not None:
                self._kill_now(self._flows.running(), "at work")
            self._kill_cluster(kill) if kill.cluster else self._kill_at(kill)
        else:
            self._kill_after(kill)

    def _kill_now(self, process: Process, where: str) -> bool:
        """Kill a run by SIGKILL; return whether that is what it died of."""
        killed = self._flows.end(process, signal.SIGKILL) == -signal.SIGKILL
        if killed:
            self._totals.kills[where] += 1
        return killed

    def _kill_at(self, kill: Kill) -> None:
        for _ in range(TRIES):
            process = self._flows.start(point=kill.point, count=kill.count)
            status = self._flows.wait(process, POINT_DEADLINE)
            if status == -signal.SIGKILL:
                self._totals.kills[kill.point] += 1
                return
            if status is None and self._kill_now(process, "at work"):
                return
        raise Stuck(f"no run could be killed {kill.point}: {process.words()[-1000:]}")

    def _kill_after(self, kill: Kill) -> None:
        after = kill.after
        for _ in range(TRIES):
            process = self._flows.running()
            age = time.monotonic() - process.started
            self._flows.pause(after if age > after else after - age)
            if process.status is None and not process.cluster:
                if self._kill_now(process, f"after {_span(time.monotonic() - process.started)}"):
                    return
            elif process.cluster and process.status is None and self._kill_now(process, "whole cluster"):
                return
            after /= 3  # where its world is in trouble a run may end before
        raise Stuck(f"no run lived for {after:.2f} s to be killed: {process.words()[-1000:]}")

    def _kill_cluster(self, kill: Kill) -> None:
        for _ in range(TRIES):
            worker = kill.victim if kill.point else None
            process = self._flows.start(point=kill.point, count=kill.count, cluster=True, worker=worker)
            process.expected = True
            if kill.point:
                status = self._flows.wait(process, 3 * POINT_DEADLINE)
                where = f"worker {kill.point}"
                if status is None:
                    self._kill_now(process, "whole cluster")
                    return
                dead = "workers ended early" in process.last_words
            else:
                where, dead = self._kill_part(process, kill)
            if dead:
                self._totals.kills[where] += 1
                return
        raise Stuck(f"no cluster could be killed: {process.last_words}")

    def _kill_part(self, process: Process, kill: Kill) -> tuple[str, bool]:
        """Kill a worker, or the parent, of a cluster; all of it must be gone soon after."""
        deadline = time.monotonic() + DEADLINE
        while len(process.workers()) < 2 and process.status is None and time.monotonic() < deadline:
            self._flows.pause(0.05)
        self._flows.pause(kill.after)
        workers = process.workers()
        if process.status is not None or len(workers) < 2:
            return "", False
        victim = process.pid if kill.victim == 2 else workers[kill.victim]
        os.kill(victim, signal.SIGKILL)
        if self._flows.wait(process) is None:
            raise Stuck(f"a cluster lives on without one of its processes: {process.words()[-1000:]}")
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            if time.monotonic() > deadline:
                raise Stuck(f"workers {workers} live on without their parent")
            time.sleep(0.02)
        return ("parent of a cluster" if kill.victim == 2 else "worker of a cluster"), True

    # ---- everything else ----

    def _fault(self, fault: Fault) -> None:
        flows = self._flows
        flows.running()
        quiet = fault.kind in ("zombie", "clock forward", "clock back", "drained", "messages redelivered")
        if not quiet:
            flows.excused_until = float("inf")
        started, met = time.monotonic(), self._scene.met()
        with MAKING[fault.kind](self._scene, fault):
            for kill in fault.kills:
                self._kill_after(kill)
            flows.keep(max(0.05, fault.seconds - (time.monotonic() - started)))
            while (
                missed := fault.kind in PROXIED and self._scene.met() == met
            ) and time.monotonic() < started + PATIENCE:
                flows.keep(0.2)
        if not quiet:
            flows.excused_until = time.monotonic() + AFTERWARDS
        self._totals.faults["without effect" if missed else fault.kind] += 1
        if missed and fault.amount:  # nothing went through just there: the same again, where everything goes through
            self._fault(replace(fault, amount=0.0, about="", kills=()))

    def _progress(self) -> Mapping[LogId, Progress]:
        now = self._store.progress(self._topic)
        self._totals.differences += went_back(self._seen, now)
        self._seen = now
        return now

    def _catch_up(self) -> None:
        """Let the run catch up; kill it then, and measure how long its successor takes to be as far."""
        self._caught_up()
        killed = time.monotonic()
        process = self._flows.running()
        self._flows.end(process, signal.SIGKILL)
        self._totals.kills["caught up"] += 1
        self._caught_up()
        self._totals.recovery.append(time.monotonic() - killed)

    def _caught_up(self) -> None:
        ends = patiently(lambda: ends_of(self._bench.brokers.address, self._topic, self._plan.partitions))
        deadline = time.monotonic() + DEADLINE
        while True:
            self._flows.keep(0.03)
            now = self._progress()
            read = [now.get(LogId(self._topic, str(number))) for number in range(len(ends))]
            if all(x is not None and x.next_offset >= end for x, end in zip(read, ends, strict=True)):
                return
            if time.monotonic() > deadline:
                words = self._flows.running().words()[-1000:]
                raise Stuck(
                    f"not caught up with {ends} in {DEADLINE:g} s: {[x and x.next_offset for x in read]}: {words}"
                )

    def _sleep(self) -> tuple[Process, float]:
        """Stop a run that works, for as long as the round says."""
        self._caught_up()
        process = self._flows.give_up()
        process.send(signal.SIGSTOP)
        self._flows.beside.remove(process)  # so that nobody ends it before
        self._say(f"a run is paused for {self._plan.long_pause:g} s")
        return process, time.monotonic() + self._plan.long_pause

    def _wake(self, process: Process, until: float) -> None:
        if (left := until - time.monotonic()) > 0:
            self._flows.keep(left)
        self._flows.beside.append(process)
        process.send(signal.SIGCONT)
        self._totals.faults["long pause"] += 1
        self._flows.keep(5.0)
        self._say("the paused run goes on beside its successor")

    def _to_the_end(self) -> None:
        """Stop the run in good order, and let another read to the end, beside whoever is still there."""
        flows = self._flows
        flows.keep(0.5)
        self._caught_up()
        status = flows.drain()
        if status != 0:
            self._totals.differences.append(f"a run that was drained ended with {status}")
        process = flows.start("--until-end")
        process.expected = True
        if flows.wait(process) != 0:
            raise Stuck(f"the last run ended with {process.status}: {process.last_words}")
        flows.end_all()

    def _check(self, load: Load) -> None:
        totals, plan = self._totals, self._plan
        judged = judge_topic(self._bench.brokers.address, self._direct, self._topic, load.acknowledged, plan.settings)
        totals.differences += [f"round {plan.name}: {line}" for line in judged.differences]
        totals.differences += [f"round {plan.name}: {x}" for x in reconciled(self._direct, plan.settings.window)]
        recount = recounted(self._direct, self._topic, plan.metering)
        totals.differences += [f"round {plan.name}: {line}" for line in recount]
        if self._store.complete_to() is None:
            totals.differences.append(f"round {plan.name}: usage has no complete_to")
        totals.counts = Counts.total([totals.counts, judged.counts])
        totals.rows += judged.rows
        totals.letters += judged.letters
        totals.redelivered += judged.counts.records - sum(map(len, load.acknowledged))


def totals_so_far(totals: Totals) -> str:
    """Return how far it is, in a few words."""
    faults = sum(count for kind, count in totals.faults.items() if kind in FAULTS)
    return f"{totals.kills.total():,} kills, {faults:,} faults, {len(totals.differences)} differences"


def _span(seconds: float) -> str:
    """Return which part of a run's life that is: it starts, it replays and begins, it works."""
    return "0-0.3 s" if seconds < 0.3 else "0.3-0.8 s" if seconds < 0.8 else "0.8 s or more"
