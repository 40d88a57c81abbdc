"""What deploy/README.md and docs/RUNBOOK.md say: commands, links, tests and tables that there are."""

import re
import shlex
from pathlib import Path

import pytest

from tally.cli import COMMANDS
from tests.cli.examples import calls, problem
from tests.deploy.files import ALERTS, DEPLOY, KUBERNETES, ROOT
from tests.deploy.test_alerts import anchors

README = DEPLOY / "README.md"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
PAGES = [README, RUNBOOK]
CODE = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lines(path: Path) -> list[str]:
    """Every line that a page shows to be typed, in blocks and in sentences."""
    blocks = [line for block in CODE.findall(text(path)) for line in block.splitlines()]
    sentences = re.findall(r"`((?:kubectl|docker|tally|promtool|python) [^`]+)`", text(path))
    return [line.strip() for line in blocks] + [sentence.replace("\n", " ") for sentence in sentences]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_calls_of_tally_can_be_typed(path: Path) -> None:
    wrong, asked = [], 0
    for line in lines(path):
        # What stands after `--` is run in a container.
        after = line.rpartition(" -- ")[2] if " -- " in line else line
        if not after.startswith(("tally ", "TALLY_")):
            after = re.sub(r"^.* exec \S+ (?=tally )", "", after)
        if not after.startswith(("tally ", "TALLY_")):
            continue
        for arguments in calls(after):
            if len(arguments) == 1 and arguments[0] in COMMANDS:
                continue
            if any("…" in word or re.search(r"\b[A-Z]{3,}\b", word) for word in arguments):
                continue  # a placeholder
            asked += 1
            if said := problem(arguments):
                wrong.append(f"{line}: {said}")
    assert asked > 1
    assert wrong == []


def test_a_wrong_call_would_be_found() -> None:
    (arguments,) = calls("tally status --every")
    assert problem(arguments)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_their_anchors_lead_somewhere(path: Path) -> None:
    for place, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text(path)):
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), place
        assert not anchor or anchor in anchors(target), anchor


def test_objects_that_the_pages_name_are_in_the_manifests() -> None:
    written = "\n".join(text(path) for path in KUBERNETES.glob("*.yaml"))
    for path in PAGES:
        for line in lines(path):
            if not line.startswith("kubectl") or len(line.split()) < 3:
                continue
            words = shlex.split(line, comments=True)
            assert "--namespace" in words or "--kustomize" in words or words[1:3] == ["create", "namespace"], line
            for word in words:
                if re.fullmatch(r"tally-[a-z-]+?(-\d)?", word):
                    assert re.search(rf"name: {re.sub(r'-[0-9]$', '', word)}\b", written), line


def test_the_suspended_jobs_are_all_that_rate() -> None:
    section = text(RUNBOOK).partition("## Hold the bills back")[2].partition("\n## ")[0]
    suspended = set(re.findall(r"patch cronjob (\S+)", section))
    found = re.findall(r"kind: CronJob\nmetadata:\n  name: (\S+)", text(KUBERNETES / "rater-cronjob.yaml"))
    assert suspended == set(found) != set()
    stopped = set(re.findall(r"scale deployment (\S+) --replicas=0", section))
    assert stopped == set(re.findall(r"kind: Deployment\nmetadata:\n  name: (\S+)", text(KUBERNETES / "rater.yaml")))
    assert "stop rater" in section


def test_tests_that_the_runbook_names_are_there() -> None:
    named = re.findall(r"`((?:tests|deploy)/[\w/.]+)`", text(RUNBOOK))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_part_of_the_runbook_has_its_alert_or_is_a_procedure() -> None:
    procedures = {"runbook", "from-symptom-to-action", "wrong-prices-loaded", "hold-the-bills-back"}
    procedures |= {"prove-that-nothing-was-lost", "what-was-tried"}
    led_to = set(re.findall(r"RUNBOOK\.md#(\S+)", text(ALERTS)))
    assert anchors(RUNBOOK) - procedures == led_to


def test_the_files_that_the_readme_lists_are_there() -> None:
    table = text(README).partition("\n## ")[0]
    named = [name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row)]
    assert len(named) > 6
    assert [name for name in named if not (DEPLOY / name).exists()] == []
