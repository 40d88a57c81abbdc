"""Ratings of many runs: what is asked again, withdrawn, carried on, refused, in whatever order and number of runs."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.rater.test_store_terms import ERRORS, GRANT, Fill, Tally, agree, at, price, rows_of, store, tally
from tests.store.samples import R

__all__ = ["store", "tally"]

WEEKLY = {"org_id": 1, "from": "2026-11-02", "billing": {"interval": "week"}}


def totals(tmp_path: Path) -> list[tuple[int, str, str]]:
    sql = (
        "SELECT org_id, toString(period_start), total FROM statements FINAL "
        "WHERE notEmpty(`lines.line_no`) ORDER BY ALL"
    )
    found: list[Any] = rows_of(tmp_path, sql)
    return [(org, start[:10], f"{total:.2f}") for org, start, total in found]


def amounts(tmp_path: Path) -> list[str]:
    return [total for _, _, total in totals(tmp_path)]


def test_asking_again_by_window_keeps_groups_apart(tmp_path: Path, tally: Tally, store: Fill) -> None:
    eu, us = '{"region":"eu"}', '{"region":"us"}'
    store([R(1, window=n, quantity=10) for n in range(5)])
    store([R(1, "span", window=1, quantity=4, dimensions=eu), R(1, "span", window=2, quantity=3, dimensions=us)])
    rules = [{"match": {"region": "eu"}, "unit_amount": 2}]
    spans = {"category": "span", "price": {"model": "matrix", "dimensions": ["region"], "rules": rules, "default": 1}}
    price({**ERRORS, "spans": spans}, budget={"amount": 25, "charges": ["errors"]})
    agree({"org_id": "*"})
    assert tally("rate", "--period", "2026-11")[0] == 0
    assert totals(tmp_path) == [(1, "2026-11-01", "36.00")]


def test_days_are_the_customer_s(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=3, start=at("2026-11-10T03:00:00")), R(1, quantity=4, start=at("2026-11-10T23:00:00"))])
    price({"errors": {**ERRORS["errors"], "each": "day", "included": 3}})
    agree({"org_id": 1, "billing": {"zone": "America/New_York"}})
    assert tally("rate", "--period", "2026-11")[0] == 0
    assert amounts(tmp_path) == ["1.00"]


def test_a_refused_rating_leaves_accounts_as_they_were(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=70, start=at("2026-10-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1, "from": "2026-10-01", "grants": [GRANT]})
    assert tally("rate", "--period", "2026-10")[0] == 0
    before = rows_of(tmp_path, "SELECT * FROM accounts FINAL")
    price({"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": 2}}})
    assert tally("rate", "--period", "2026-10")[0] == 2
    assert rows_of(tmp_path, "SELECT * FROM accounts FINAL") == before


def test_the_weeks_of_a_month_hand_on_their_accounts_in_one_run(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=50, start=at(f"{day}T00:00:00")) for day in ("2026-11-03", "2026-11-10", "2026-11-17")])
    price(ERRORS)
    agree({**WEEKLY, "grants": [{**GRANT, "from": "2026-11-02"}]})
    for processes in ("1", "2"):
        status, _, err = tally("rate", "--period", "2026-11", "--processes", processes, "--all")
        assert status == 0, err
        assert amounts(tmp_path)[:3] == ["0.00", "0.00", "50.00"]
    store([R(1, quantity=20, window=1, start=at("2026-11-03T01:00:00"), segment=1)])
    assert tally("rate", "--period", "2026-11")[0] == 0
    assert amounts(tmp_path)[:3] == ["0.00", "20.00", "50.00"]


def test_a_later_month_rated_from_another_account_is_told(tally: Tally, store: Fill) -> None:
    store([R(1, quantity=70, start=at("2026-10-05T00:00:00")), R(1, quantity=80, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1, "from": "2026-10-01", "grants": [GRANT]})
    assert [tally("rate", "--period", month)[0] for month in ("2026-10", "2026-11")] == [0, 0]
    store([R(1, quantity=20, start=at("2026-10-06T00:00:00"), segment=1)])
    assert "1 organisations carry into later periods" in tally("rate", "--period", "2026-10")[2]
    assert "carry into" not in tally("rate", "--period", "2026-10", "--all")[2]


def test_a_period_that_no_longer_is_one_is_emptied(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=40, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": 1})
    assert tally("rate", "--period", "2026-11")[0] == 0
    agree({"org_id": 1, "until": "2026-11-20"})
    assert tally("rate", "--period", "2026-11")[0] == 0
    assert totals(tmp_path) == [(1, "2026-11-01", "40.00")]
    assert rows_of(tmp_path, "SELECT sum(amount) FROM charges") == [(Decimal(40),)]


def test_usage_while_everyone_s_contract_is_not_in_force_fails_by_name(tally: Tally, store: Fill) -> None:
    store([R(7, quantity=40, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": "*", "from": "2026-11-15"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 1
    assert "organisation 7, period 2026-11-01 to 2026-11-14" in err


def test_a_grant_that_is_added_later_finds_nothing_to_remember(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(1, quantity=70, start=at("2026-10-05T00:00:00")), R(1, quantity=80, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    one = {"org_id": 1, "from": "2026-09-01"}
    agree({**one, "until": "2026-11-01"}, {**one, "from": "2026-11-01", "grants": [{**GRANT, "from": "2026-11-01"}]})
    assert tally("rate", "--period", "2026-10")[0] == 0
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    assert totals(tmp_path) == [(1, "2026-10-01", "70.00"), (1, "2026-11-01", "0.00")]


def test_everyone_s_grant_goes_on_over_a_month_without_usage(tmp_path: Path, tally: Tally, store: Fill) -> None:
    store([R(7, quantity=70, start=at("2026-09-05T00:00:00")), R(7, quantity=80, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    agree({"org_id": "*", "from": "2026-08-01", "grants": [{**GRANT, "from": "2026-08-01"}]})
    assert "needs_account" in tally("rate", "--period", "2026-11")[2]
    assert tally("rate", "--period", "2026-09")[0] == 0
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 0, err
    assert totals(tmp_path) == [(7, "2026-09-01", "0.00"), (7, "2026-11-01", "50.00")]


def test_an_earlier_contract_of_the_month_that_changed_is_rated_again(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    store([R(1, quantity=10, start=at("2026-11-05T00:00:00")), R(1, quantity=10, start=at("2026-11-20T00:00:00"))])
    price(ERRORS)
    later = {"org_id": 1, "id": "b", "from": "2026-11-15"}
    for factor, total in ((1, "20.00"), (5, "60.00")):
        agree({"org_id": 1, "id": "a", "until": "2026-11-15", "overrides": [{"multiply": factor}]}, later)
        assert tally("rate", "--period", "2026-11")[0] == 0
        assert amounts(tmp_path) == [total]


def test_tiers_of_a_year_begin_anew_with_it(tmp_path: Path, tally: Tally, store: Fill) -> None:
    months = ("2025-12", "2026-10", "2026-11", "2026-12")
    store([R(1, quantity=10, start=at(f"{month}-05T00:00:00")) for month in months])
    tiers = [{"up_to": 15, "unit_amount": 1}, {"up_to": None, "unit_amount": 10}]
    price({"errors": {"category": "error", "cumulative": "year", "price": {"model": "graduated", "tiers": tiers}}})
    agree({"org_id": 1, "from": "2025-11-01"})
    for place in range(14):
        year, month = divmod(2025 * 12 + 10 + place, 12)
        status, _, err = tally("rate", "--period", f"{year}-{month + 1:02}")
        assert status == 0, err
    used = [(start, total) for _, start, total in totals(tmp_path)]
    assert used == [
        ("2025-12-01", "10.00"),
        ("2026-10-01", "55.00"),  # 5 more of the cheap units, 5 dear ones
        ("2026-11-01", "10.00"),  # the contract's second year
        ("2026-12-01", "55.00"),
    ]


def test_a_contract_with_grants_that_gives_way_inside_a_period_is_refused_by_name(tally: Tally, store: Fill) -> None:
    store([R(1, quantity=10, start=at("2026-11-05T00:00:00"))])
    price(ERRORS)
    granted = {"org_id": 1, "id": "a", "from": "2026-11-01", "until": "2026-11-15"}
    agree({**granted, "grants": [{**GRANT, "from": "2026-11-01"}]}, {"org_id": 1, "id": "b", "from": "2026-11-15"})
    status, _, err = tally("rate", "--period", "2026-11")
    assert status == 1
    assert "contract a, which has grants, ends inside the period and b follows" in err
