"""The page on reliability names tests and files that there are, and every fault and kind of trouble that is made."""

import re

from tests.chaos.schedule import BROKER_FAULTS, PROCESS_TROUBLES, STORE_FAULTS
from tests.repository.code import ROOT

PAGE = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:tests|docs|benchmarks)/[\w./]+)`", PAGE))
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_fault_is_told() -> None:
    told = {
        cell.strip() for line in PAGE.splitlines() if line.startswith("|") for cell in line.split("|")[1].split(",")
    }
    words = {kind.removeprefix("store ").removeprefix("broker ") for kind in (*STORE_FAULTS, *BROKER_FAULTS)}
    renamed = {"cuts": "cut"}  # of a broker
    assert not {renamed.get(word, word) for word in words} - told
    assert not set(PROCESS_TROUBLES) - told
