"""The one on call, and the broker of tests/kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.conftest import kafka, own_broker
from tests.repository.code import ROOT
from tests.runbook.oncall import OnCall
from tests.runbook.page import procedure_of, sections

__all__ = ["kafka", "own_broker"]


@pytest.fixture
def on_call(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[OnCall]:
    """Give the one on call with the section that the test declares, in an empty folder."""
    procedure = procedure_of(request.function)
    assert procedure is not None, "the test does not say which section it carries out"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for tests' own programs, which are not installed
    found = OnCall(sections()[procedure.section], procedure, capfd, monkeypatch.setenv)
    failed = request.session.testsfailed
    yield found
    if request.session.testsfailed == failed:
        found.finish()
