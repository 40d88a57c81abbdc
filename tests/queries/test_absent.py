"""Commands that read, where there is nothing to read yet."""

from pathlib import Path

import pytest

from sinks.store import open_store
from tally.cli import run

COMMANDS = [
    ["usage"],
    ["deadletters", "list"],
    ["deadletters", "show", "events/0/1"],
    ["deadletters", "replay"],
    ["explain", "events/0/1"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_store_that_is_not_there_or_has_no_tables_says_what_to_do(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"chdb:{tmp_path / 'store'}"
    assert run([*command, "--store", url]) == 2
    absent = capfd.readouterr()
    assert "there is none" in absent.err
    assert not (tmp_path / "store").exists()
    with open_store(url):
        pass
    assert run([*command, "--store", url]) == 2
    empty = capfd.readouterr()
    assert "tally migrate" in empty.err
    assert absent.out + empty.out == ""
