"""The five properties again with arrays so small that the compiled loop has to ask for room at every turn."""

import pytest

from dataflows import dedupe, marks, open_rows
from tests.metering import test_properties as properties


@pytest.mark.parametrize(
    "name",
    ["test_oracle_and_conservation", "test_batch_invariance", "test_crash_invariance", "test_zombie_invariance"],
)
def test_with_hardly_any_room(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(open_rows, "FIRST_ROWS", 2)
    monkeypatch.setattr(marks, "ROOM", 1)
    monkeypatch.setattr(dedupe, "FIRST_CAPACITY", 4)
    monkeypatch.setattr(dedupe, "TAIL", 2)
    getattr(properties, name)()
