"""Compiled code is kept by what it was made from: an old rule must not go on counting after an upgrade."""

from pathlib import Path

import pytest

from dataflows import compiled


def test_a_change_in_any_source_is_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    found = set()
    for folder in compiled.SOURCES:
        place = tmp_path / folder / "inner" / "rule.py"
        place.parent.mkdir(parents=True)
        for text in ("LIMIT = 1\n", "LIMIT = 2\n"):
            place.write_text(text)
            found.add(compiled._digest())
    assert len(found) == 2 * len(compiled.SOURCES)


def test_everything_that_is_compiled_lies_in_the_digested_folders() -> None:
    using = {
        path.relative_to(compiled.ROOT).as_posix()
        for folder in ("schemas", "dataflows", "sinks", "rater", "tally")
        for path in (compiled.ROOT / folder).rglob("*.py")
        if "@compiled" in path.read_text(encoding="utf-8")
    }
    assert using
    assert all(any(name.startswith(f"{folder}/") for folder in compiled.SOURCES) for name in using)
