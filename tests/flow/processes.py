"""Runs of the command line as processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

TIMEOUT = 180


def tally(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: IO[bytes] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return _run([sys.executable, "-m", "tally.cli", *arguments], env, stdin)


def crashing(point: str, countdown: int, *arguments: str) -> bool:
    """Run a command that dies at a named point; return whether it died there (False: it ended before)."""
    done = _run([sys.executable, "-m", "tests.flow.crashing", point, str(countdown), *arguments])
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def ok(*arguments: str) -> dict[str, Any]:
    """Run a command that must succeed and return the JSON that it printed."""
    done = tally(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tally.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def _run(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: IO[bytes] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env={**os.environ, **(env or {})},
    )
