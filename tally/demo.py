"""The demo: a month of traffic, through a crash, to a bill, every total compared with what was sent.

Everything runs as a person would run it: the commands that are shown are the commands that run, as processes.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rater.files import load_book
from schemas.errors import SettingsError, TallyError
from sinks.store import open_store
from tally.demo_check import compare_bills, compare_counts, compare_usage
from tally.generate import Difference, Expected, TrafficSpec, generate_folder

PERIOD: Final = "2026-11"
NATIVE, OUTCOMES = "native", "outcomes"
KILL_AT: Final = 40
"""Per cent of the native traffic after which the run is killed."""
MARKER: Final = "tally-demo"
"""A file that says that a folder is the demo's own, and may be emptied."""
DATA: Final = Path(__file__).with_name("data")
BOOK: Final = Path(os.path.relpath(DATA / "prices.yaml"))
CONTRACTS: Final = BOOK.with_name("contracts.yaml")


class DemoFailed(TallyError):
    """A step of the demo failed: a bug, or a machine that is too small."""

    exit_status = 1


@dataclass(frozen=True)
class Demo:
    """The demo's folder, size and voice. `events` is the whole of both formats."""

    folder: Path
    events: int
    seed: int
    say: Callable[[str], None]

    @property
    def store(self) -> str:
        """Return the URL of the demo's store."""
        return f"chdb:{self.folder / 'store'}"

    def run(self) -> list[Difference]:
        """Run all of it; return the differences between what was sent and what was counted and billed."""
        self._empty_folder()
        expected = self._generate()
        self._count()
        self._bill()
        self.say("\n── Is it exact? Every total against what the generator sent")
        return self._compare(expected)

    def suggestions(self) -> list[str]:
        """Return three commands that answer something about what the demo left behind."""
        with open_store(self.store, create=False) as store:
            letters = store.query(
                "SELECT topic, partition, offset FROM dead_letters FINAL WHERE reason = 'conflicting_duplicate' "
                "ORDER BY topic, partition, offset LIMIT 1"
            )
        place = "/".join(str(part) for part in letters[0]) if letters else f"{NATIVE}/part-0000.ndjson/0"
        store_option = f"--store {shlex.quote(self.store)}"
        tally = shlex.quote(os.path.relpath(Path(sys.executable).with_name("tally")))
        return [
            f"{tally} usage --org 42 --by day {store_option}",
            f"{tally} deadletters list --limit 5 {store_option}",
            f"{tally} explain {place} {store_option}",
        ]

    def _empty_folder(self) -> None:
        if self.folder.exists():
            if not (self.folder / MARKER).exists() and any(self.folder.iterdir()):
                raise SettingsError(f"{self.folder}: is not a demo's folder; name another with --folder")
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        (self.folder / MARKER).write_text("Made by `tally demo`, which empties this folder when it runs again.\n")

    def _generate(self) -> dict[str, Expected]:
        self.say(f"── A month of traffic ({PERIOD}), seeded: late, repeated, conflicting, malformed events among it")
        native = self.events * 3 // 5
        specs = {
            NATIVE: TrafficSpec(
                events=native,
                seed=self.seed,
                orgs=200,
                partitions=4,
                duplicates=0.01,
                conflicts=0.0005,
                malformed=0.002,
            ),
            OUTCOMES: TrafficSpec(
                events=self.events - native, seed=self.seed + 1, format="sentry-outcomes", orgs=200, partitions=2
            ),
        }
        made = {}
        for name, spec in specs.items():
            started = time.monotonic()
            made[name] = generate_folder(self.folder / name, spec)
            self.say(
                f"{self.folder / name}/: {spec.events:,} events, {made[name].nbytes // 10**6:,} MB "
                f"in {spec.partitions} files, {time.monotonic() - started:.1f} s"
            )
        return made

    def _count(self) -> None:
        self.say("\n── Count it, and kill the process in the middle (kill -9)")
        run = ["run", str(self.folder / NATIVE), "--store", self.store]
        self._killed([*run, "--flush-interval", "100ms", "--progress-every", "100ms"])
        self.say("\n── Start it again: it goes on where the store says")
        self._shown(run)
        self.say("\n── The other format")
        self._shown(["run", str(self.folder / OUTCOMES), "--store", self.store, "--format", "sentry-outcomes"])

    def _bill(self) -> None:
        files = ["--book", str(BOOK), "--contracts", str(CONTRACTS)]
        self.say("\n── Price it: every organisation, then one statement with its arithmetic")
        self._shown(["rate", "--period", PERIOD, *files, "--store", self.store], lines=8)
        self._shown(["rate", "--period", PERIOD, "--org", "42", *files, "--store", self.store])

    def _compare(self, expected: Mapping[str, Expected]) -> list[Difference]:
        with open_store(self.store, create=False) as store:
            return [
                *compare_usage(store, list(expected.values()), self.say),
                *compare_counts(store, expected, self.say),
                *compare_bills(store, list(expected.values()), load_book(BOOK), self.say),
            ]

    def _shown(self, arguments: Sequence[str], lines: int | None = None) -> None:
        """Run a command and show it with what it printed, or the first lines of that."""
        self.say(f"$ tally {shlex.join(arguments)}")
        done = subprocess.run(_command(arguments), capture_output=True, text=True, check=False)
        printed = done.stdout.rstrip().splitlines()
        for line in printed[:lines]:
            self.say(line)
        if lines is not None and len(printed) > lines:
            self.say(f"… {len(printed) - lines:,} more lines")
        if done.returncode:
            raise DemoFailed(f"demo: `tally {shlex.join(arguments)}` failed:\n{done.stderr.strip()}")

    def _killed(self, arguments: Sequence[str]) -> None:
        """Run a command, kill it when it is KILL_AT per cent through, and show how far it was."""
        self.say(f"$ tally {shlex.join(arguments)}")
        last = ""
        command = _command(arguments)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            for line in running.stderr:
                last = line.strip()
                found = re.match(r"(\d+) %", last)
                if found and int(found[1]) >= KILL_AT:
                    running.send_signal(signal.SIGKILL)
                    break
            status = running.wait()
        if status != -signal.SIGKILL:
            raise DemoFailed(f"demo: the run was to be killed, but ended by itself (exit status {status}): {last}")
        self.say(f"killed at {last}")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "tally.cli", *arguments]
