"""The one on call: types what a section of the page says, in the environment that a worker's container has."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from tally.cli import run
from tests.flow.processes import tally
from tests.runbook.page import Procedure, Section

_PLACEHOLDER: Final = re.compile(r"[A-Z]{3,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left: its exit status, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Return all of it, with every run of blanks as one: tables are as wide as their widest cell."""
        return re.sub(r"\s+", " ", self.out + self.err)


@dataclass
class OnCall:
    """Types commands of one section. `means` says what the page's examples stand for here, word by word."""

    section: Section
    procedure: Procedure
    output: pytest.CaptureFixture[str]
    set_variable: Callable[[str, str], None]
    means: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)

    def works_with(self, env: Mapping[str, str], **means: str) -> None:
        """Take the container's environment, and the example words that are names: `usage="t-17"`."""
        for name, value in env.items():
            self.set_variable(name, value)
        self.means |= means

    def type(self, words: str, *more: str, also: Mapping[str, str] | None = None) -> Answer:
        """Run the command of the section that begins with these words, as it stands on the page.

        `more` are options that the one on call adds where the page names a command alone; `also` are meanings for
        this once.
        """
        command = self.section.find(words)
        self.typed.append(command)
        means = {**self.means, **(also or {})}
        arguments = [means.get(word, word) for word in shlex.split(command)[1:]]
        left = [word for word in arguments if word not in means.values() and _PLACEHOLDER.search(word)]
        assert not left, f"{command}: nothing is said of {left}"
        return self.call(*arguments, *more)

    def call(self, *arguments: str) -> Answer:
        """Run a command that need not be on the page."""
        if arguments[0] == "run":  # which takes the signals of its process
            done = tally(*arguments)
            return Answer(done.returncode, done.stdout, done.stderr)
        self.output.readouterr()
        status = run(arguments)
        said = self.output.readouterr()
        return Answer(status, said.out, said.err)

    def finish(self) -> None:
        """Fail where another set of commands was run than the test declares."""
        declared = {self.section.find(words) for words in self.procedure.commands}
        assert set(self.typed) == declared
