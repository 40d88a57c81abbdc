"""`tally rate`, from files and a real embedded store to what is printed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tally as package
from schemas.usage import Flush
from sinks.store import open_store
from tally.cli import run
from tests.store.samples import NOON, R, progress, usage

DATA = Path(package.__file__).with_name("data")
Tally = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tally:
    """The command line, in a folder with a store of some usage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_STORE", f"chdb:{tmp_path / 'store'}")
    monkeypatch.setenv("TALLY_BOOK", str(DATA / "prices.yaml"))
    monkeypatch.setenv("TALLY_CONTRACTS", str(DATA / "contracts.yaml"))

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        return (status, *capfd.readouterr())

    return call


def fill(tmp_path: Path, rows: list[R], *, finite: bool = True) -> None:
    with open_store(f"chdb:{tmp_path / 'store'}") as store:
        store.migrate()
        found = progress(next_offset=100, log_end=100, log_end_seen_at=NOON, finite=finite)
        store.write([Flush(found, "tally", usage(rows), ())])


def test_statements_of_all_are_a_table(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=62_345)])
    status, out, err = tally("rate", "--period", "2026-11")
    assert status == 0
    rows = [line.split() for line in out.splitlines() if line.strip().endswith("complete")]
    assert rows == [
        ["1", "org-1-business", "business", "1", "89.00", "USD", "complete"],
        ["2", "org-2-enterprise", "enterprise", "1", "2,500.00", "USD", "complete"],
        ["7", "list-price", "business", "2", "102.73", "USD", "complete"],
        ["42", "org-42-business", "business", "1", "89.00", "USD", "complete"],
    ]
    assert "total 2,780.73 USD, of 4 rated now\n" in out
    assert "Usage is complete: every log is read to its end." in out
    assert err == "4 statements written, 0 were there already\n"
    assert tally("rate", "--period", "2026-11")[2] == "0 statements written, 4 were there already\n"


def test_what_can_still_change_is_not_called_complete(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=62_345)], finite=False)
    rows = tally("rate", "--period", "2026-11")[1].splitlines()[2:6]
    assert [row.split()[-1] for row in rows] == ["provisional"] * 4


def test_the_statement_of_one_is_whole(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=62_345)], finite=False)
    status, out, _ = tally("rate", "--period", "2026-11", "--org", "7")
    assert status == 0
    assert "50,000 included; 12,345 × 0.0011125 = 13.7338125; rounded to 13.73" in out
    assert "Provisional: usage is complete to 2026-11-22T12:00:00Z only; these amounts may change." in out
    status, out, _ = tally("rate", "--period", "2026-11", "--org", "7", "--json")
    found = json.loads(out)
    assert (found["statement"]["total"], found["provisional"]) == ("102.73", True)
    assert found["complete_to"] == "2026-11-22T12:00:00Z"


def test_json_of_all_has_every_statement_and_what_was_kept(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=62_345), R(9, "unheard_of", quantity=5)])
    status, out, err = tally("rate", "--period", "2026-11", "--json")
    found = json.loads(out)
    assert status == 1
    assert [row["org_id"] for row in found["rows"]] == [1, 2, 7, 9, 42]
    assert found["rows"][3]["failures"][0]["reason"] == "no_price"
    assert not found["rows"][3]["complete"]
    assert found["totals"] == {"USD": "2780.73"}
    nothing = dict.fromkeys(("unchanged", "superseded", "withdrawn", "interims", "overtaken"), 0)
    assert found["kept"] == {"written": 4, **nothing}
    assert "organisation 9, period 2026-11, category unheard_of: 5 were used" in err
    assert "1 failures (1 no_price)" in err


def test_a_failure_is_told_by_name_and_is_the_exit_status(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=1)])
    Path("own.yaml").write_text(
        "contracts:\n  - {org_id: 1, id: one, plan: business, currency: USD, from: 2026-01-01}\n", encoding="utf-8"
    )
    status, out, err = tally("rate", "--period", "2026-11", "--contracts", "own.yaml")
    assert status == 1
    assert "INCOMPLETE (no_contract)" in out
    assert "total 89.00 USD, of 1 rated now\nin no total: 1 INCOMPLETE\n" in out
    assert "tally: organisation 7, period 2026-11: no contract in own.yaml" in err
    assert "(no_contract)" in err
    status, out, _ = tally("rate", "--period", "2026-11", "--contracts", "own.yaml", "--org", "7")
    assert (status, out) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["--period", "2026-13"], 2, "period '2026-13': write a month"),
        (["--period", "２０26-11"], 2, "write a month of the years 2000 to 2099, as in 2026-11"),
        (["--period", "2026-11", "--book", "none.yaml"], 2, "price book none.yaml: cannot be read"),
        (["--period", "2026-11", "--org", "77"], 1, "organisation 77: nothing to rate in 2026-11"),
        (["--period", "2026-11", "--store", "chdb:./elsewhere"], 2, "elsewhere"),
        ([], 2, "--period"),
    ],
)
def test_what_a_person_can_act_on_is_told(
    tmp_path: Path, tally: Tally, arguments: list[str], status: int, part: str
) -> None:
    fill(tmp_path, [R(7, quantity=1)])
    found, _, err = tally("rate", *arguments)
    assert found == status
    assert part in err


def test_without_a_book_the_message_says_what_to_give(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, [R(7, quantity=1)])
    monkeypatch.delenv("TALLY_BOOK")
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 2
    assert "no book given: name a file with --book FILE, TALLY_BOOK or `book` in tally.toml" in err
    assert str(DATA / "prices.yaml") in err
    Path("tally.toml").write_text(f'book = "{DATA / "prices.yaml"}"\n', encoding="utf-8")
    assert tally("rate", "--period", "2026-11")[0] == 0


def test_an_empty_month_says_so(tmp_path: Path, tally: Tally) -> None:
    fill(tmp_path, [R(7, quantity=1)])
    Path("all.yaml").write_text(
        'contracts:\n  - {org_id: "*", id: one, plan: business, currency: USD, from: 2020-01-01}\n', encoding="utf-8"
    )
    status, out, _ = tally("rate", "--period", "2026-10", "--contracts", "all.yaml")
    assert status == 0
    assert "nothing to rate in 2026-10" in out
