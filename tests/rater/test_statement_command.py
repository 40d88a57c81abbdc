"""`tally statement`: what `tally rate` has kept in a real embedded store, shown again."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.period import Period, midnight
from schemas.usage import Flush
from sinks.store import open_store
from tally.cli import run
from tally.stored_statements import _days, _first_day
from tests.rater.pages import Read
from tests.store.samples import NOON, R, progress, usage

BOOK = """
book: book
revision: 3
plans:
  plan:
    currency: USD
    versions:
      - from: 2020-01-01
        charges:
          base: {name: "Fee <b>of</b> the & month", price: {model: flat, amount: 10}}
          errors: {name: Errors, category: error, included: 100, price: {model: per_unit, unit_amount: 0.001}}
        adjustments: [{kind: discount_percent, percent: 10}]
  yen:
    currency: JPY
    versions:
      - from: 2020-01-01
        charges: {errors: {name: Errors, category: error, price: {model: per_unit, unit_amount: 1.4}}}
"""
CONTRACTS = """
contracts:
  - {org_id: "*", id: everyone, plan: plan, currency: USD, from: 2020-01-01}
  - {org_id: 2, id: weekly, plan: plan, currency: USD, from: 2020-01-01, billing: {interval: week}}
  - {org_id: 3, id: yen, plan: yen, currency: JPY, from: 2020-01-01, billing: {zone: Asia/Tokyo}}
  - {org_id: 4, id: kiwi, plan: plan, currency: USD, from: 2020-01-01, billing: {zone: Pacific/Auckland}}
  - {org_id: 5, id: isle, plan: plan, currency: USD, from: 2020-01-01, billing: {zone: Pacific/Honolulu}}
  - {org_id: 6, id: kea, plan: plan, currency: USD, from: 2020-01-15, billing: {zone: Pacific/Auckland, anchor_day: 15}}
"""
Tally = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, whose usage of November is rated."""
    made = tmp_path_factory.mktemp("statements")
    (made / "prices.yaml").write_text(BOOK, encoding="utf-8")
    (made / "contracts.yaml").write_text(CONTRACTS, encoding="utf-8")
    with open_store(f"chdb:{made / 'store'}") as store:
        store.migrate()
        rows = [R(org, quantity=1_105 * org) for org in (1, 2, 3, 4, 5, 6)]
        found = progress(next_offset=100, log_end=100, log_end_seen_at=NOON)
        store.write([Flush(found, "tally", usage(rows), ())])
    files = ["--book", str(made / "prices.yaml"), "--contracts", str(made / "contracts.yaml")]
    assert run(["rate", "--period", "2026-11", *files, "--store", f"chdb:{made / 'store'}"]) == 0
    return made


@pytest.fixture
def tally(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tally:
    """The command line in an empty folder, with the store and its files as settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_STORE", f"chdb:{folder / 'store'}")
    monkeypatch.setenv("TALLY_BOOK", str(folder / "prices.yaml"))
    monkeypatch.setenv("TALLY_CONTRACTS", str(folder / "contracts.yaml"))

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        return (status, *capfd.readouterr())

    return call


def shown(told: str) -> list[str]:
    """The rows of lines, without what was rated when and by what."""
    return told[: told.index("\nPrice book")].splitlines()


def test_what_was_kept_is_shown_as_it_was_rated(tally: Tally) -> None:
    arguments = ("--period", "2026-11", "--org", "1")
    _, rated, _ = tally("rate", *arguments)
    status, told, err = tally("statement", "show", *arguments)
    assert (status, err) == (0, "")
    assert shown(rated) == shown(told)
    assert "100 included; 1,005 × 0.001 = 1.005; rounded to 1.01" in told
    assert "Provisional: usage is complete to 2026-11-22T12:00:00Z only" in told
    assert "Discount" in told


def test_json_has_the_whole_statement(tally: Tally) -> None:
    status, told, _ = tally("statement", "show", "--period", "2026-11", "--org", "1", "--json")
    [found] = json.loads(told)
    assert status == 0
    assert (found["org_id"], found["period"], found["currency"], found["book_revision"]) == (1, "2026-11", "USD", 3)
    assert sum(Decimal(line["amount"]) for line in found["lines"]) == Decimal(found["total"]) == Decimal("9.91")
    assert (found["provisional"], found["complete_to"]) == (True, "2026-11-22T12:00:00Z")
    assert found["lines"][1]["explanation"] == "100 included; 1,005 × 0.001 = 1.005"
    assert found["progress"] == {"events": {"0": 100}}


def test_the_page_says_what_json_says_and_escapes_it(tally: Tally) -> None:
    arguments = ("--period", "2026-11", "--org", "1")
    [found] = json.loads(tally("statement", "show", *arguments, "--json")[1])
    status, out, err = tally("statement", "show", *arguments, "--html", "statement.html")
    assert (status, out, err) == (0, "", "wrote statement.html: 1 statement\n")
    read = Read(Path("statement.html").read_text(encoding="utf-8"))
    assert not read.wrong
    assert "b" not in read.tags
    assert read.cells[2].startswith("Fee <b>of</b> the & month")
    assert [Decimal(cell) for cell in read.cells[3:-2:2]] == [Decimal(line["amount"]) for line in found["lines"]]
    assert Decimal(read.cells[-1]) == Decimal(found["total"])


def test_several_statements_of_a_month_are_all_shown(tally: Tally) -> None:
    listed = json.loads(tally("statement", "list", "--period", "2026-11", "--org", "2", "--json")[1])["rows"]
    assert [row["period_start"][8:10] for row in listed] == ["02", "09", "16", "23", "30"]  # Mondays
    told = tally("statement", "show", "--period", "2026-11", "--org", "2")[1]
    assert told.count("Statement for organisation 2") == 5
    assert "Statement for organisation 2, 2026-11-16 to 2026-11-22\n" in told
    assert tally("statement", "show", "--period", "2026-11", "--org", "2", "--html", "all.html")[2].endswith(
        "5 statements\n"
    )
    assert Path("all.html").read_text(encoding="utf-8").count("<article>") == 5


def test_a_list_has_every_statement_of_the_month(tally: Tally) -> None:
    status, told, _ = tally("statement", "list", "--period", "2026-11")
    rows = [row.split() for row in told.splitlines()[2:]]
    assert status == 0
    assert [row[0] for row in rows] == ["1", "2", "2", "2", "2", "2", "3", "4", "5", "6"]
    assert [row[7] for row in rows if row[0] == "2"] == ["complete"] * 2 + ["provisional"] * 3  # complete to the 22nd
    assert {row[7] for row in rows if row[0] != "2"} == {"provisional"}
    yen = next(row for row in rows if row[0] == "3")
    assert yen[1:7] == ["yen", "2026-10-31T15:00:00Z", "2026-11-30T15:00:00Z", "1", "4,641", "JPY"]
    machines = json.loads(tally("statement", "list", "--period", "2026-11", "--org", "3", "--json")[1])["rows"]
    assert [row["total"] for row in machines] == ["4641"]
    assert tally("statement", "list", "--period", "2026-10")[1].startswith("no statement is kept of a period")


@pytest.mark.parametrize(("org", "start"), [("4", "2026-10-31T11:00:00Z"), ("5", "2026-11-01T10:00:00Z")])
def test_both_sides_of_the_date_line_are_of_their_own_month(tally: Tally, org: str, start: str) -> None:
    told = tally("statement", "show", "--period", "2026-11", "--org", org)[1]
    assert told.startswith(f"Statement for organisation {org}, 2026-11\n{start} to ")


def test_a_period_is_called_as_it_was_when_it_was_rated(tally: Tally) -> None:
    """Eleven in the morning may be midnight east of the date line, or west of it: its bounds alone do not tell."""
    told = tally("statement", "show", "--period", "2026-11", "--org", "6")[1]
    assert told.startswith("Statement for organisation 6, 2026-11-15 to 2026-12-14\n2026-11-14T11:00:00Z to ")


@pytest.mark.parametrize(
    ("name", "first"),
    [("2026", (2026, 1, 1)), ("2026-Q4", (2026, 10, 1)), ("2026-11", (2026, 11, 1)), ("2026-11-16", (2026, 11, 16)),
     ("2026-11-16 to 2026-11-22", (2026, 11, 16))],
)  # fmt: skip
def test_the_first_day_of_a_period_is_in_its_name(name: str, first: tuple[int, int, int]) -> None:
    assert _first_day(name) == dt.date(*first)


def test_what_a_person_can_act_on_is_told(tally: Tally, tmp_path: Path) -> None:
    for arguments, status, part in [
        (
            ["show", "--period", "2026-11", "--org", "77"],
            1,
            "organisation 77 has no statement of a period that begins in",
        ),
        (["show", "--period", "2026-11", "--org", "1", "--json", "--html", "a.html"], 2, "cannot both be given"),
        (
            ["show", "--period", "2026-11", "--org", "1", "--html", "none/a.html"],
            2,
            "--html none/a.html: cannot be written",
        ),
        (["show", "--period", "2026-13", "--org", "1"], 2, "write a month"),
        (["list", "--period", "2026-11", "--store", f"chdb:{tmp_path / 'elsewhere'}"], 2, "elsewhere"),
    ]:
        found, _, err = tally("statement", *arguments)
        assert (found, part in err) == (status, True), err


@pytest.mark.parametrize(
    "zone",
    ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "Pacific/Kiritimati", "Pacific/Honolulu",
     "Pacific/Chatham", "Pacific/Pago_Pago", "Australia/Lord_Howe", "America/St_Johns"],
)  # fmt: skip
def test_a_calendar_month_is_known_by_its_instants_in_any_zone(zone: str) -> None:
    for number in range(24):
        first = dt.date(2026 + number // 12, number % 12 + 1, 1)
        after = dt.date(2026 + (number + 1) // 12, (number + 1) % 12 + 1, 1)
        assert _days(midnight(first, zone), midnight(after, zone)) == (first, after)
        assert Period.days(first, after, zone).name == f"{first:%Y-%m}"
