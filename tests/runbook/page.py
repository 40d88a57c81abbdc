"""docs/RUNBOOK.md as the one on call reads it: its sections, and what each of them says to type."""

import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.repository.code import ROOT

PAGE: Final = ROOT / "docs" / "RUNBOOK.md"

NOT_RUN: Final = {
    "kubectl": "no Kubernetes runs here; that the objects are in the manifests is tests/deploy/test_pages.py's to say",
    "docker": "no container engine runs here; the services are checked by tests/deploy/test_compose.py",
}
"""Programs whose commands no procedure carries out, each with the reason."""

NO_PROCEDURE: Final = {
    "What was tried": "a table of tests, and nothing to do",
}
"""Sections that no procedure carries out, each with the reason."""

_BLOCK: Final = re.compile(r"^ *```sh\n(.*?)^ *```\n", re.DOTALL | re.MULTILINE)
_INLINE: Final = re.compile(r"`((?:tally|kubectl|docker) [a-z-][^`]*)`")

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: its title and its text."""

    title: str
    text: str

    def typed(self) -> list[str]:
        """Return every command that is shown, in blocks and in sentences, each once and without its comment."""
        lines = [line for block in _BLOCK.findall(self.text) for line in block.splitlines()]
        lines += _INLINE.findall(_BLOCK.sub("", self.text))
        return list(dict.fromkeys(" ".join(shlex.split(line, comments=True)) for line in lines))

    def commands(self) -> list[str]:
        """Return the calls of tally among them."""
        return [line for line in self.typed() if line.startswith("tally ")]

    def elsewhere(self) -> list[str]:
        """Return what is typed into another program."""
        return [line for line in self.typed() if not line.startswith("tally ")]

    def find(self, words: str) -> str:
        """Return the one command of the section that is these words, or begins with them."""
        commands = self.commands()
        found = [one for one in commands if one == words] or [one for one in commands if f"{one} ".startswith(words)]
        assert len(found) == 1, f"{self.title!r} has {len(found)} commands for {words!r}, of {commands}"
        return found[0]


def sections() -> dict[str, Section]:
    """Return the page's sections by title, in order; what stands before the first one is left out."""
    _, *parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    split = [part.partition("\n") for part in parts]
    return {title: Section(title, text) for title, _, text in split}


@dataclass(frozen=True, slots=True)
class Procedure:
    """A test that carries out a section, or its part: with which of its commands, by their first words."""

    section: str
    commands: Sequence[str]


_CARRIED_OUT: Final = "carries_out"


def carries_out(section: str, *commands: str) -> Callable[[Test], Test]:
    """Declare that a test plants what a section is about, and runs these commands of it, neither more nor fewer."""

    def declare(test: Test) -> Test:
        setattr(test, _CARRIED_OUT, Procedure(section, commands))
        return test

    return declare


def procedure_of(test: object) -> Procedure | None:
    """Return what a test declares."""
    found = getattr(test, _CARRIED_OUT, None)
    return found if isinstance(found, Procedure) else None


def procedures_in(module: object) -> Iterator[Procedure]:
    """Give what the tests of a module declare."""
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and (found := procedure_of(test)) is not None:
            yield found
