"""What contracts ask of the store: accounts from month to month, billing periods, parts of usage, several processes."""

import datetime as dt
import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.errors import StoreError
from schemas.usage import Flush
from sinks.store import Store, open_store
from tally.accounts import from_json, read_accounts, to_json
from tally.cli import run
from tally.reconcile.asking import Asked, Asking
from tally.reconcile.money_laws import money_laws
from tests.store.samples import NOON, SECOND, R, progress, usage

Tally = Callable[..., tuple[int, str, str]]


def at(text: str) -> int:
    """Return an instant in microseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * SECOND


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tally:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_STORE", f"chdb:{tmp_path / 'store'}")
    monkeypatch.setenv("TALLY_BOOK", "book.yaml")
    monkeypatch.setenv("TALLY_CONTRACTS", "contracts.yaml")

    def call(*arguments: str) -> tuple[int, str, str]:
        status = run(arguments)
        return (status, *capfd.readouterr())

    return call


def price(charges: dict[str, Any], *more: dict[str, Any], **plan: Any) -> None:
    versions = [{"from": "2020-01-01", "charges": charges, **plan}, *more]
    for before, after in itertools.pairwise(versions):
        before["until"] = after["from"]
    book = {"book": "book", "revision": 1, "plans": {"p": {"currency": "USD", "versions": versions}}}
    Path("book.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(book))), encoding="utf-8")


def agree(*contracts: dict[str, Any]) -> None:
    plain = {"plan": "p", "currency": "USD", "from": "2020-01-01"}
    listed = [{"id": f"c{one['org_id']}" if one["org_id"] != "*" else "all", **plain, **one} for one in contracts]
    Path("contracts.yaml").write_text(yaml.safe_dump({"contracts": listed}), encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path) -> Callable[[list[R]], None]:
    def fill(rows: list[R]) -> None:
        with open_store(f"chdb:{tmp_path / 'store'}") as opened:
            opened.migrate()
            found = progress(next_offset=100, log_end=100, log_end_seen_at=NOON, finite=True)
            opened.write([Flush(found, "tally", usage(rows), ())])

    return fill


def rows_of(tmp_path: Path, sql: str) -> list[Any]:
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        return opened.query(sql)


ERRORS = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 1}}}
GRANT = {"id": "gift", "amount": 100, "from": "2026-10-01", "source": "promotional"}
Fill = Callable[[list[R]], None]


def test_a_grant_is_burned_once_over_two_months(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=70, start=at("2026-10-05T00:00:00")), R(1, quantity=80, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1, "from": "2026-10-01", "grants": [GRANT]})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 1
    assert "rate it first, with --period 2026-10 (needs_account)" in err
    assert tally("rate", "--period", "2026-10")[0] == 0
    assert tally("rate", "--period", "2026-11")[0] == 0
    totals = "SELECT period_start, total FROM statements FINAL ORDER BY period_start"
    assert [total for _, total in rows_of(tmp_path, totals)] == [Decimal(0), Decimal(50)]
    assert tally("rate", "--period", "2026-11", "--all")[0] == 0
    assert [total for _, total in rows_of(tmp_path, totals)] == [Decimal(0), Decimal(50)]
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        november = read_accounts(opened, dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
        assert november[1, "c1"].balances[0].left == Decimal(30)
        december = read_accounts(opened, dt.datetime(2026, 12, 1, tzinfo=dt.UTC), [1])
        assert december[1, "c1"].balances[0].left == 0
        assert from_json(to_json(december[1, "c1"])) == december[1, "c1"]


@pytest.mark.parametrize("crashed", ["", "write_rows", "write_accounts", "write_failures"])
def test_that_a_later_month_was_rated_from_another_account_is_said_after_a_crash_too(
    tmp_path: Path, tally: Tally, store: Fill, monkeypatch: pytest.MonkeyPatch, crashed: str
) -> None:
    def gone(*_: object) -> None:
        raise StoreError("the store has gone")

    october = at("2026-10-05T00:00:00")
    store([R(1, quantity=30, start=october), R(1, quantity=80, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1, "from": "2026-10-01", "grants": [GRANT]})
    for month in ("2026-10", "2026-11"):
        assert tally("rate", "--period", month)[0] == 0
    store([R(1, quantity=60, last=15, start=october)])
    told = ""
    if crashed:
        with monkeypatch.context() as patched:
            patched.setattr(f"tally.statement_store.{crashed}", gone)
            status, _, told = tally("rate", "--period", "2026-10")
            assert status != 0
            assert "the store has gone" in told
    told += tally("rate", "--period", "2026-10")[2]
    assert "rate the months after it again, in order" in told
    assert tally("rate", "--period", "2026-11")[0] == 0
    totals = rows_of(tmp_path, "SELECT total FROM statements FINAL ORDER BY period_start")
    assert [total for (total,) in totals] == [Decimal(0), Decimal(40)]


def test_billing_periods_are_the_contracts_own(tmp_path: Path, tally: Tally, store: Fill) -> None:
    days = ("2026-11-14T23:59:00", "2026-11-15T00:00:00", "2026-12-14T23:59:00", "2026-12-15T00:00:00")
    store([R(1, quantity=10**place, start=at(day)) for place, day in enumerate(days)])
    store([R(2, quantity=7, start=at("2026-11-30T23:30:00")), R(2, quantity=1, start=at("2026-11-01T03:00:00"))])
    price(ERRORS)
    agree(
        {"org_id": 1, "billing": {"anchor_day": 15}},
        {"org_id": 2, "billing": {"zone": "America/New_York"}},
        {"org_id": "*"},
    )
    status, out, err = tally("rate", "--period", "2026-11")
    assert (status, err) == (0, "2 statements written, 0 were there already\n"), out
    found = rows_of(tmp_path, "SELECT org_id, period_start, total FROM statements FINAL ORDER BY org_id")
    assert [(org, total) for org, _, total in found] == [(1, Decimal(110)), (2, Decimal(7))]
    assert [start.isoformat() for _, start, _ in found] == ["2026-11-15T00:00:00+00:00", "2026-11-01T04:00:00+00:00"]


def test_a_price_that_changes_inside_the_month_splits_usage_there(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=10, start=at("2026-11-09T23:59:00")), R(1, quantity=5, start=at("2026-11-10T00:00:00"))])
    dearer = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 3}}}
    price(ERRORS, {"from": "2026-11-10", "charges": dearer})
    agree({"org_id": "*"})
    assert tally("rate", "--period", "2026-11")[0] == 0
    assert rows_of(tmp_path, "SELECT total FROM statements FINAL") == [(Decimal(25),)]


def test_a_budget_asks_for_windows_only_where_totals_do_not_settle_it(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    store([R(1, window=n, quantity=10) for n in range(5)])
    store([R(2, quantity=3)])
    price(ERRORS, budget={"amount": 25})
    agree({"org_id": "*"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    assert rows_of(tmp_path, "SELECT org_id, total FROM statements FINAL ORDER BY org_id") == [
        (1, Decimal(25)),
        (2, Decimal(3)),
    ]
    (detail,) = rows_of(tmp_path, "SELECT detail FROM charges WHERE org_id = 1")
    assert json.loads(detail[0])["refused"] == "25"


def test_a_budget_is_spent_through_a_price_that_changes(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=10, start=at("2026-11-09T23:59:00")), R(1, quantity=6, start=at("2026-11-10T00:00:00"))])
    dearer = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 3}}}
    price(ERRORS, {"from": "2026-11-10", "charges": dearer, "budget": {"amount": 20}}, budget={"amount": 20})
    agree({"org_id": "*"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    assert rows_of(tmp_path, "SELECT total FROM statements FINAL") == [(Decimal(19),)]  # 10 at 1, 3 of 6 at 3
    details = [json.loads(detail) for (detail,) in rows_of(tmp_path, "SELECT detail FROM charges ORDER BY quantity")]
    assert [detail.get("refused", "0") for detail in details] == ["3", "0"]


def test_usage_outside_every_contract_fails_by_name_and_none_is_no_failure(tally: Tally, store: Fill) -> None:
    store([R(1, quantity=3, start=at("2026-11-20T00:00:00")), R(2, quantity=3, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1, "until": "2026-11-15"}, {"org_id": 2, "until": "2026-11-15"})
    status, out, err = tally("rate", "--period", "2026-11")
    assert status == 1
    assert "organisation 1, period 2026-11-15 to 2026-11-30: contract c1" in err
    assert "organisation 2" not in err
    assert "contract_not_in_force" in out


def test_hours_are_read_where_a_price_asks_for_them(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, window=n * 30, quantity=10) for n in range(4)])
    hourly = {"errors": {**ERRORS["errors"], "each": "hour", "commitment": {"quantity": 25, "true_up": True}}}
    price(hourly)
    agree({"org_id": "*"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    assert rows_of(tmp_path, "SELECT total FROM statements FINAL") == [(Decimal(50),)]


def test_what_has_not_changed_is_not_rated_again(tally: Tally, store: Fill) -> None:
    store([R(org, quantity=org) for org in (1, 2, 3)])
    price(ERRORS)
    agree({"org_id": "*"})
    assert tally("rate", "--period", "2026-11")[2] == "3 statements written, 0 were there already\n"
    status, out, err = tally("rate", "--period", "2026-11")
    assert (status, err) == (0, "0 statements written, 3 were there already\n")
    assert "nothing has changed in 2026-11 since it was rated: --all rates it again" in out
    store([R(2, quantity=50, window=3)])
    status, out, err = tally("rate", "--period", "2026-11")
    assert err == "1 statements written, 2 were there already\n"
    assert "52.00" in out
    again = tally("rate", "--period", "2026-11", "--all")
    assert again[2] == "0 statements written, 3 were there already\n"
    assert "total 56.00 USD" in again[1]


def test_several_processes_write_the_same_statements(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(org, quantity=org * 7) for org in range(1, 700)])
    store([R(9, "unheard_of", quantity=1)])
    price(ERRORS)
    agree({"org_id": "*"}, {"org_id": 5, "from": "2026-11-01", "grants": [{**GRANT, "from": "2026-11-01"}]})
    columns = "org_id, contract, total, snapshot_id, version, `lines.detail`"
    status, out, err = tally("rate", "--period", "2026-11", "--processes", "2")
    assert status == 1
    assert "698 statements written" in err
    assert "organisation 9, period 2026-11, category unheard_of" in err
    several = rows_of(tmp_path, f"SELECT {columns} FROM statements FINAL ORDER BY org_id")
    accounts = rows_of(tmp_path, "SELECT * FROM accounts FINAL")
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        clear(opened)
    assert tally("rate", "--period", "2026-11")[1] == out
    assert rows_of(tmp_path, f"SELECT {columns} FROM statements FINAL ORDER BY org_id") == several
    assert rows_of(tmp_path, "SELECT * FROM accounts FINAL") == accounts


def clear(store: Store) -> None:
    for table in ("statements", "accounts"):
        store.command(f"TRUNCATE TABLE {table}")


def test_statements_of_every_kind_hold_in_the_laws_of_money(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=10, start=at("2026-11-09T23:59:00")), R(1, quantity=5, start=at("2026-11-10T00:00:00"))])
    store([R(2, "span", window=n * 30, quantity=1001) for n in range(4)])
    third = {"model": "per_unit", "unit_amount": 0.0033}
    spans = {"category": "span", "each": "hour", "price": third, "commitment": {"amount": 7.005, "true_up": True}}
    fee = {"base": {"price": {"model": "flat", "amount": 10}}}
    dearer = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 3}}, "spans": spans, **fee}
    adjusted = {"adjustments": [{"kind": "discount_percent", "percent": 33.3}, {"kind": "minimum", "amount": 5}]}
    price({**ERRORS, "spans": spans, **fee}, {"from": "2026-11-10", "charges": dearer, **adjusted}, **adjusted)
    agree({"org_id": 1, "from": "2026-11-07"}, {"org_id": "*"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        laws = money_laws(Asking(opened, Asked(), NOON))
        for law in laws:
            assert law.findings == [], law.findings
            assert law.places or law.law == "interims"
        kinds = {json.loads(text).get("kind", "charge") for (text,) in opened.query("SELECT detail FROM charges")}
        assert {"charge", "discount", "true_up"} <= kinds
