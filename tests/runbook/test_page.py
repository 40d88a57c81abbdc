"""The page and its procedures: every section is carried out, every command of it is run, or excused by name."""

import importlib
import shlex
from pathlib import Path

import pytest

from tests.runbook.page import NO_PROCEDURE, NOT_RUN, Procedure, Section, procedures_in, sections

SECTIONS = sections()
PROCEDURES: list[Procedure] = [
    procedure
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if path.name != Path(__file__).name
    for procedure in procedures_in(importlib.import_module(f"tests.runbook.{path.stem}"))
]


def test_every_section_is_carried_out_by_a_test() -> None:
    carried_out = {procedure.section for procedure in PROCEDURES}
    assert carried_out == SECTIONS.keys() - NO_PROCEDURE.keys()
    assert NO_PROCEDURE.keys() <= SECTIONS.keys()


@pytest.mark.parametrize("title", SECTIONS)
def test_every_command_of_a_section_is_run_by_one_of_its_tests(title: str) -> None:
    section = SECTIONS[title]
    run = {section.find(words) for one in PROCEDURES if one.section == title for words in one.commands}
    assert run == set(section.commands())


@pytest.mark.parametrize("title", SECTIONS)
def test_what_is_not_run_is_another_programs(title: str) -> None:
    for line in SECTIONS[title].elsewhere():
        assert shlex.split(line)[0] in NOT_RUN, line


def test_what_is_excused_is_there() -> None:
    page = "\n".join(line for section in SECTIONS.values() for line in section.elsewhere())
    assert all(f"{program} " in page for program in NOT_RUN)


def test_a_command_that_the_page_does_not_have_is_not_found() -> None:
    section = Section(
        "Any", "Do `tally status --max-lag 5`, or\n\n```sh\ntally status  # first\ntally source list\n```\n"
    )
    assert section.commands() == ["tally status", "tally source list", "tally status --max-lag 5"]
    assert section.find("tally status") == "tally status"
    assert section.find("tally source") == "tally source list"
    for words in ("tally reconcile", "tally"):
        with pytest.raises(AssertionError, match="commands for"):
            section.find(words)
