"""`tally rate` and `tally statement` with interim statements: told, listed, shown as text, JSON and a page."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.usage import Flush
from sinks.store import open_store
from tests.rater.pages import Read
from tests.rater.test_store_terms import Tally, agree, price, tally
from tests.store.samples import NOON, R, progress, usage

__all__ = ["tally"]

CHARGES = {
    "base": {"price": {"model": "flat", "amount": 10}},
    "errors": {"name": "Errors", "category": "error", "price": {"model": "per_unit", "unit_amount": "0.1"}},
}
MONTH = ("--period", "2026-11")
ONE = (*MONTH, "--org", "1")


def use(tmp_path: Path, quantity: int, read: int) -> None:
    with open_store(f"chdb:{tmp_path / 'store'}") as store:
        store.migrate()
        found = progress(next_offset=read, log_end=read, log_end_seen_at=NOON)
        rows = usage([R(1, quantity=quantity, last=read - 1), R(2, quantity=3)])
        store.write([Flush(found, "tally", rows, ())])


@pytest.fixture
def billed(tmp_path: Path, tally: Tally) -> Tally:
    """An organisation that was billed twice before the end of the month."""
    price(CHARGES, adjustments=[{"kind": "discount_percent", "percent": 50}])
    agree({"org_id": 1, "invoice_thresholds": {"amounts": [50, 100]}}, {"org_id": "*"})
    for quantity, read in ((1_100, 10), (2_100, 20)):
        use(tmp_path, quantity, read)
        status, _, err = tally("rate", *MONTH)
        assert status == 0
        assert "1 interim statements written, since usage reached an agreed amount" in err
    return tally


def test_rating_again_writes_none(billed: Tally) -> None:
    billed("rate", *MONTH, "--all")  # the other organisation's was not rated again when more of the log was read
    status, out, err = billed("rate", *MONTH, "--all", "--json")
    kept = json.loads(out)["kept"]
    assert (status, kept["interims"], kept["written"], kept["unchanged"]) == (0, 0, 0, 2)
    assert "interim" not in err


def test_they_are_listed_with_their_numbers_before_the_statement(billed: Tally) -> None:
    rows = json.loads(billed("statement", "list", *MONTH, "--json")[1])["rows"]
    assert [(row["org_id"], row["interim"], row["total"], row["state"]) for row in rows] == [
        (1, 1, "55.00", "interim"),
        (1, 2, "50.00", "interim"),
        (1, None, "5.00", "provisional"),
        (2, None, "5.15", "provisional"),
    ]
    table = billed("statement", "list", *MONTH, "--org", "1")[1].splitlines()
    assert [line.split()[4] for line in table[2:]] == ["1", "2", "4"]  # number, number, lines of the statement


def test_one_is_shown_as_it_was_said(billed: Tally) -> None:
    status, told, err = billed("statement", "show", *ONE, "--interim", "2")
    assert (status, err) == (0, "")
    assert told.startswith("Interim statement 2 for organisation 1, 2026-11\n")
    assert "2,100 × 0.1 = 210" in told
    assert "interim statement 1: -55" in told
    assert "Billed before the end of 2026-11, of the usage known then; the period's own statement takes it off." in told
    assert "Reached         100.00 USD" in told
    assert "Provisional" not in told


def test_json_and_the_page_say_the_same(billed: Tally) -> None:
    [found] = json.loads(billed("statement", "show", *ONE, "--interim", "1", "--json")[1])
    assert (found["interim"], found["threshold"], found["total"]) == (1, "50.00", "55.00")
    assert sum(Decimal(line["amount"]) for line in found["lines"]) == Decimal(found["total"])
    assert "provisional" not in found
    assert billed("statement", "show", *ONE, "--interim", "1", "--html", "one.html")[0] == 0
    read = Read(Path("one.html").read_text(encoding="utf-8"))
    assert not read.wrong
    assert Decimal(read.cells[-1]) == Decimal(found["total"])


def test_the_statement_of_the_period_takes_them_off_by_name(billed: Tally) -> None:
    told = billed("statement", "show", *ONE)[1]
    assert "interim statement 1: -55; interim statement 2: -50; together -105" in told
    [found] = json.loads(billed("statement", "show", *ONE, "--json")[1])
    assert (found["total"], "interim" in found) == ("5.00", False)


@pytest.mark.parametrize(
    ("org", "number", "part"),
    [("1", "3", "organisation 1 has no interim statement 3 of a period that begins in 2026-11: it has 1, 2"),
     ("2", "1", "it has none")],
)  # fmt: skip
def test_one_that_is_not_there_is_told(billed: Tally, org: str, number: str, part: str) -> None:
    status, _, err = billed("statement", "show", *MONTH, "--org", org, "--interim", number)
    assert (status, part in err) == (1, True), err


def test_what_prices_check_says_of_thresholds(billed: Tally) -> None:
    assert "threshold" not in "".join(billed("prices", "check", "book.yaml", "contracts.yaml")[1:])
