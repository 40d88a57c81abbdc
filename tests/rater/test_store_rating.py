"""Usage in a real embedded store, rated and kept."""

import datetime as dt
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rater.book import Contracts, PriceBook
from schemas.errors import SettingsError
from schemas.statements import OrgUsage, Rating
from schemas.usage import Flush
from schemas.verdicts import END_OF_TIME
from sinks.store import Store, open_store
from tally.rating import Known, rate_period, read_known, read_usage
from tally.statement_store import BATCH, Outcome, StatementStore
from tests.rater.books import NOVEMBER, book, contract, contracts
from tests.store.samples import NOON, SECOND, R, progress, usage

ERRORS = {"errors": {"category": "error", "included": 10, "price": {"model": "per_unit", "unit_amount": "0.001"}}}
FEE = {"base": {"price": {"model": "flat", "amount": "89"}}}
BOOK = book({**FEE, **ERRORS}, free=("session",))
START, END = (int(bound.timestamp()) * SECOND for bound in (NOVEMBER.start, NOVEMBER.end))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path / 'store'}") as opened:
        opened.migrate()
        yield opened


def write(store: Store, rows: Sequence[R], next_offset: int = 100, **changes: Any) -> None:
    store.write([Flush(progress(next_offset=next_offset, **changes), "tally", usage(rows), ())])


def rate_and_keep(
    store: Store,
    prices: PriceBook = BOOK,
    agreed: Contracts | None = None,
    *,
    rated_at: int = NOON,
    known: Known | None = None,
    org: int | None = None,
) -> tuple[list[Rating], Outcome]:
    known = known or read_known(store)
    ratings = []
    with StatementStore(store, prices, known, rated_at) as statements:
        for rating in rate_period(store, prices, agreed or contracts(), NOVEMBER, org):
            ratings.append(rating)
            if rating.complete and rating.statement is not None:
                statements.add(rating.statement)
    return ratings, statements.outcome


def stored(store: Store) -> list[dict[str, Any]]:
    return store.query_rows("SELECT * FROM statements FINAL ORDER BY org_id, contract")


def usages(store: Store, org: int | None = None) -> list[OrgUsage]:
    return list(read_usage(store, NOVEMBER, org))


def test_what_was_counted_is_rated_and_charges_are_the_statement(store: Store) -> None:
    write(store, [R(1, quantity=12_345), R(1, window=5, quantity=5), R(2, "session", quantity=9), R(1, "session")])
    ratings, outcome = rate_and_keep(store)
    assert outcome == Outcome(written=2)
    assert [rating.org_id for rating in ratings] == [1, 2]
    statement = ratings[0].statement
    assert statement is not None
    assert statement.total == Decimal("101.34")
    charges = store.query_rows("SELECT * FROM charges WHERE org_id = 1 ORDER BY line_no")
    assert [(row["category"], row["description"], row["quantity"], row["amount"]) for row in charges] == [
        (line.categories, line.name, line.quantity, line.amount) for line in statement.lines
    ]
    assert sum(row["amount"] for row in charges) == statement.total
    [errors] = [row for row in charges if row["category"] == "error"]
    detail = json.loads(errors["detail"])
    assert detail["explanation"] == "10 included; 12,340 × 0.001 = 12.34"
    assert detail["usage"]["error"] == {
        "quantity": "12350",
        "first_window": "2026-11-22T12:00:00Z",
        "last_window": "2026-11-22T12:05:00Z",
    }
    row = stored(store)[0]
    assert (row["currency"], row["total"]) == ("USD", statement.total)
    assert row["version"] == (1 << 64) + 100
    assert row["progress_vector"] == '{"events":{"0":100}}'
    assert row["snapshot_id"] == statement.snapshot_id == usages(store)[0].snapshot_id
    assert (row["book_hash"], row["contract_hash"]) == (BOOK.content_hash, statement.contract_hash)


def test_rating_twice_changes_nothing(store: Store) -> None:
    write(store, [R(1, quantity=50), R(2, quantity=70)])
    first, _ = rate_and_keep(store)
    before = stored(store)
    again, outcome = rate_and_keep(store, rated_at=NOON + 1)
    assert outcome == Outcome(unchanged=2)
    assert again == first
    assert stored(store) == before
    assert store.query("SELECT count() FROM statements") == [(2,)]


def test_late_usage_changes_the_statement_and_its_version(store: Store) -> None:
    write(store, [R(1, quantity=1_010, last=50), R(2, quantity=70, last=51)])
    rate_and_keep(store)
    before = stored(store)
    write(store, [R(1, quantity=500, last=120, segment=7)], next_offset=150)
    _, outcome = rate_and_keep(store, rated_at=NOON + 1)
    after = stored(store)
    assert outcome == Outcome(written=2)
    assert [row["total"] for row in before] == [Decimal("90.00"), Decimal("89.06")]
    assert [row["total"] for row in after] == [Decimal("90.50"), Decimal("89.06")]
    assert {row["version"] for row in after} == {(1 << 64) + 150}
    assert before[0]["snapshot_id"] != after[0]["snapshot_id"]
    assert before[1]["snapshot_id"] == after[1]["snapshot_id"]


def test_a_rating_that_knew_less_never_replaces_one_that_knew_more(store: Store) -> None:
    write(store, [R(1, quantity=1_010)])
    early = read_known(store)
    write(store, [R(1, quantity=2_010, last=120)], next_offset=150)
    rate_and_keep(store)
    before = stored(store)
    _, outcome = rate_and_keep(store, known=early)
    assert outcome == Outcome(superseded=1)
    assert stored(store) == before


def test_a_newer_book_replaces_and_an_older_one_does_not(store: Store) -> None:
    write(store, [R(1, quantity=1_010)])
    rate_and_keep(store)
    dearer = book({"base": {"price": {"model": "flat", "amount": "100"}}, **ERRORS}, revision=2)
    assert rate_and_keep(store, dearer)[1] == Outcome(written=1)
    assert stored(store)[0]["total"] == Decimal("101.00")
    assert rate_and_keep(store)[1] == Outcome(superseded=1)
    assert stored(store)[0]["total"] == Decimal("101.00")


def test_a_book_that_changed_under_its_revision_is_refused(store: Store) -> None:
    write(store, [R(1, quantity=1_010)])
    rate_and_keep(store)
    before = stored(store)
    with pytest.raises(SettingsError, match=r"book\.yaml: organisation 1 .* revision 1: raise `revision`"):
        rate_and_keep(store, book(ERRORS))
    assert stored(store) == before


def test_incomplete_ratings_are_shown_and_never_kept(store: Store) -> None:
    write(store, [R(1, quantity=50), R(2, "span", quantity=3), R(2, quantity=5)])
    ratings, outcome = rate_and_keep(store)
    assert outcome == Outcome(written=1)
    assert [(failure.reason, failure.category) for failure in ratings[1].failures] == [("no_price", "span")]
    assert ratings[1].statement is not None
    assert [row["org_id"] for row in stored(store)] == [1]


def test_an_organisation_has_one_statement_also_after_it_changed_contracts(store: Store) -> None:
    write(store, [R(1, quantity=1_010)])
    rate_and_keep(store)
    _, outcome = rate_and_keep(store, agreed=contracts(contract(), contract(1, id="own", included={"errors": 0})))
    assert outcome == Outcome(written=1, withdrawn=1)
    assert [(row["contract"], row["total"]) for row in stored(store)] == [("contract", 0), ("own", Decimal("90.01"))]
    assert store.query("SELECT sum(amount) FROM charges") == [(Decimal("90.01"),)]
    again = rate_and_keep(store, agreed=contracts(contract(), contract(1, id="own", included={"errors": 0})))[1]
    assert again == Outcome(unchanged=1)
    assert rate_and_keep(store)[1] == Outcome(written=1, withdrawn=1)
    assert [(row["contract"], row["total"]) for row in stored(store)] == [("contract", Decimal("90.00")), ("own", 0)]


def test_fees_are_owed_by_organisations_with_contracts_and_no_usage(store: Store) -> None:
    write(store, [R(org, quantity=10) for org in (1, 5, 9)])
    agreed = contracts(contract(), *(contract(org) for org in (9, 0, 7, 3)))
    ratings, _ = rate_and_keep(store, agreed=agreed)
    assert [rating.org_id for rating in ratings] == [0, 1, 3, 5, 7, 9]
    assert {row["total"] for row in stored(store)} == {Decimal("89.00")}
    assert [rating.org_id for rating in rate_and_keep(store, agreed=agreed, org=7)[0]] == [7]
    assert rate_and_keep(store, agreed=agreed, org=8)[0] == []


def test_a_period_has_the_windows_that_start_in_it(store: Store) -> None:
    starts = {START - 60 * SECOND: 1, START: 20, END - 60 * SECOND: 300, END: 4_000}
    write(store, [R(1, quantity=quantity, start=start) for start, quantity in starts.items()])
    [found] = usages(store)
    error = found.categories["error"]
    assert error.quantity == 320
    assert error.first_window == NOVEMBER.start
    assert error.last_window == NOVEMBER.end - dt.timedelta(minutes=1)
    assert found.snapshot_id.startswith("2-")


def test_totals_beyond_63_bits_are_exact(store: Store) -> None:
    write(store, [R(1, "session", window=window, quantity=2**63 - 1) for window in range(5)])
    assert usages(store)[0].categories["session"].quantity == 5 * (2**63 - 1)


def test_a_snapshot_id_names_rows_in_whatever_order_and_parts_they_lie(store: Store) -> None:
    rows = [R(1, window=n, quantity=n + 1, last=n) for n in range(40)] + [R(1, "session", quantity=3)]
    write(store, rows)
    first = usages(store)
    shuffled = random.Random(5).sample(rows, len(rows))
    for part in (shuffled[:7], shuffled[7:20], shuffled):  # replays: rows are overwritten with themselves
        write(store, part)
        assert usages(store) == first
    write(store, [row._replace(quantity=0, last=0) for row in rows[1:40]])  # a zombie that has folded less
    store.command("OPTIMIZE TABLE usage_windows FINAL")
    assert usages(store) == first
    assert usages(store, org=1) == first
    assert first[0].snapshot_id.startswith("41-")


@pytest.mark.parametrize(
    "more",
    [
        R(1, last=9),
        R(1, window=1),
        R(1, "session"),
        R(1, project=7),
        R(1, dimensions='{"region":"eu"}'),
        R(1, segment=1),
    ],
)
def test_a_snapshot_id_changes_with_any_row(store: Store, more: R) -> None:
    write(store, [R(1, last=1)])
    before = usages(store)[0].snapshot_id
    write(store, [R(2, last=1)])
    assert usages(store)[0].snapshot_id == before
    write(store, [more])
    assert usages(store)[0].snapshot_id != before


def test_completeness_is_kept_once_the_period_is_complete(store: Store) -> None:
    write(store, [R(1, quantity=50)], log_end=100, log_end_seen_at=NOON)
    known = read_known(store)
    assert known.complete_to == dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
    rate_and_keep(store)
    later = replace(known, complete_to=NOVEMBER.end)
    assert rate_and_keep(store, known=later, rated_at=NOON + 1)[1] == Outcome(written=1)
    assert stored(store)[0]["complete_to"] == NOVEMBER.end
    much_later = replace(known, complete_to=NOVEMBER.end + dt.timedelta(days=9))
    assert rate_and_keep(store, known=much_later)[1] == Outcome(unchanged=1)
    assert stored(store)[0]["rated_at"] == dt.datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=dt.UTC)


def test_finite_logs_read_to_their_end_are_complete_for_ever(store: Store) -> None:
    write(store, [R(1)], log_end=100, log_end_seen_at=NOON, finite=True)
    found = read_known(store).complete_to
    assert found is not None
    assert found.year == 2100
    assert int(found.timestamp()) * SECOND == END_OF_TIME


def test_many_organisations_are_written_in_batches(store: Store) -> None:
    count = BATCH * 2 + 3
    write(store, [R(org, quantity=org) for org in range(1, count + 1)])
    assert rate_and_keep(store)[1] == Outcome(written=count)
    assert store.query("SELECT count(), sum(amount) FROM charges WHERE category = 'error'")[0][0] == count
    assert rate_and_keep(store)[1] == Outcome(unchanged=count)


def test_the_version_is_the_book_s_revision_and_then_what_was_read() -> None:
    known = Known({"a": {"0": 5, "1": 7}, "b": {"x": 2**62}})
    assert known.version(3) == (3 << 64) + 12 + 2**62
    assert known.version(4) > Known({"a": {"0": 2**63}}).version(3)
    assert known.vector == Known({"b": {"x": 2**62}, "a": {"1": 7, "0": 5}}).vector
