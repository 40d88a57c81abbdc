"""`tally simulate`: real usage in an embedded store, under the book as it is and another."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.account import NEW as FRESH
from rater.files import load_book, load_contracts
from rater.rate import rate
from schemas.money import exact
from schemas.usage import Flush
from sinks.store import Store, open_store
from tally.cli import run
from tally.paired_work import Pair, pairs_of
from tally.rated import Prices, Rated, rate_work
from tally.simulation import Compared, Findings, side_of
from tally.usage_reading import MINUTE
from tally.work import Work
from tests.rater.books import NOVEMBER, book, contracts, used
from tests.store.samples import NOON, R, progress, usage

OLD = """
book: book
revision: 1
plans:
  plan:
    currency: USD
    versions:
      - from: 2020-01-01
        charges:
          fee: {price: {model: flat, amount: 10}}
          errors: {category: error, included: 100, price: {model: per_unit, unit_amount: 0.01}}
          spans: {category: span, price: {model: per_unit, unit_amount: 0.02}}
        free: [replay]
"""
NEW = (
    OLD.replace("revision: 1", "revision: 2")
    .replace("amount: 10}", "amount: 8}")
    .replace("unit_amount: 0.01}", "unit_amount: 0.03}")
    .replace("        free: [replay]\n", "")
)
CONTRACTS = """
contracts:
  - {org_id: "*", id: everyone, plan: plan, currency: USD, from: 2020-01-01}
  - {org_id: 5, id: own, plan: plan, currency: USD, from: 2020-01-01}
"""
TRIED = CONTRACTS + "  - {org_id: 2, id: two, plan: plan, currency: USD, from: 2020-01-01, included: {errors: 1000}}\n"
USAGE = [R(1, quantity=1_100), R(2, quantity=300), R(3, "span", quantity=50), R(4, "replay", quantity=7)]
Tally = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulate")
    for name, text in {"old": OLD, "new": NEW, "contracts": CONTRACTS, "tried": TRIED}.items():
        (made / f"{name}.yaml").write_text(text, encoding="utf-8")
    with open_store(f"chdb:{made / 'store'}") as store:
        store.migrate()
        found = progress(next_offset=100, log_end=100, log_end_seen_at=NOON, finite=True)
        store.write([Flush(found, "tally", usage(USAGE), ())])
    return made


@pytest.fixture
def tally(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tally:
    """The command line, in the folder, with the old book and contracts as settings."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TALLY_STORE", f"chdb:{folder / 'store'}")
    monkeypatch.setenv("TALLY_BOOK", "old.yaml")
    monkeypatch.setenv("TALLY_CONTRACTS", "contracts.yaml")

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(["simulate", "--period", "2026-11", *arguments])
        return (status, *capfd.readouterr())

    return call


def test_who_pays_more_and_who_less_by_organisation_by_charge_and_in_all(tally: Tally) -> None:
    status, out, err = tally("--book", "new.yaml", "--json")
    found = json.loads(out)
    rows = {row["org_id"]: row for row in found["rows"]}
    assert {org: (row["state"], row["difference"]) for org, row in rows.items()} == {
        1: ("more", "18.00"),  # fee -2, 1,000 × 0.02
        2: ("more", "2.00"),  # fee -2, 200 × 0.02
        3: ("less", "-2.00"),
        4: ("failed", None),  # replay is neither priced nor free any more
        5: ("less", "-2.00"),  # a fee is owed without any usage
    }
    assert rows[1]["before"] == {"contract": "everyone", "total": "20.00", "currency": "USD"}
    assert rows[1]["charges"]["errors"] == {"before": "10.00", "after": "30.00"}
    assert rows[4]["after"]["total"] is None
    assert found["totals"] == {"USD": {"before": "53.00", "after": "69.00", "difference": "16.00"}}
    assert {one["charge"]: one["difference"] for one in found["charges"]} == {
        "errors": "24.00", "fee": "-8.00", "spans": "0.00",
    }  # fmt: skip
    assert {state: count for state, count in found["statements"].items() if count} == {
        "more": 2,
        "less": 2,
        "failed": 1,
    }
    assert found["failures"] == {"no_price": 1}
    assert found["usage_changed_meanwhile"] == 0
    assert status == 1
    assert "tally: after: organisation 4, period 2026-11, category replay: 7 were used" in err
    assert "1 failures (1 no_price); the statements that they are of are in no total" in err


def test_tables_have_the_largest_differences_and_every_sum(tally: Tally) -> None:
    status, out, _ = tally("--book", "new.yaml", "--top", "1")
    rows = [line.split() for line in out.splitlines()]
    assert status == 1
    assert ["1", "2026-11", "everyone", "20.00", "38.00", "+18.00", "errors", "+20.00"] in rows
    assert not any(row[:2] == ["2", "2026-11"] for row in rows), "one was asked for"
    assert ["USD", "errors", "12.00", "36.00", "+24.00"] in rows
    assert ["USD", "fee", "40.00", "32.00", "-8.00"] in rows
    assert ["USD", "53.00", "69.00", "+16.00"] in rows
    assert "2 pay more" in out
    assert "1 cannot be compared: what they owe cannot be said" in out


def test_other_contracts_alone_can_be_tried(tally: Tally) -> None:
    status, out, _ = tally("--contracts", "tried.yaml", "--json")
    found = {row["org_id"]: row for row in json.loads(out)["rows"]}
    assert status == 0
    assert {org for org, row in found.items() if row["state"] != "same"} == {2}
    assert found[2]["difference"] == "-2.00"
    assert (found[2]["before"]["contract"], found[2]["after"]["contract"]) == ("everyone", "two")


def test_nothing_is_kept_and_the_same_book_changes_nothing(tally: Tally, folder: Path) -> None:
    status, out, _ = tally("--book", "old.yaml", "--org", "1", "--json")
    found = json.loads(out)
    assert status == 0
    assert [row["state"] for row in found["rows"]] == ["same"]
    with open_store(f"chdb:{folder / 'store'}") as store:
        assert store.query("SELECT count() FROM statements") == [(0,)]


def test_another_billing_period_is_new_beside_the_one_that_is_gone(tally: Tally) -> None:
    weekly = CONTRACTS.replace("id: own,", "id: own, billing: {interval: week},")
    Path("weekly.yaml").write_text(weekly, encoding="utf-8")
    _, out, _ = tally("--contracts", "weekly.yaml", "--org", "5", "--json")
    found = json.loads(out)
    assert next((row["period"], row["state"]) for row in found["rows"]) == ("2026-11", "gone")
    assert found["statements"]["new"] == 5
    assert found["totals"]["USD"]["before"] == "10.00"


def test_what_is_missing_is_said(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing to try" in tally()[2]
    monkeypatch.delenv("TALLY_BOOK")
    status, _, err = tally("--book", "new.yaml")
    assert (status, "no book to compare with: name the file with --against FILE, TALLY_BOOK" in err) == (2, True)
    assert tally("--book", "new.yaml", "--against", "old.yaml", "--org", "3")[0] == 0
    assert "cannot be read" in tally("--book", "none.yaml", "--against", "old.yaml")[2]


def test_processes_come_to_the_same_answer(tally: Tally) -> None:
    for arguments in (("--json",), ("--top", "2"), ("--contracts", "tried.yaml", "--json")):
        alone = tally("--book", "new.yaml", *arguments)
        assert tally("--book", "new.yaml", *arguments, "--processes", "2") == alone
        assert alone[0] == 1


def test_usage_is_read_once_and_both_sides_are_made_of_it(folder: Path) -> None:
    old, new = (
        Prices(load_book(folder / f"{name}.yaml"), load_contracts(folder / "tried.yaml")) for name in ("old", "new")
    )
    with open_store(f"chdb:{folder / 'store'}") as store:
        asked: list[str] = []
        stream = store.stream
        store.stream = lambda sql, *rest: asked.append(sql) or stream(sql, *rest)  # type: ignore[method-assign,func-returns-value]
        pairs = list(pairs_of(store, old, new, NOVEMBER, None, MINUTE))
    assert len(asked) == 1
    assert [pair.org_id for pair in pairs] == [1, 2, 3, 4, 5]
    for pair in pairs:
        assert pair.before is not None
        assert pair.after is not None
        assert pair.before.usage is pair.after.usage is pair.usage


POOL = """
      - from: 2020-01-01
        charges:
          errors: {category: error, price: {model: per_unit, unit_amount: 0.01}}
          spans: {category: span, price: {model: per_unit, unit_amount: 0.01}}
        budget: {amount: 5}
        free: [replay]
"""


def test_what_totals_do_not_settle_is_rated_by_window_on_both_sides(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of usage past a budget that several charges share, only windows say whose came first.
    with open_store(f"chdb:{tmp_path / 'store'}") as store:
        store.migrate()
        rows = [R(1, quantity=400), R(1, "span", quantity=300), R(2, quantity=1)]
        found = progress(next_offset=100, log_end=100, log_end_seen_at=NOON, finite=True)
        store.write([Flush(found, "tally", usage(rows), ())])
    head = OLD[: OLD.index("      - from")].replace("revision: 1", "revision: 3")
    (tmp_path / "pool.yaml").write_text(head + POOL, encoding="utf-8")
    arguments = ("--store", f"chdb:{tmp_path / 'store'}", "--book", str(tmp_path / "pool.yaml"), "--json")
    again: list[int] = []
    read = Pair.by_window

    def counting(pair: Pair, store: Store, window: dt.timedelta) -> Pair:
        again.append(pair.org_id)
        return read(pair, store, window)

    monkeypatch.setattr(Pair, "by_window", counting)
    status, out, _ = tally(*arguments)
    assert again == [1]
    rows_by_org = {row["org_id"]: row for row in json.loads(out)["rows"]}
    assert status == 0
    assert rows_by_org[1]["after"]["total"] == "5.00"
    assert rows_by_org[1]["before"]["total"] == "19.00"  # 10 + 300 × 0.01 past what is included + 300 × 0.02
    assert tally(*arguments, "--processes", "2") == (status, out, "")


def rated(prices: Prices, org: int, quantity: int | None) -> Rated | None:
    return None if quantity is None else rate_work(Work(used(org, error=quantity), NOVEMBER, FRESH), prices)


ORGS = st.dictionaries(st.integers(1, 30), st.integers(0, 10**6))


@given(ORGS, ORGS, st.integers(1, 7))
def test_every_statement_is_counted_and_sums_are_those_of_the_statements(
    before: dict[int, int], after: dict[int, int], parts: int
) -> None:
    packs = {"model": "package", "package_size": 1000, "package_amount": "9"}
    agreed = contracts()
    old = Prices(
        book({"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.0123"}}}), agreed
    )
    new = Prices(book({"errors": {"category": "error", "price": packs}}), agreed)
    pairs = [
        Compared(org, NOVEMBER, side_of(rated(old, org, before.get(org))), side_of(rated(new, org, after.get(org))))
        for org in sorted({*before, *after})
    ]
    whole, joined = Findings(top=3), Findings(top=3)
    for one in pairs:
        whole.add(one)
    for place in range(parts):
        part = Findings(top=3)
        for one in pairs[place::parts]:
            part.add(one)
        joined.join(part)
    assert sum(whole.states.values()) == len(pairs)
    assert (joined.states, joined.totals, joined.charges) == (whole.states, whole.totals, whole.charges)
    assert joined.largest("USD") == whole.largest("USD")
    for prices, orgs, name in ((old, before, "before"), (new, after, "after")):
        due = [
            rate(prices.book, agreed, used(org, error=quantity), NOVEMBER).statement for org, quantity in orgs.items()
        ]
        with exact():
            total = sum((one.total for one in due if one is not None), Decimal(0))
        assert getattr(whole.totals["USD"], name) == total if pairs else not whole.totals
    differences = [abs(one.difference) for one in pairs if one.difference]
    largest = [abs(one.difference) for one in whole.largest("USD") if one.difference]
    assert largest == sorted(differences, reverse=True)[:3]
