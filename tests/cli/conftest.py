"""A working folder of its own for each test, without settings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tally.cli import run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Tally = Callable[..., Answer]


@pytest.fixture
def tally(capfd: pytest.CaptureFixture[str]) -> Tally:
    """Run the command line in this process."""

    def call(*arguments: str) -> Answer:
        status = run(arguments)
        return Answer(status, *capfd.readouterr())

    return call
