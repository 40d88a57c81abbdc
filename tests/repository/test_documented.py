"""What the pages say is what the code does: every setting, every command, every quoted file, every example."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tally.cli import COMMANDS
from tally.settings import Settings, load_settings
from tally.settings_page import NEW_GENERATION, SECTIONS, page
from tests.cli.examples import calls, example_lines, problem
from tests.cli.test_settings import SAMPLES
from tests.repository.code import ROOT, named

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUOTED = re.compile(r"<!-- ([\w./-]+) -->\n+```\w*\n(.*?)\n```", re.DOTALL)
FENCED = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(tally [a-z][^`]*)`")
SOURCE = re.compile(r"`((?:schemas|dataflows|sinks|rater|tally|tests|benchmarks|deploy|docs)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_page_of_settings_is_current() -> None:
    assert text(ROOT / "docs" / "settings.md") == page(), "run `make docs`"


def test_every_setting_stands_in_one_section_and_says_what_it_does() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(Settings.model_fields)
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_page_knows_which_settings_start_a_new_generation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("categories:\n  - {id: 1, name: call}\n", encoding="utf-8")
    before = load_settings().meter_settings().fingerprint()
    monkeypatch.setenv(f"TALLY_{name.upper()}", SAMPLES[name][0])
    assert (load_settings().meter_settings().fingerprint() != before) == (name in NEW_GENERATION)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_to_a_reader(name: str) -> None:
    assert any(re.search(rf"\btally {name}\b", text(path)) for path in PAGES)


def test_the_readme_quotes_the_pipeline_whole() -> None:
    quoted = {place for place, _ in QUOTED.findall(text(README))}
    assert "dataflows/usage.py" in quoted


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_quoted_file_equals_the_file(path: Path) -> None:
    for place, quoted in QUOTED.findall(text(path)):
        assert quoted == text(ROOT / place).rstrip("\n"), f"{named(path)} quotes another {place}"


def shown(path: Path) -> Iterator[str]:
    """Every call of tally that a page shows, in its code blocks and in its sentences."""
    for block in FENCED.findall(text(path)):
        yield from example_lines(block)
    for line in INLINE.findall(text(path)):
        yield from example_lines(line.replace("\n", " "))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_what_a_page_shows_can_be_typed(path: Path) -> None:
    """Calls with placeholders in capitals or an ellipsis name a shape, and are passed over."""
    wrong = []
    for line in shown(path):
        for arguments in calls(line):
            if len(arguments) == 1 and arguments[0] in COMMANDS:
                continue  # a command's name, in a sentence
            if any("…" in word or word.isupper() or "|" in word for word in arguments):
                continue
            if said := problem(arguments):
                wrong.append(f"{line}: {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    assert not [place for place in LINK.findall(text(path)) if not (path.parent / place).exists()]


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    assert not [place for place in SOURCE.findall(text(path)) if not (ROOT / place).exists()]


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    makefile = text(ROOT / "Makefile")
    targets = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    explained = dict(re.findall(r"^([a-z-]+):.*## (.+)$", makefile, re.MULTILINE))
    assert targets == explained.keys()
    assert all(said.endswith(".") for said in explained.values())


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_page_names_only_targets_that_there_are(path: Path) -> None:
    named_here = set(re.findall(r"`make ([a-z-]+)", text(path)))
    assert named_here <= set(re.findall(r"^([a-z-]+):.*## ", text(ROOT / "Makefile"), re.MULTILINE))
