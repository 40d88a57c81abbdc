"""What could not be rated is said wherever a statement is read, and is gone once it is rated."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sinks.store import Store, open_store
from tally.rated import Prices
from tally.rating_failures import failed_row, read_failures, write_failures
from tally.rating_pass import Asked, begin_pass
from tests.rater.books import NOVEMBER, book, contract, contracts
from tests.rater.test_store_terms import ERRORS, GRANT, Fill, Tally, agree, at, price, rows_of, store, tally
from tests.store.samples import NOON, R

__all__ = ["store", "tally"]

SPANS = {"spans": {"category": "span", "price": {"model": "per_unit", "unit_amount": 2}}}
MONTH = ("--period", "2026-11")


def unrated(tmp_path: Path) -> list[Any]:
    return rows_of(tmp_path, "SELECT org_id, toString(period_start), reason, category FROM unrated ORDER BY ALL")


def priced(charges: dict[str, Any], revision: int) -> None:
    price(charges)
    text = Path("book.yaml").read_text(encoding="utf-8")
    Path("book.yaml").write_text(text.replace("revision: 1", f"revision: {revision}"), encoding="utf-8")


def listed(tally: Tally) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(tally("statement", "list", *MONTH, "--json")[1])["rows"]
    return rows


def test_a_statement_whose_later_rating_failed_says_so_until_it_is_rated(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    price(ERRORS)
    agree({"org_id": "*"})
    store([R(1, quantity=10), R(2, quantity=20)])
    assert tally("rate", *MONTH)[0] == 0
    assert unrated(tmp_path) == []
    assert [row["state"] for row in listed(tally)] == ["complete", "complete"]

    store([R(1, "span", quantity=3), R(3, "span", quantity=4)])
    status, _, err = tally("rate", *MONTH)
    assert status == 1
    assert "the view `unrated` has what failed until it is rated" in err
    failed = [(org, "2026-11-01 00:00:00", "no_price", "span") for org in (1, 3)]
    assert unrated(tmp_path) == failed
    # The statement of before is still there, as it was, and everything that shows it says what came after.
    totals = rows_of(tmp_path, "SELECT org_id, total FROM statements FINAL ORDER BY org_id")
    assert totals == [(1, Decimal(10)), (2, Decimal(20))]
    states = {row["org_id"]: (row["contract"], row["total"], row["state"]) for row in listed(tally)}
    assert states == {
        1: ("all", "10.00", "complete, and a later rating FAILED (no_price)"),
        2: ("all", "20.00", "complete"),
        3: ("", None, "NOT RATED (no_price)"),
    }
    table = tally("statement", "list", *MONTH)[1]
    assert "FAILED (no_price)" in table
    assert "NOT RATED (no_price)" in table
    told = tally("statement", "show", *MONTH, "--org", "1")[1]
    assert "A later rating failed, and this is what was said before: category span: 3 were used" in told
    [document] = json.loads(tally("statement", "show", *MONTH, "--org", "1", "--json")[1])
    assert [(one["reason"], one["category"]) for one in document["failures"]] == [("no_price", "span")]
    assert tally("statement", "show", *MONTH, "--org", "1", "--html", "page.html")[0] == 0
    assert '<p class="warning">A later rating failed' in Path("page.html").read_text(encoding="utf-8")
    status, _, err = tally("statement", "show", *MONTH, "--org", "3")
    assert status == 1
    assert "the last rating failed: category span: 4 were used" in err

    # Failing again changes nothing, not even since when.
    before = rows_of(tmp_path, "SELECT * FROM rating_failures ORDER BY ALL")
    assert tally("rate", *MONTH)[0] == 1
    assert rows_of(tmp_path, "SELECT * FROM rating_failures ORDER BY ALL") == before

    priced({**ERRORS, **SPANS}, 2)
    assert tally("rate", *MONTH)[0] == 0
    assert unrated(tmp_path) == []
    assert [(row["org_id"], row["total"], row["state"]) for row in listed(tally)] == [
        (1, "16.00", "complete"),
        (2, "20.00", "complete"),
        (3, "8.00", "complete"),
    ]
    assert "failed" not in tally("statement", "show", *MONTH, "--org", "1")[1]


def test_usage_that_goes_back_to_what_was_rated_heals_too(tmp_path: Path, tally: Tally, store: Fill) -> None:
    """The statement is of the very rows that are there again: it would be skipped, and the failure would stay."""
    price(ERRORS)
    agree({"org_id": "*"})
    store([R(1, quantity=10)])
    assert tally("rate", *MONTH)[0] == 0
    store([R(1, "span", quantity=3)])
    assert tally("rate", *MONTH)[0] == 1
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        opened.command("ALTER TABLE usage_windows DELETE WHERE category = 'span' SETTINGS mutations_sync = 2")
    assert tally("rate", *MONTH)[0] == 0
    assert unrated(tmp_path) == []


@pytest.mark.parametrize("own", [False, True])
def test_a_failure_of_usage_that_was_taken_back_whole_is_gone(
    tmp_path: Path, tally: Tally, store: Fill, own: bool
) -> None:
    """Those on everyone's contract are not rated any more then; one with a contract of its own fails as it did."""
    price(ERRORS)
    agree({"org_id": 1 if own else "*", **({"overrides": [{"charge": "nothing", "multiply": 2}]} if own else {})})
    store([R(1, "span", quantity=3)])
    assert tally("rate", *MONTH)[0] == 1
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        opened.command("TRUNCATE TABLE usage_windows")
    for month in ("2026-10", "2026-12"):
        tally("rate", "--period", month)
        assert not own or len(unrated(tmp_path)) >= 1
    assert tally("rate", *MONTH)[0] == own
    reasons = {row[2] for row in unrated(tmp_path) if row[1].startswith("2026-11")}
    assert reasons == ({"override_matches_nothing"} if own else set())


def meter_again(opened: Store, sql: str) -> None:
    """Put another generation in the place of the first one, with those of its rows that a condition picks."""
    candidate = 1 << 31
    ended = f'SELECT * REPLACE ({candidate} AS generation, \'{{"remeter":{{"last":1}}}}\' AS source) FROM progress'
    opened.command(f"INSERT INTO progress {ended}")
    opened.command(
        f"INSERT INTO usage_windows SELECT * REPLACE ({candidate} AS generation) FROM usage_windows WHERE {sql}"
    )
    role = f"if(generation = {candidate}, 'candidate', 'replaced')"
    opened.command(f"INSERT INTO remeter_parts SELECT 'r', topic, partition, generation, {role}, 1 FROM progress")
    opened.command("INSERT INTO remeter_decisions VALUES ('r', toUnixTimestamp64Micro(now64(6)), 'active', 'ada')")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("aged", [False, True])
@pytest.mark.parametrize("metered_again", [False, True])
def test_a_statement_whose_usage_was_taken_back_whole_is_emptied(
    tmp_path: Path, tally: Tally, store: Fill, metered_again: bool, aged: bool, own: bool
) -> None:
    """By metering again, and by nothing else: old usage may be deleted, and what was billed of it stays."""
    price({**ERRORS, "base": {"price": {"model": "flat", "amount": 5}}})
    agree({"org_id": 1 if own else "*"})
    store([R(1, quantity=10), R(2, quantity=7, start=at("2026-12-03T00:00:00"))])
    tally("rate", *MONTH)
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        if aged:
            opened.command("ALTER TABLE usage_windows DELETE WHERE org_id = 1 SETTINGS mutations_sync = 2")
        if metered_again:
            meter_again(opened, "org_id != 1")
    _, _, err = tally("rate", *MONTH)
    emptied = metered_again and not aged and not own
    total = rows_of(tmp_path, "SELECT total FROM statements FINAL WHERE org_id = 1")
    gone = metered_again or aged
    assert total == [(Decimal(0 if emptied else 5 if own and gone else 15),)]
    assert ("1 emptied" in err) == emptied
    assert "emptied" not in tally("rate", *MONTH)[2]


def test_a_statement_of_fees_stays_when_its_contract_has_left_the_file(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    """Whatever was metered again meanwhile: no usage of it was taken back."""
    price({**ERRORS, "base": {"price": {"model": "flat", "amount": 5}}})
    agree({"org_id": "*"}, {"org_id": 9})
    store([R(2, quantity=7)])
    tally("rate", *MONTH)
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        meter_again(opened, "org_id = 2")
    agree({"org_id": "*"})
    assert "emptied" not in tally("rate", *MONTH)[2]
    totals = rows_of(tmp_path, "SELECT org_id, total FROM statements FINAL ORDER BY org_id")
    assert totals == [(2, Decimal(12)), (9, Decimal(5))]


def test_what_an_emptied_statement_took_from_a_grant_is_given_back(tmp_path: Path, tally: Tally, store: Fill) -> None:
    price(ERRORS)
    agree({"org_id": "*", "from": "2026-10-01", "grants": [GRANT]})
    store([R(1, quantity=30, start=at("2026-10-05T00:00:00")), R(1, quantity=80)])
    october = ("--period", "2026-10")
    for month in (october, MONTH):
        assert tally("rate", *month)[0] == 0
    total = f"SELECT total FROM statements FINAL WHERE period_start = toDateTime({int(NOVEMBER.start.timestamp())})"
    assert rows_of(tmp_path, total) == [(Decimal(10),)]
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        meter_again(opened, "window_start >= '2026-11-01'")
    _, _, err = tally("rate", *october)
    assert "1 emptied" in err
    assert "rate the months after it again, in order" in err
    assert tally("rate", *MONTH)[0] == 0
    assert rows_of(tmp_path, total) == [(Decimal(0),)]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_period_that_is_not_asked_for_is_left_as_it_is(store: Fill, tmp_path: Path, wanted: bool) -> None:
    """A rater that stays comes by in January for a yearly contract, and January itself is no longer rated."""
    prices = Prices(book(ERRORS), contracts(contract()))
    asked = Asked(NOVEMBER, wanted=lambda _: wanted)
    store([R(1, quantity=10), R(3, "span", quantity=1)])
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        list(begin_pass(opened, prices, Asked(NOVEMBER), rated_at=NOON).ratings)
        meter_again(opened, "org_id = 0")
        going = begin_pass(opened, prices, asked, rated_at=NOON)
        assert list(going.ratings) == []
        assert going.answer.outcome.withdrawn == wanted
        assert opened.query("SELECT total FROM statements FINAL") == [(Decimal(0 if wanted else 10),)]
        assert opened.query("SELECT count() FROM unrated") == [(int(not wanted),)]


def test_reasons_that_are_gone_do_not_stay_beside_new_ones(tmp_path: Path, tally: Tally, store: Fill) -> None:
    price(ERRORS)
    agree({"org_id": 1})
    store([R(1, "span", quantity=3), R(1, "replay", quantity=3)])
    assert tally("rate", *MONTH)[0] == 1
    assert [category for *_, category in unrated(tmp_path)] == ["replay", "span"]
    priced({**ERRORS, **SPANS}, 2)
    assert tally("rate", *MONTH)[0] == 1
    assert [category for *_, category in unrated(tmp_path)] == ["replay"]


def test_a_time_without_a_contract_is_told_and_gone_with_the_period_that_covers_it(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    price(ERRORS)
    store([R(1, quantity=5, start=at("2026-11-20T00:00:00"))])
    agree({"org_id": 1, "until": "2026-11-10"})
    assert tally("rate", *MONTH)[0] == 1
    assert unrated(tmp_path) == [(1, "2026-11-10 00:00:00", "contract_not_in_force", "")]
    agree({"org_id": 1})
    assert tally("rate", *MONTH)[0] == 0
    assert unrated(tmp_path) == []


@pytest.mark.parametrize(("version", "stays"), [(99, False), (101, True)])
def test_a_rating_that_knew_less_does_not_heal(
    tmp_path: Path, tally: Tally, store: Fill, version: int, stays: bool
) -> None:
    price(ERRORS)
    agree({"org_id": "*"})
    store([R(1, quantity=10)])
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        row = {**failed_row(1, NOVEMBER, (), (1 << 64) + version, 1), "failures": [_WHY]}
        write_failures(opened, [row])
    assert tally("rate", *MONTH)[0] == 0
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as opened:
        assert (1 in read_failures(opened, NOVEMBER.start, NOVEMBER.end)) == stays


def test_a_rating_that_knew_less_does_not_fail_what_was_rated(tmp_path: Path, tally: Tally, store: Fill) -> None:
    priced({**ERRORS, **SPANS}, 2)
    agree({"org_id": "*"})
    store([R(1, "span", quantity=10)])
    assert tally("rate", *MONTH)[0] == 0
    priced(ERRORS, 1)
    assert tally("rate", *MONTH)[0] == 1
    assert unrated(tmp_path) == []


_WHY = {"reason": "no_price", "category": "span", "detail": "3 were used"}


def test_a_month_does_not_go_on_from_an_account_whose_own_month_has_failed_since(
    tmp_path: Path, tally: Tally, store: Fill
) -> None:
    october, november = ("--period", "2026-10"), ("--period", "2026-11")
    price(ERRORS)
    agree({"org_id": 1, "from": "2026-10-01", "grants": [GRANT]})
    store([R(1, quantity=60, start=at("2026-10-05T00:00:00")), R(1, quantity=10, start=at("2026-11-05T00:00:00"))])
    assert tally("rate", *october)[0] == tally("rate", *november)[0] == 0

    store([R(1, "span", quantity=3, start=at("2026-10-06T00:00:00"))])
    assert tally("rate", *october)[0] == 1
    status, _, err = tally("rate", *november, "--all")
    assert status == 1
    assert "the period before could not be rated (no_price): mend that, and rate it again, first (needs_account)" in err
    assert [row[2] for row in unrated(tmp_path)] == ["no_price", "needs_account"]

    priced({**ERRORS, **SPANS}, revision=2)
    assert tally("rate", *october)[0] == tally("rate", *november)[0] == 0
    assert unrated(tmp_path) == []
