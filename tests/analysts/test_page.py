"""Every query of docs/ANALYSTS.md answers what the page says, and the answers agree with the generator's own totals."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.store import Store, open_store
from tests.analysts.page import COMMANDS, PAGE, answer, make, questions

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("analysts")
    make(made)
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    with open_store(f"chdb:{folder / 'tally-data'}", create=False) as opened:
        yield opened


def test_the_page_says_how_its_data_is_made() -> None:
    for command in COMMANDS:
        assert f"tally {command.split(' --book')[0]}" in " ".join(TEXT.replace("\\\n", " ").split())


def test_there_are_twelve_questions_at_least() -> None:
    assert len(list(questions(TEXT))) >= 12


@pytest.mark.parametrize("number", range(len(list(questions(TEXT)))))
def test_a_query_answers_what_the_page_says(store: Store, number: int) -> None:
    sql, expected = list(questions(TEXT))[number]
    assert answer(store, sql) == expected, "run `python -m tests.analysts.page`"


def test_the_views_agree_with_what_was_sent(store: Store, folder: Path) -> None:
    told = json.loads((folder / "usage.expected.json").read_text(encoding="utf-8"))
    totals = store.query("SELECT sum(events), sum(quantity) FROM usage")[0]
    daily = store.query("SELECT sum(events), sum(quantity) FROM usage_daily")[0]
    hourly = store.query("SELECT sum(events), sum(quantity) FROM usage_hourly")[0]
    assert totals == daily == hourly
    assert totals[0] == told["counts"]["accepted"]
